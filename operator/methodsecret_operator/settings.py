"""Every setting of the operator, in one place: the command line and the reference are made from this class.

A setting comes from its flag, else from its environment variable (METHODSECRET_ and its name), else
from its default; an empty one counts as unset. Nothing here is logged or echoed: what is wrong with a
setting is said in words that do not repeat it, for it may be an API key in the wrong place.
"""

from __future__ import annotations

import difflib
import functools
import os
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from methodsecret_operator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "METHODSECRET_"
SERVICE_ACCOUNT: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")

Environment = Literal["production", "sandbox", "dev"]

_WORDED: Final = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
}
"""Our words for pydantic's error types, where its own are for programmers."""

_NOT_SETTINGS: Final = frozenset({"METHODSECRET_CACHE"})
"""Variables with our prefix that other things read: the Makefile's cache folder."""


def parse_api_key(text: str) -> SecretStr:
    """Return an API key without the white space around it, such as a file's last newline.

    Raises ValueError, which does not hold the key, where it could not be sent in an HTTP header.
    """
    key = text.strip()
    if not key:
        raise ValueError("is empty")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("must be one line of printable ASCII characters without spaces")
    return SecretStr(key)


def _matching(pattern: str, longest: int, rule: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if len(text) > longest or not compiled.fullmatch(text):
            raise ValueError(f"must be {rule}, at most {longest} characters")
        return text

    return AfterValidator(check)


def _split(value: object) -> object:
    """Read a comma-separated list; entries keep their order, duplicates and empty ones go."""
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(part for part in map(str.strip, value.split(",")) if part))


def _label_selector(text: str) -> str:
    name = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
    key = rf"(?:[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?/)?{name}"
    values = rf"\(\s*(?:{name})?(?:\s*,\s*(?:{name})?)*\s*\)"
    requirement = rf"\s*(?:!\s*{key}|{key}(?:\s*(?:==?|!=)\s*(?:{name})?|\s+(?:in|notin)\s*{values})?)\s*"
    if not re.fullmatch(rf"{requirement}(?:,{requirement})*", text):
        raise ValueError(
            "must be a label selector, such as team=payments, app in (a, b) or !private; several with commas"
        )
    return text.strip()


def _base_url(text: str) -> str:
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("must be a URL without spaces or control characters")
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        url, usable = None, False
    if url is None or not usable:  # not in the except: urlsplit's own message repeats its input
        raise ValueError("must be a URL such as https://proxy.example:8443/method")
    if "@" in url.netloc:
        raise ValueError("must not hold a user name or password")
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or a fragment")
    return text.rstrip("/")


def _api_key(value: object) -> object:
    return parse_api_key(value) if isinstance(value, str) else value


DnsLabel = Annotated[
    str,
    _matching(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", 63, "a DNS label (lower-case letters, digits, hyphens)"),
]
DnsName = Annotated[
    str,
    _matching(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        253,
        "a DNS name (lower-case letters, digits, hyphens, dots)",
    ),
]
ClusterName = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?",
        63,
        "a name (letters, digits, hyphens, underscores, dots)",
    ),
]
Namespaces = Annotated[tuple[DnsLabel, ...], NoDecode, BeforeValidator(_split)]
ClusterNames = Annotated[tuple[ClusterName, ...], NoDecode, BeforeValidator(_split)]


def _in_cluster(so_far: dict[str, Any]) -> bool:
    """Whether the Pod's own service account is used, by the same signs as every Kubernetes client."""
    return (
        not so_far.get("kubeconfig")
        and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        and (SERVICE_ACCOUNT / "token").is_file()
    )


def _own_namespace() -> str:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or "default"
    except (OSError, UnicodeDecodeError):
        return "default"


def _log_format(so_far: dict[str, Any]) -> Literal["json", "console"]:
    return "console" if sys.stderr.isatty() and not _in_cluster(so_far) else "json"


def _worded(text: str) -> Any:  # noqa: ANN401 - what Field takes; it names its own type JsonDict
    """Say in words what the default is, where it depends on where the operator runs."""
    return {"default_text": text}


