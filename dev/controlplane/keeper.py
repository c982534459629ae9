"""Runs one program, or keeps one directory, for exactly as long as whoever started this lives.

Started as a script of its own (`python keeper.py …`, see process.py), with standard input a pipe whose
other end the owner holds and never writes to. End of file there means: stop was asked for, or the owner
died, SIGKILL included. Then the program and everything it started is killed, or the directory removed.
Standard library only, one thread only, and nothing of the project is imported: it must start at once
and cannot fail with the rest.

    keeper.py run PROGRAM ARGUMENT…   exits with the program's own exit code
    keeper.py keep DIRECTORY          makes the directory, says so in one line, removes it at the end
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import select
import shutil
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# The owner decides when a keeper ends: signals meant for a whole terminal or job are not for it.
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def _die_with(parent: int) -> None:
    """Have Linux kill this process if the keeper itself is killed (elsewhere the pipe must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def run(argv: list[str]) -> int:
    """Run the program until it ends or standard input does; return its exit code (128 + signal)."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        # A group of its own, so that what the program starts (compilers, say) can be ended with it.
        os.setpgid(0, 0)
        for ignored in _IGNORED:  # else the program would ignore them too
            signal.signal(ignored, signal.SIG_DFL)
        _die_with(keeper)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        try:
            os.execv(argv[0], argv)  # noqa: S606 - the point of this file; there is no shell to want
        except OSError as error:
            sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        os._exit(127)
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 512)
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                _kill_group(child)  # whatever it left behind
                return _exit_code(status)
        if 0 in ready and not os.read(0, 512):
            _kill_group(child)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # in case it had not reached setpgid yet
            return _exit_code(os.waitpid(child, 0)[1])


def _kill_group(child: int) -> None:
    # Gone already; macOS says EPERM of a zombie's group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def keep(directory: pathlib.Path) -> int:
    """Make the directory, wait for the end of standard input, remove it."""
    directory.mkdir(mode=0o700)
    sys.stdout.write("made\n")
    sys.stdout.flush()
    while os.read(0, 512):
        pass
    # Programs that live in it end at the same moment and may still write: try until it is gone.
    for _ in range(200):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return 0
        time.sleep(0.05)
    sys.stderr.write(f"could not remove {directory}\n")
    return 1


if __name__ == "__main__":
    for ignored in _IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    if sys.argv[1] == "run":
        sys.exit(run(sys.argv[2:]))
    sys.exit(keep(pathlib.Path(sys.argv[2])))
