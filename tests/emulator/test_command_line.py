"""The command line, as users and the demo run it."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import time

import httpx
import pytest

from method_emulator.__main__ import make_parser
from method_emulator.control_client import EmulatorControl
from method_emulator.process import EmulatorProcess, EmulatorProcessError
from method_emulator.settings import Settings

README = pathlib.Path(__file__).parents[2] / "emulator" / "README.md"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "method_emulator", *arguments],
        env={**os.environ, "PYTHONPATH": str(README.parent), **environment},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


async def test_a_process_serves_and_stops_at_once(tmp_path: pathlib.Path) -> None:
    with EmulatorProcess(envelope=False, api_keys={"sk_a": "a"}, log_file=tmp_path / "log") as emulator:
        assert emulator.url.startswith("http://127.0.0.1:")
        headers = {"Authorization": "Bearer sk_a", "Method-Version": "2026-03-30"}
        async with httpx.AsyncClient(base_url=emulator.url, headers=headers) as client:
            made = await client.post("/secrets", json={"value": "v"})
            assert made.json()["status"] == "active"
        async with EmulatorControl(emulator.url) as control:
            assert (await control.settings())["envelope"] is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_though_a_request_hangs(
    tmp_path: pathlib.Path, number: signal.Signals
) -> None:
    with EmulatorProcess(log_file=tmp_path / "log") as emulator:
        headers = {"Authorization": "Bearer sk_a", "Method-Version": "2026-03-30"}
        async with (
            EmulatorControl(emulator.url) as control,
            httpx.AsyncClient(base_url=emulator.url, headers=headers, timeout=30) as client,
        ):
            fault = await control.add_fault("ping", "hang")
            hanging = asyncio.create_task(client.get("/ping"))
            await control.wait_held(fault)
            started = time.monotonic()
            os.kill(emulator.pid, number)
            with pytest.raises(httpx.TransportError):
                await hanging
            assert emulator.wait(timeout=10) == 0
            assert time.monotonic() - started < 2  # it takes 0.2 s; the rest is for a busy machine


def test_settings_come_from_the_environment_and_flags_win() -> None:
    parser = make_parser({"METHOD_EMULATOR_PORT": "1", "METHOD_EMULATOR_ENVELOPE": "false"})
    assert vars(parser.parse_args([]))["port"] == "1"
    assert vars(parser.parse_args(["--port", "2"]))["port"] == "2"
    assert vars(parser.parse_args([]))["envelope"] == "false"
    assert vars(parser.parse_args(["--envelope"]))["envelope"] is True


def test_help_shows_no_api_key() -> None:
    shown = run("--help", METHOD_EMULATOR_API_KEYS="sk_hidden=a")
    assert shown.returncode == 0
    assert "--writes-per-minute" in shown.stdout
    assert "sk_hidden" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "99999"), "port must be"),
        (("--same-key-at-once", "never"), "same_key_at_once must be one of"),
        (("--reads-per-minute", "x"), "reads_per_minute must be"),
        (("--log-level", "loud"), "log-level must be"),
        (("--colour",), "unrecognized arguments"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(tmp_path: pathlib.Path) -> None:
    with EmulatorProcess(log_file=tmp_path / "log") as emulator:
        port = emulator.url.rpartition(":")[2]
        done = run("--port", port)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
        with pytest.raises(EmulatorProcessError, match="cannot listen"):
            EmulatorProcess(port=int(port), log_file=tmp_path / "second").start()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_it_dies_with_its_parent() -> None:
    code = (
        "import os, signal, sys; from method_emulator.process import EmulatorProcess\n"
        "emulator = EmulatorProcess().start(); print(emulator.pid, emulator.url, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(README.parent)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    url = parent.stdout.split()[1]
    deadline = time.monotonic() + 10
    with httpx.Client() as client:
        while time.monotonic() < deadline:
            try:
                client.get(f"{url}/_emulator/health")
            except httpx.TransportError:
                return
    pytest.fail("the emulator outlived its parent")


def test_the_readme_names_every_setting() -> None:
    text = README.read_text()
    assert [
        name for name in Settings.__dataclass_fields__ if f"`--{name.replace('_', '-')}`" not in text
    ] == []