class Settings(BaseSettings):
    """How this operator behaves. Each field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
    )

    kubeconfig: str | None = Field(
        None,
        validation_alias="KUBECONFIG",
        description="kubeconfig file of the cluster to work in",
        json_schema_extra=_worded("the Pod's service account, else ~/.kube/config"),
    )
    api_key_file: pathlib.Path | None = Field(
        None,
        description="file that holds the operator's own Method API key; read again when it changes",
        json_schema_extra=_worded("no key: only MethodSecrets with an account of their own are served"),
    )
    api_key: Annotated[SecretStr | None, BeforeValidator(_api_key)] = Field(
        None,
        description="the operator's own Method API key itself; API_KEY_FILE is better, since environment and"
        " command line of a process can be seen by others",
        json_schema_extra=_worded("unset"),
    )
    environment: Environment = Field(
        "production", description="environment at Method that the operator's own API key belongs to"
    )
    base_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None,
        description="URL of the Method API for every environment, for an emulator or a proxy",
        json_schema_extra=_worded("https://ENVIRONMENT.methodfi.com"),
    )
    cluster_name: ClusterName | None = Field(
        None,
        description="name of this cluster in the markers at Method; set it, and keep it when the cluster is"
        " rebuilt, so that its secrets are recognised",
        json_schema_extra=_worded("uid of the namespace kube-system"),
    )
    cluster_aliases: ClusterNames = Field(
        (),
        description="former names of this cluster, comma-separated, still recognised in markers",
        json_schema_extra=_worded("none"),
    )
    namespaces: Namespaces = Field(
        (),
        description="namespaces to work in, comma-separated",
        json_schema_extra=_worded("all"),
    )
    default_account_namespaces: Namespaces = Field(
        (),
        description="namespaces whose MethodSecrets may use the operator's own API key, comma-separated",
        json_schema_extra=_worded("all"),
    )
    source_selector: Annotated[str, AfterValidator(_label_selector)] | None = Field(
        None,
        description="label selector: only Secrets with these labels may be stored at Method",
        json_schema_extra=_worded("any Secret"),
    )
    source_watch: Literal["metadata", "poll"] = Field(
        "metadata",
        description="how changed Secrets are noticed: metadata watches them without their data; poll reads"
        " each one at resync, for clusters that refuse list and watch",
    )
    operator_namespace: DnsLabel = Field(
        default_factory=_own_namespace,
        description="namespace of the operator's own objects: digest key, Lease",
        json_schema_extra=_worded("the Pod's namespace, default outside a cluster"),
    )
    digest_key_secret: DnsName = Field(
        "methodsecret-operator-digest-key",
        description="Secret in the operator's namespace with the digest key, to be backed up; made at need",
    )
    leader_election: bool = Field(
        default_factory=_in_cluster,
        description="work only while holding a Lease, so that of several replicas one is active",
        json_schema_extra=_worded("true in a cluster, false outside"),
    )
    lease_name: DnsName = Field(
        "methodsecret-operator",
        description="Lease in the operator's namespace; of those that name the same one, one works, so give"
        " another to an operator of other namespaces",
    )
    lease_seconds: int = Field(
        15,
        ge=3,
        le=300,
        description="seconds after which a dead operator's Lease is taken over; a living one renews it, and"
        " ends by itself after two thirds of them without a renewal",
    )
    workers: int = Field(
        32,
        ge=1,
        le=1000,
        description="how many MethodSecrets are worked on at a time; a quarter of them at most are ones that"
        " nobody has changed, such as retries",
    )
    writes_per_minute: int = Field(
        1800,
        ge=1,
        le=1_000_000,
        description="writes that Method allows for an API key in any 60 s; operators that share it, split it",
    )
    reads_per_minute: int = Field(
        6000, ge=1, le=1_000_000, description="reads that Method allows for each API key in any 60 s"
    )
    resync_seconds: int = Field(
        600, ge=1, le=86_400, description="seconds between two looks at everything, plus or minus 10 %"
    )
    deletion_timeout_seconds: int = Field(
        300,
        ge=0,
        le=86_400,
        description="seconds after which a deletion that can no longer succeed lets the object go: since the"
        " API key is gone, refused or of another account, in a terminating namespace since the deletion",
    )
    health_port: int = Field(
        8080, ge=0, le=65_535, description="port of /healthz, /readyz and /metrics; 0 turns them off"
    )
    health_host: DnsName | None = Field(
        None,
        description="address that /healthz, /readyz and /metrics listen on",
        json_schema_extra=_worded("all"),
    )
    stuck_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description="seconds without a sign of life of a watch or of the workers after which /healthz fails;"
        " a quiet watch gives one about every minute",
    )
    log_format: Literal["json", "console"] = Field(
        default_factory=_log_format,
        description="json: one object a line; console: for people",
        json_schema_extra=_worded("console on a terminal, else json"),
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = Field("INFO", description="lowest level of the operator's own log lines")

    @model_validator(mode="after")
    def _one_api_key(self) -> Settings:
        if self.api_key is not None and self.api_key_file is not None:
            raise ValueError(
                f"{PREFIX}API_KEY (--api-key) and {PREFIX}API_KEY_FILE (--api-key-file): give one of them"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take flags before the environment, and nothing else: no .env file of whoever's folder this is."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    def base_url_for(self, environment: Environment) -> str:
        """Return the URL of the Method API of an environment, without a slash at its end."""
        return self.base_url or f"https://{environment}.methodfi.com"


class Setting(NamedTuple):
    """A setting as people meet it: for the command line's help and for the reference."""

    name: str
    variable: str
    flag: str
    description: str
    default: str
    choices: str


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _choices(schema: Mapping[str, Any]) -> str:
    """Return what may be given, for a help text: the words of a Literal, else a word for the type."""
    kinds = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    if words := kinds[0].get("enum"):
        return "|".join(words)
    if "maximum" in kinds[0]:
        return f"{kinds[0]['minimum']}..{kinds[0]['maximum']}"
    return {"boolean": "true|false", "array": "LIST", "string": "TEXT"}[kinds[0]["type"]]


