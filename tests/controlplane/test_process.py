"""Nothing outlives its owner: not the program, not what it started, not a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.controlplane.process import Child, KeptDirectory

if TYPE_CHECKING:
    from tests.controlplane.conftest import Traces

ROOT = Path(__file__).resolve().parents[2]

SLEEP = f"sleep 600.{os.getpid()}"  # one that no other run of the tests has

# Keeps a directory, and runs a shell there that starts a process of its own; both name the directory.
OWNER = """
import pathlib, sys, time
from dev.controlplane.process import Child, KeptDirectory
kept = KeptDirectory("owned-", parent=pathlib.Path(sys.argv[1]))
script = 'sleep 600 & while :; do date > "$0/file"; sleep 0.01; done'
child = Child(["/bin/sh", "-c", script, kept.path], log=kept.path / "log")
while not (kept.path / "file").exists():
    time.sleep(0.01)
print(kept.path, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_all_goes_when_the_owner_is_killed(tmp_path: Path, traces: Traces, how: signal.Signals) -> None:
    owner = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", OWNER, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        directory = owner.stdout.readline().strip()
        assert len(traces.processes(directory)) >= 3  # the shell and two keepers
        owner.send_signal(how)
    traces.wait_until_gone(directory)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_the_program_goes_when_its_keeper_is_killed(tmp_path: Path, traces: Traces) -> None:
    child = Child(["/bin/sh", "-c", f"echo up; exec {SLEEP}1"], log=tmp_path / "log")
    deadline = time.monotonic() + 20
    while child.log_tail() != "up":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child._keeper.pid, signal.SIGKILL)
    child.stop()
    traces.wait_until_gone(f"{SLEEP}1")


def test_a_program_that_ends_tells_its_exit_code(tmp_path: Path) -> None:
    child = Child(["/bin/sh", "-c", "echo said; exit 7"], log=tmp_path / "log")
    assert child.wait(20) == 7
    assert (child.poll(), child.log_tail()) == (7, "said")
    child.stop()


def test_what_a_program_left_running_ends_with_it(tmp_path: Path, traces: Traces) -> None:
    child = Child(["/bin/sh", "-c", f"{SLEEP}2 & exit 0"], log=tmp_path / "log")
    assert child.wait(20) == 0
    child.stop()
    traces.wait_until_gone(f"{SLEEP}2")


def test_a_program_ended_by_a_signal_says_which(tmp_path: Path) -> None:
    child = Child(["/bin/sh", "-c", "kill -TERM $$"], log=tmp_path / "log")
    assert child.wait(20) == 128 + signal.SIGTERM
    child.stop()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    child = Child([tmp_path / "missing"], log=tmp_path / "log")
    assert child.wait(20) == 127
    assert child.log_tail() == f"cannot start {tmp_path / 'missing'}: No such file or directory"
    child.stop()


def test_stopping_is_quick_and_may_be_repeated(tmp_path: Path) -> None:
    child = Child(["/bin/sh", "-c", "trap '' TERM INT; sleep 600"], log=tmp_path / "log")
    began = time.monotonic()
    child.stop()
    child.stop()
    assert time.monotonic() - began < 10
    assert child.poll() == 128 + signal.SIGKILL


def test_a_kept_directory_is_private_and_goes(tmp_path: Path) -> None:
    with KeptDirectory("kept-", parent=tmp_path) as kept:
        assert kept.path.stat().st_mode & 0o777 == 0o700
        (kept.path / "some").mkdir()
        (kept.path / "some" / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="could not make a temporary directory in"):
        KeptDirectory("kept-", parent=tmp_path / "missing")
    assert "missing" in capfd.readouterr().err
