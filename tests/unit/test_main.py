"""The command line, as a real process: help, version, and what is refused before anything starts."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from methodsecret_operator import __main__ as command_line
from methodsecret_operator import __version__, settings

CANARY = "CANARY-7f3a"


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(settings.PREFIX)}
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "methodsecret_operator", *arguments],
        env={
            **clean,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "100",
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_version() -> None:
    done = start("--version")
    assert (done.returncode, done.stdout) == (0, f"methodsecret-operator, version {__version__}\n")


def test_help_names_the_commands() -> None:
    done = start("--help")
    assert done.returncode == 0
    listed = done.stdout.partition("Commands:")[2].split()
    assert [name for name in listed if name in command_line.cli.commands] == sorted(command_line.cli.commands)
    assert " ".join(listed).startswith("doctor Check everything that the operator depends on.")


@pytest.mark.parametrize("command", sorted(command_line.cli.commands))
def test_help_of_a_command_says_how_it_ends(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([command, "--help"]) == 0
    assert "Exit codes: 0 " in capsys.readouterr().out or command == "run"


def test_help_of_run_tells_all_about_each_setting() -> None:
    done = start("run", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.replace("-\n", "-").split()).replace("- ", "-")
    for one in settings.catalogue():
        told = f"{one.flag} {one.choices} {one.description} [{one.variable}; default: {one.default}]"
        assert told.replace("- ", "-") in text, one.name


def test_help_does_not_load_what_run_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "methodsecret_operator", "run", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "methodsecret_operator.settings" in loaded
    assert not loaded & {"kopf", "aiohttp", "httpx", "structlog", "kubernetes"}


def test_wrong_settings_are_one_line_each_and_exit_code_2() -> None:
    done = start("run", "--workers", "0", METHODSECRET_HEALTH_PORT="x", METHODSECRET_API_KEY=f"{CANARY} x")
    assert (done.returncode, done.stdout) == (2, "")
    key, *others = done.stderr.splitlines()
    assert key.startswith("methodsecret-operator: METHODSECRET_API_KEY (--api-key): must be one line of")
    assert CANARY not in key
    assert others == [
        "methodsecret-operator: METHODSECRET_WORKERS (--workers): must be greater than or equal to 1",
        "methodsecret-operator: METHODSECRET_HEALTH_PORT (--health-port): must be a whole number",
    ]


@pytest.mark.parametrize(
    ("arguments", "says", "reason"),
    [
        ([], "Missing command.", "nothing to do"),
        (
            [CANARY],
            "there is no such command; the commands are: doctor, orphans, release, run",
            "may be a value in the wrong place",
        ),
        (["--api-key", CANARY, "run"], "No such option '--api-key'", "flags come after the command"),
        (["run", CANARY], "run takes flags only", "a flag's value without its flag"),
        (["run", "--", CANARY], "run takes flags only", "after the end of the flags as well"),
        (["run", "--api-kye", CANARY], "--api-key", "a typing error gets a hint"),
        (["run", f"--api-kye={CANARY}"], "--api-key", "and with = as well"),
        (["run", "--api-key"], "Option '--api-key' requires an argument", "its value is missing"),
        (["run", "--api-key", CANARY, "--work", "3"], "--workers", "flags are not abbreviated"),
        (["run", "--api-key", CANARY, "--api-key-file", CANARY], "give one of them", "two keys"),
    ],
)
def test_wrong_use_is_explained_without_repeating_values(
    arguments: list[str], says: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(arguments) == 2, reason
    told = capsys.readouterr()
    assert says in told.err, reason
    assert CANARY not in told.err + told.out, reason
    assert all(line.startswith("methodsecret-operator: ") for line in told.err.splitlines())


def test_a_cluster_that_cannot_be_reached_is_a_logged_failure(tmp_path: os.PathLike[str]) -> None:
    missing = os.path.join(tmp_path, "no-such-kubeconfig")  # noqa: PTH118 - one word
    done = start("run", "--kubeconfig", missing, "--log-format", "json", METHODSECRET_WORKER="3")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert all(line.startswith("{") and line.endswith("}") for line in lines), done.stderr
    assert "METHODSECRET_WORKER is not a setting; is it METHODSECRET_WORKERS?" in lines[0]


def test_a_stop_while_the_operator_is_still_loading_is_a_clean_end(tmp_path: pathlib.Path) -> None:
    """As PID 1 it would not even end without a handler of its own: the kernel ignores the signal there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'methodsecret_operator.runtime.app':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Stop())\n"
    )
    done = start("run", PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    assert (done.returncode, done.stderr) == (0, "")
