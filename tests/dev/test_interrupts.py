"""A Ctrl-C that Python drops is not lost: the program that it was meant for still ends by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, subprocess, sys
from dev.interrupts import Interrupts

def press():
    os.kill(os.getpid(), signal.SIGINT)

class Dying:
    def __del__(self):
        press()

def fork():
    os.register_at_fork(after_in_parent=press)
    os.waitpid(os.fork() or os._exit(0), 0)

def broken():
    class Broken:
        def __del__(self):
            raise ValueError("not an interrupt")
    Broken()

interrupts = Interrupts([signal.SIGINT])
interrupts.listen()
{lose}
print("went on")
interrupts.check()
print("never said")
"""


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        ("fork()", "a hook around fork: logging has one, and every kubectl is a fork"),
        ("Dying()", "a destructor"),
    ],
)
def test_an_interrupt_that_python_drops_is_raised_at_the_next_check(lose: str, reason: str) -> None:
    done = run(lose)
    assert done.stdout == "went on\n", reason
    assert done.stderr.endswith("KeyboardInterrupt\n"), reason
    assert "ignored" not in done.stderr, "it is not ignored, so nobody is told that it was"


def test_other_errors_in_a_destructor_are_still_told() -> None:
    done = run("broken()")
    assert "ValueError: not an interrupt" in done.stderr
    assert done.stdout == "went on\nnever said\n", "and are no interrupt"


def run(lose: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", PROGRAM.format(lose=lose)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