def _problem(where: tuple[int | str, ...], message: str) -> str:
    """Word one of pydantic's complaints; none of those that this class can cause repeats the input."""
    said = message.removeprefix("Value error, ").replace("Input should be", "must be")
    if not where:
        return said
    name = next((name for name in Settings.model_fields if where[0] in {name, _variable(name)}), None)
    if name is None:  # only from code that passes what is no field
        return "a flag is not a setting"
    entry = f"entry {where[1] + 1} " if len(where) > 1 and isinstance(where[1], int) else ""
    return f"{_variable(name)} ({_flag(name)}): {entry}{said}"


@functools.cache
def catalogue() -> tuple[Setting, ...]:
    """Return every setting, in the order in which they should be read."""
    found = []
    schemas = Settings.model_json_schema(by_alias=False)["properties"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = extra.get("default_text", field.default)
        found.append(
            Setting(
                name=name,
                variable=_variable(name),
                flag=_flag(name),
                description=field.description or "",
                default=str(default),
                choices=_choices(schemas[name]),
            )
        )
    return tuple(found)


def load(flags: Mapping[str, str]) -> Settings:
    """Return the settings that flags (by field name) and the environment give.

    Raises SettingsError with one line for each problem: its variable and flag, and what is wrong.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value}
    try:
        return Settings(**given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [
            _problem(part["loc"], _WORDED.get(part["type"], part["msg"]))
            for part in found
            if part["type"] != "default_factory_not_called"  # follows from another problem
        ]
    raise SettingsError("\n".join(problems))  # outside the except: the ValidationError must not hang on it


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable with our prefix that is no setting; most likely a typing error.

    Variables that Kubernetes makes for a Service named methodsecret-… are left out.
    """
    known = sorted({_variable(name) for name in Settings.model_fields} - {"KUBECONFIG"})
    services = tuple(
        name.removesuffix("_SERVICE_HOST") + end
        for name in environ
        if name.endswith("_SERVICE_HOST")
        for end in ("_SERVICE_", "_PORT")
    )
    sentences = []
    for name in sorted(environ):
        ours = name.startswith(PREFIX) and name not in _NOT_SETTINGS and not name.startswith(services)
        if not ours or name in known:
            continue
        # Without the prefix, which would make any two names alike.
        near = difflib.get_close_matches(
            name.removeprefix(PREFIX), (k.removeprefix(PREFIX) for k in known), n=1
        )
        sentences.append(f"{name} is not a setting{f'; is it {PREFIX}{near[0]}?' if near else ''}")
    return sentences
