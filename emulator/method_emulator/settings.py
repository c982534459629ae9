"""Every setting of the emulator, in one place: the command line, the environment and the control
endpoint are all derived from this class. It reads nothing itself.

Where Method documents nothing, the setting's default is the behaviour that is hardest on a client.
"""  # noqa: D205 - the first sentence needs two lines

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

METHOD_VERSION: Final = "2026-03-30"


class SettingsError(ValueError):
    """A setting is unknown or out of its range; the text says which and what is allowed."""


def _setting(text: str, default: Any, *choices: str) -> Any:  # noqa: ANN401 - what dataclasses.field takes and gives
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How the emulator behaves; see each field's help text."""

    envelope: bool = _setting(
        "answer {success, data, message} (as the OpenAPI says), not the bare object (as the examples show)",
        default=True,
    )
    versions: str = _setting("accepted values of the Method-Version header, comma-separated", METHOD_VERSION)
    writes_per_minute: int = _setting("writes per API key in any 60 s; 0: unlimited", 1800)
    reads_per_minute: int = _setting("reads per API key in any 60 s; 0: unlimited", 6000)
    block_seconds: float = _setting("how long a key that exceeded a limit is refused, in seconds", 60.0)
    retry_after: bool = _setting("send Retry-After with 429 (only the OpenAPI mentions it)", default=True)
    metadata_limit: int = _setting(
        "metadata must be smaller than this when serialised, in bytes; 0: any size", 1024
    )
    value_limit: int = _setting(
        "values may be this long, in bytes; 0: any size (Method documents no limit)", 0
    )
    same_key_other_body: str = _setting(
        "an Idempotency-Key again with another body: replay the first answer, or refuse with 409 or 422",
        "replay", "replay", "conflict", "unprocessable",
    )  # fmt: skip
    same_key_at_once: str = _setting(
        "an Idempotency-Key whose first request is still at work: wait for its answer, or refuse with 409",
        "wait", "wait", "conflict",
    )  # fmt: skip
    retrieve_deleted: str = _setting(
        "GET of a deleted secret: 200 with status deleted, or 404", "deleted", "deleted", "not_found"
    )
    delete_deleted: str = _setting("second DELETE of a secret: 404 or 200", "not_found", "not_found", "ok")
    list_deleted: bool = _setting("list deleted secrets too", default=False)
    request_log_size: int = _setting("how many requests the log for tests keeps", 20_000)
    # Last, and never in a repr: they are credentials, if only made-up ones.
    api_keys: Mapping[str, str] = dataclasses.field(
        default_factory=dict,
        repr=False,
        metadata={
            "help": "accepted API keys, comma-separated; key=account lets keys share an account;"
            " empty: any key that starts with sk_, each with an account of its own",
            "choices": (),
        },
    )

    def __post_init__(self) -> None:
        """Refuse what no emulator could do.

        Raises SettingsError.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            choices = field.metadata["choices"]
            if choices and value not in choices:
                raise SettingsError(f"{field.name} must be one of {', '.join(choices)}")
            if isinstance(value, int | float) and value < 0:
                raise SettingsError(f"{field.name} must not be negative")
        if any(not key or not account for key, account in self.api_keys.items()):
            raise SettingsError("api_keys: a key and its account must not be empty")

    def accepted_versions(self) -> frozenset[str]:
        """Return the values of Method-Version that are not refused."""
        return frozenset(part.strip() for part in self.versions.split(",") if part.strip())

    def changed(self, changes: Mapping[str, object]) -> Settings:
        """Return these settings with `changes`, given as texts or as JSON values.

        Raises SettingsError.
        """
        kinds = {field.name: type(getattr(DEFAULTS, field.name)) for field in dataclasses.fields(Settings)}
        unknown = sorted(set(changes) - set(kinds))
        if unknown:
            raise SettingsError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(kinds)}")
        values: dict[str, Any] = {name: _parsed(name, kinds[name], value) for name, value in changes.items()}
        return dataclasses.replace(self, **values)

    def shown(self) -> dict[str, object]:
        """Return the settings for people and tests, with the number of API keys in place of the keys."""
        shown: dict[str, object] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "api_keys"
        }
        shown["api_keys"] = len(self.api_keys)
        return shown


DEFAULTS: Final = Settings()


def parse_api_keys(text: str) -> dict[str, str]:
    """Read `sk_a=team,sk_b=team,sk_c`: a key without an account has one of its own."""
    keys: dict[str, str] = {}
    for number, part in enumerate((part.strip() for part in text.split(",") if part.strip()), start=1):
        key, _, account = part.partition("=")
        keys[key] = account or f"account-{number}"
    return keys


def _parsed(name: str, kind: type, value: object) -> object:
    """Turn a text or JSON value into what the field holds; never names the value, which may be a key."""
    if name == "api_keys":
        if isinstance(value, str):
            return parse_api_keys(value)
        if isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair):
            return dict(value)
        raise SettingsError("api_keys must be a text such as sk_a=team,sk_b or an object of key to account")
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        answer = value if isinstance(value, bool) else words.get(str(value).lower())
        if answer is None:
            raise SettingsError(f"{name} must be true or false")
        return answer
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SettingsError(f"{name} must be a {kind.__name__}")
    try:
        return kind(value)
    except ValueError:
        raise SettingsError(f"{name} must be a {kind.__name__}") from None
