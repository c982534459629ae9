"""Runs the operator as a process of its own, as in production; for the demo, tests and benchmarks.

It talks to the control plane that it is given a kubeconfig for and to the Method API at `base_url`, and
to nothing else: settings of the caller's environment do not reach it. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READY_SECONDS: Final = 60.0
"""How long a start may take; about 1.5 on an idle machine with 2 cores."""

STOP_SECONDS: Final = 30.0
"""How long after SIGTERM Kubernetes sends SIGKILL."""

_POLL_SECONDS: Final = 0.02
_ROOT: Final = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class OperatorProcessError(RuntimeError):
    """The operator did not do what was waited for; the text holds the end of its log."""


class Child(Protocol):
    """A child process; subprocess.Popen is one."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number where one ended it; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code. Raises subprocess.TimeoutExpired."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal; nothing happens where it has ended."""


class Launch(Protocol):
    """Starts `methodsecret-operator run` with this environment; what it says goes to the log."""

    def __call__(self, *, env: Mapping[str, str], cwd: Path, log: IO[bytes]) -> Child:
        """Return the process."""


def launch(*, env: Mapping[str, str], cwd: Path, log: IO[bytes]) -> Child:
    """Start it as everybody does; the other way is in warm_start.py."""
    return subprocess.Popen(
        [sys.executable, "-m", "methodsecret_operator", "run"],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,  # noqa: PLW1509 - two system calls
    )


class OperatorProcess:
    """`python -m methodsecret_operator run` as a child; as a context manager: started, ready, and stopped.

    `env` holds further settings (METHODSECRET_…) and wins over the arguments. `log_file` receives all its
    output; a second start() appends. `health_port` 0 serves no health endpoint, which listens on every
    address of the machine; readiness is then told by the log.

    On Linux the child dies with the thread that called start(): do not start it from a short-lived one.
    A terminal's Ctrl-C does not reach it: its owner stops it.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path,
        base_url: str,
        log_file: Path,
        api_key_file: Path | None = None,
        health_port: int = 0,
        env: Mapping[str, str] | None = None,
        launch: Launch = launch,
    ) -> None:
        self._launch = launch
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "METHODSECRET_BASE_URL": base_url,
            "METHODSECRET_API_KEY_FILE": "" if api_key_file is None else str(api_key_file),
            "METHODSECRET_HEALTH_PORT": str(health_port),
            "METHODSECRET_LOG_FORMAT": "json",
        }
        self._env = clean_environment() | settings | dict(env or {})
        self._health_port = int(self._env["METHODSECRET_HEALTH_PORT"])
        self.log_file = log_file
        self._log_start = 0  # where this start's part of the log begins
        self._process: Child | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 where it does not run."""
        return self._process.pid if self.running and self._process else 0

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the last run ended (minus the signal's number where one ended it); None before that."""
        return None if self._process is None else self._process.poll()

    def start(self) -> Self:
        """Start the process and return at once; see wait_ready()."""
        if self.running:
            raise OperatorProcessError("the operator is running already")
        self.log_file.touch(mode=0o600)
        self._log_start = self.log_file.stat().st_size
        with self.log_file.open("ab") as log:
            # The log's folder: nothing of the checkout is in its reach but what is shipped.
            self._process = self._launch(env=self._env, cwd=self.log_file.parent, log=log)
        return self

    def wait_ready(self, timeout: float = READY_SECONDS) -> Self:
        """Return when it is ready. Raises OperatorProcessError where it ends first or takes too long."""
        self._until(self._is_ready if self._health_port else lambda: self._says("running"), "ready", timeout)
        return self

    def wait_event(self, *events: str, timeout: float = READY_SECONDS) -> str:
        """Return the first of these events that it has logged since its start; raises as wait_ready."""
        self._until(lambda: any(map(self._says, events)), f"saying {' or '.join(events)}", timeout)
        return next(event for event in events if self._says(event))

    def _until(self, true: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not true():
            if not self.running:
                raise OperatorProcessError(f"the operator ended with {self.exit_code}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise OperatorProcessError(
                    f"the operator was not {what} in {timeout:g} s:\n{self.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def wait(self, timeout: float | None = STOP_SECONDS) -> int:
        """Wait for it to end by itself (None: however long) and return its exit code.

        Raises OperatorProcessError where it takes longer.
        """
        if self._process is None:
            raise OperatorProcessError("the operator was never started")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise OperatorProcessError(
                f"the operator has not ended in {timeout:g} s:\n{self.log_tail()}"
            ) from None

    def stop(self, timeout: float = STOP_SECONDS) -> int | None:
        """Send SIGTERM and wait; return the exit code, None where it never ran. Safe to call twice.

        Raises OperatorProcessError where it had to be killed after `timeout`, as Kubernetes would.
        """
        if self._process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Send SIGKILL and wait until it is gone; safe to call twice."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, SIGSTOP say; nothing happens where it does not run."""
        if self._process is not None:
            self._process.send_signal(number)

    def log_text(self) -> str:
        """Return everything it has written so far, in all its runs."""
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its log, for an error message."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def _says(self, event: str) -> bool:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().splitlines()
        for line in lines:
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    return True
        return False

    def _is_ready(self) -> bool:
        # No proxy: the request is for this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self._health_port}/readyz"
        try:
            with opener.open(url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def __enter__(self) -> Self:
        try:
            return self.start().wait_ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without the settings of operators, clusters and proxies in it."""
    foreign = ("METHODSECRET_", "METHOD_", "KUBERNETES_SERVICE_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }
    return kept | {"PYTHONPATH": str(_ROOT / "operator"), "PYTHONUNBUFFERED": "1"}


def _die_with(parent: int) -> Callable[[], None]:
    """Return what makes Linux kill the child when its parent dies, however it dies."""
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: little may be done after it

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return set_signal
