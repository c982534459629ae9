"""Settings: where they come from, what is refused, and that no message repeats what was given."""

from __future__ import annotations

import io
import os
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic
import pytest

from methodsecret_operator import settings
from methodsecret_operator.errors import SettingsError

if TYPE_CHECKING:
    import pathlib

CANARY = "CANARY-7f3a"


@pytest.fixture(autouse=True)
def _outside_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in list(os.environ):
        if name.startswith(settings.PREFIX) or name in {"KUBECONFIG", "KUBERNETES_SERVICE_HOST"}:
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "SERVICE_ACCOUNT", tmp_path / "serviceaccount")


@pytest.fixture
def _in_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("made-up")
    (account / "namespace").write_text("method-system\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")


def refusal(name: str, value: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load({name: value})
    return str(caught.value)


def test_defaults_outside_a_cluster() -> None:
    assert settings.load({}).model_dump() == {
        "kubeconfig": None,
        "api_key_file": None,
        "api_key": None,
        "environment": "production",
        "base_url": None,
        "cluster_name": None,
        "cluster_aliases": (),
        "namespaces": (),
        "default_account_namespaces": (),
        "source_selector": None,
        "source_watch": "metadata",
        "operator_namespace": "default",
        "digest_key_secret": "methodsecret-operator-digest-key",
        "leader_election": False,
        "lease_name": "methodsecret-operator",
        "lease_seconds": 15,
        "workers": 32,
        "writes_per_minute": 1800,
        "reads_per_minute": 6000,
        "resync_seconds": 600,
        "deletion_timeout_seconds": 300,
        "health_port": 8080,
        "health_host": None,
        "stuck_seconds": 300,
        "log_format": "json",
        "log_level": "INFO",
    }


@pytest.mark.usefixtures("_in_a_cluster")
def test_defaults_in_a_cluster() -> None:
    found = settings.load({})
    assert (found.operator_namespace, found.leader_election, found.log_format) == (
        "method-system",
        True,
        "json",
    )


@pytest.mark.usefixtures("_in_a_cluster")
def test_a_kubeconfig_means_outside_even_in_a_pod() -> None:
    assert settings.load({"kubeconfig": "/some/file"}).leader_election is False


def test_a_terminal_gets_console_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    assert settings.load({}).log_format == "console"


GIVEN: dict[str, tuple[str, Any]] = {
    "kubeconfig": ("/a:/b", "/a:/b"),
    "environment": ("sandbox", "sandbox"),
    "base_url": ("http://127.0.0.1:8080/prefix/", "http://127.0.0.1:8080/prefix"),
    "cluster_name": ("eu-1.Prod", "eu-1.Prod"),
    "cluster_aliases": ("old, older", ("old", "older")),
    "namespaces": (" a,b ,,a", ("a", "b")),
    "default_account_namespaces": ("payments", ("payments",)),
    "source_selector": ("methodfi.com/use=true", "methodfi.com/use=true"),
    "source_watch": ("poll", "poll"),
    "operator_namespace": ("ops", "ops"),
    "digest_key_secret": ("my.key", "my.key"),
    "leader_election": ("true", True),
    "lease_seconds": ("3", 3),
    "workers": ("1000", 1000),
    "writes_per_minute": ("1", 1),
    "reads_per_minute": ("2", 2),
    "resync_seconds": ("3", 3),
    "deletion_timeout_seconds": ("0", 0),
    "health_port": ("0", 0),
    "log_format": ("console", "console"),
    "log_level": ("debug", "DEBUG"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_environment_sets_and_a_flag_overrides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = GIVEN[name]
    variable = {one.name: one.variable for one in settings.catalogue()}[name]
    assert variable == ("KUBECONFIG" if name == "kubeconfig" else f"METHODSECRET_{name.upper()}")
    monkeypatch.setenv(variable, text)
    assert getattr(settings.load({}), name) == expected
    monkeypatch.setenv(variable, "!! not valid anywhere !!")
    assert getattr(settings.load({name: text}), name) == expected


def test_both_sorts_of_api_key(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    assert settings.load({"api_key_file": str(tmp_path / "key")}).api_key_file == tmp_path / "key"
    monkeypatch.setenv("METHODSECRET_API_KEY", f"  {CANARY}\n")
    found = settings.load({})
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == CANARY
    assert CANARY not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


@pytest.mark.parametrize("name", [*GIVEN, "api_key", "api_key_file"])
def test_an_empty_text_means_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = getattr(settings.load({}), name)
    variable = "KUBECONFIG" if name == "kubeconfig" else f"METHODSECRET_{name.upper()}"
    monkeypatch.setenv(variable, "")
    assert getattr(settings.load({name: ""}), name) == default


class Refused(NamedTuple):
    """A wrong setting."""

    name: str
    value: str
    says: str
    reason: str


REFUSED = [
    Refused("environment", "prod", "must be 'production', 'sandbox' or 'dev'", "no guessing"),
    Refused("base_url", "ftp://x.example", "must be a URL such as", "not HTTP"),
    Refused("base_url", "x.example", "must be a URL such as", "no scheme"),
    Refused("base_url", "https://", "must be a URL such as", "no host"),
    Refused("base_url", "https://x.example:99999", "must be a URL such as", "no such port"),
    Refused("base_url", "https://[::1", "must be a URL such as", "urlsplit raises"),
    Refused("base_url", f"https://u:{CANARY}@x.example", "must not hold a user name", "credentials in a URL"),
    Refused("base_url", "https://x.example/?a=b", "must not have a query", "paths are appended to it"),
    Refused("base_url", "https://x.example/#", "must not have a query or a fragment", "even an empty one"),
    Refused("base_url", "https://x.example/a\nb", "without spaces or control", "urlsplit would drop it"),
    Refused("api_key", f"{CANARY} x", "one line of printable ASCII", "inner white space"),
    Refused("api_key", f"{CANARY}\r\nX-Evil: 1", "one line of printable ASCII", "header injection"),
    Refused("api_key", f"{CANARY}\x00", "one line of printable ASCII", "control character"),
    Refused("api_key", f"{CANARY}é", "one line of printable ASCII", "headers are ASCII"),
    Refused("api_key", " \n", "is empty", "a Secret's key that was never filled in"),
    Refused("cluster_name", "eu/1", "must be a name", "a slash would forge another owner"),
    Refused("cluster_name", "x" * 64, "at most 63", "markers are limited"),
    Refused("cluster_aliases", "ok,eu/1", "entry 2 must be a name", "each entry is checked"),
    Refused("namespaces", "ok,Not_Ok", "entry 2 must be a DNS label", "each entry is checked"),
    Refused("namespaces", "a.b", "entry 1 must be a DNS label", "namespaces have no dots"),
    Refused("default_account_namespaces", "*", "entry 1 must be a DNS label", "empty means all, not a star"),
    Refused("source_selector", "a in b", "must be a label selector", "values in parentheses"),
    Refused("source_selector", "a=b;c", "must be a label selector", "commas separate"),
    Refused("source_selector", "a=b,", "must be a label selector", "nothing after the comma"),
    Refused("source_selector", "-a=b", "must be a label selector", "names begin with a letter or digit"),
    Refused("source_watch", "list", "must be 'metadata' or 'poll'", "no guessing"),
    Refused("operator_namespace", "A", "must be a DNS label", "upper case"),
    Refused("operator_namespace", "x" * 64, "at most 63", "too long"),
    Refused("digest_key_secret", "a..b", "must be a DNS name", "empty label"),
    Refused("leader_election", "maybe", "must be true or false", "no boolean"),
    Refused("workers", "0", "must be greater than or equal to 1", "none would work"),
    Refused("workers", "1001", "must be less than or equal to 1000", "more only costs memory"),
    Refused("workers", "many", "must be a whole number", "no number"),
    Refused("workers", "1.5", "must be a whole number", "no whole number"),
    Refused("writes_per_minute", "0", "greater than or equal to 1", "nothing could be written"),
    Refused("reads_per_minute", "0", "greater than or equal to 1", "nothing could be read"),
    Refused("resync_seconds", "0", "greater than or equal to 1", "it would spin"),
    Refused("deletion_timeout_seconds", "-1", "greater than or equal to 0", "before it began"),
    Refused("health_port", "65536", "less than or equal to 65535", "no such port"),
    Refused("log_format", "xml", "must be 'json' or 'console'", "no guessing"),
    Refused("log_level", "TRACE", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'", "no guessing"),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row.name}: {row.reason}")
def test_what_is_refused_names_variable_and_flag_and_says_why(row: Refused) -> None:
    message = refusal(row.name, row.value)
    flag = row.name.replace("_", "-")
    assert message.startswith(f"METHODSECRET_{row.name.upper()} (--{flag}): "), row.reason
    assert row.says in message, row.reason
    assert "\n" not in message
    assert "validated data" not in message, "pydantic's words for what follows from another problem"


@pytest.mark.parametrize(
    "selector",
    ["a", "!a", "! a", "a=b", "a==b", "a!=b", "a=", "x.io/a=b,c", "a in (b, c)", "a notin (b),!c", "a in ()"],
)
def test_label_selectors_that_kubernetes_takes(selector: str) -> None:
    assert settings.load({"source_selector": selector}).source_selector == selector


def test_a_selector_full_of_blanks_is_judged_at_once() -> None:
    assert "must be a label selector" in refusal("source_selector", "a" + " " * 50_000 + "(")


@pytest.mark.parametrize("name", [one.name for one in settings.catalogue()])
def test_no_message_repeats_what_was_given(name: str) -> None:
    """A key pasted into the wrong setting must not end up in a log."""
    value = f"{CANARY}\n /?#"
    with pytest.raises(SettingsError) as caught:
        settings.load({name: value, "workers": CANARY})
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_pydantics_own_error_hides_the_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METHODSECRET_API_KEY", f"{CANARY} inner")
    with pytest.raises(pydantic.ValidationError) as caught:
        settings.Settings()
    assert CANARY not in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({"workers": "x", "health_port": "-1", "kubeconfig": "/a"})
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "METHODSECRET_WORKERS",
        "METHODSECRET_HEALTH_PORT",
    ]


def test_two_api_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METHODSECRET_API_KEY_FILE", "/some/file")
    message = refusal("api_key", CANARY)
    assert "METHODSECRET_API_KEY (--api-key) and METHODSECRET_API_KEY_FILE (--api-key-file)" in message
    assert CANARY not in message


def test_settings_never_change() -> None:
    found = settings.load({})
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        found.workers = 2  # type: ignore[misc] # what mypy sees as well


def test_the_environment_at_method_is_all_that_picks_a_url() -> None:
    found = settings.load({})
    assert found.base_url_for("sandbox") == "https://sandbox.methodfi.com"
    assert found.base_url_for("production") == "https://production.methodfi.com"
    assert settings.load({"base_url": "http://x.example/"}).base_url_for("dev") == "http://x.example"


def test_no_file_of_the_current_folder_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("METHODSECRET_WORKERS=5\n")
    monkeypatch.chdir(tmp_path)
    assert settings.load({}).workers == 32


def test_unknown_variables_are_named_with_the_likely_meaning() -> None:
    assert settings.unknown_variables(
        {
            "METHODSECRET_WORKER": "3",
            "METHODSECRET_XYZ": CANARY,
            "METHODSECRET_WORKERS": "3",
            "METHODSECRET_CACHE": "/cache",
            "KUBECONFIG": "/x",
            "OTHER": "x",
        }
    ) == [
        "METHODSECRET_WORKER is not a setting; is it METHODSECRET_WORKERS?",
        "METHODSECRET_XYZ is not a setting",
    ]


def test_variables_of_a_service_are_not_mistaken_for_settings() -> None:
    service = "METHODSECRET_OPERATOR"
    assert not settings.unknown_variables(
        {
            f"{service}_SERVICE_HOST": "10.0.0.1",
            f"{service}_SERVICE_PORT": "8080",
            f"{service}_SERVICE_PORT_METRICS": "8080",
            f"{service}_PORT": "tcp://10.0.0.1:8080",
            f"{service}_PORT_8080_TCP_ADDR": "10.0.0.1",
        }
    )


def test_every_setting_is_described() -> None:
    for one in settings.catalogue():
        assert one.description, one.name
        assert one.default not in {"", "None", "()", "PydanticUndefined"}, one.name
        assert one.choices, one.name
