"""Runs the emulator as a child process, for tests and demos that need it apart from their own event loop.

The child ends with this process even where this one is killed (Linux), and `stop` ends it anywhere.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_PR_SET_PDEATHSIG: Final = 1
_STOP_SECONDS: Final = 5.0


class EmulatorProcessError(RuntimeError):
    """The emulator did not come up; the text holds the end of its log."""


class EmulatorProcess:
    """`python -m method_emulator` as a child; use it as a context manager, with or without async.

    `settings` are those of `Settings`, passed in the environment so that API keys are in no process list.
    `log_file` receives its stderr (None: this process's stderr).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log_file: pathlib.Path | None = None,
        **settings: object,
    ) -> None:
        self._arguments = [sys.executable, "-m", "method_emulator", "--host", host, "--port", str(port)]
        self._settings = settings
        self._log_file = log_file
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The child's process id; 0 where it does not run."""
        return self._process.pid if self._process else 0

    def start(self, *, timeout: float = 20.0) -> Self:
        """Start the child and wait until it listens.

        Raises EmulatorProcessError.
        """
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("METHOD_EMULATOR_")
        }
        for name, value in self._settings.items():
            environment[f"METHOD_EMULATOR_{name.upper()}"] = _as_text(value)
        package_root = str(pathlib.Path(__file__).resolve().parent.parent)
        paths = [package_root, *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        log: IO[bytes] | None = self._log_file.open("ab") if self._log_file else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                self._arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one system call
            )  # fmt: skip
        finally:
            if log is not None:
                log.close()
        line = self._first_line(timeout)
        if not line.startswith("listening on "):
            self.stop()
            log_end = self._log_file.read_text(errors="replace")[-2000:] if self._log_file else "(see stderr)"
            raise EmulatorProcessError(f"the emulator did not start within {timeout:g} s: {log_end}")
        self.url = line.removeprefix("listening on ").strip()
        return self

    def stop(self) -> int | None:
        """End the child and return its exit status; None where it never ran."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.stdout is not None:
            process.stdout.close()
        return process.wait()

    def wait(self, *, timeout: float) -> int | None:
        """Wait for a child that was told to end elsewhere; return its exit status, None where it never ran.

        Raises subprocess.TimeoutExpired.
        """
        return self._process.wait(timeout) if self._process else None

    def kill(self) -> None:
        """End the child at once, as a crash would; everything it stored is gone."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def _first_line(self, timeout: float) -> str:
        """Read the child's first line, or nothing where it takes too long."""
        process = self._process
        if process is None or process.stdout is None:
            return ""
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        try:
            return process.stdout.readline()
        finally:
            watchdog.cancel()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={account}" for key, account in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent's thread ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
