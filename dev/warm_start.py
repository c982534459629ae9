"""Starts operators by forking a process that has imported them: a start costs no second of CPU then.

For tests, which start hundreds. Each operator is a process of its own, to be stopped and killed as any
other; what it does not go through is Python's own start, which the tests of the command line are for.
Standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

_PRELOADED: Final = ("methodsecret_operator.__main__", "methodsecret_operator.runtime.app")
_HEAD: Final = struct.Struct("!I")
_CODE: Final = struct.Struct("!i")
_ROOT: Final = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Forked:
    """A child of the process that forks; what dev.operator_process.Child asks for."""

    def __init__(self, news: int) -> None:
        self._news = news  # a pipe: the process id, and at its end the exit code
        self._lock = threading.Lock()
        self._exit_code: int | None = None
        self.pid = _read_number(news)

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number where one ended it; None while it runs."""
        return self._exit_code_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code. Raises subprocess.TimeoutExpired."""
        code = self._exit_code_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("methodsecret-operator", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _exit_code_within(self, seconds: float | None) -> int | None:
        if self._exit_code is None:
            select.select([self._news], [], [], seconds)  # not under the lock: others may ask meanwhile
        with self._lock:
            if self._exit_code is None and select.select([self._news], [], [], 0)[0]:
                self._exit_code = _read_number(self._news)
            return self._exit_code

    def __del__(self) -> None:
        os.close(self._news)


class WarmStart:
    """The process that forks, started with the first operator. It ends with this one, and they with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End it, and on Linux its children."""
        with self._lock:
            if self._orders is not None and self._server is not None:
                self._orders.close()
                self._server.wait()
            self._orders = self._server = None

    def __call__(
        self,
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: IO[bytes],
        arguments: Sequence[str] = ("run",),
        stdout: Path | None = None,
    ) -> Forked:
        """Start `methodsecret-operator` with these arguments. What it says goes into `log`.

        With `stdout`, a file to be made, that is for its standard error alone.
        """
        asked = {"env": dict(env), "cwd": str(cwd), "arguments": [*arguments], "stdout": str(stdout or "")}
        order = json.dumps(asked).encode()
        with self._lock:
            if self._orders is None:
                self._server, self._orders = _start_server(env)
            news, told = os.pipe()
            try:
                socket.send_fds(self._orders, [_HEAD.pack(len(order))], [log.fileno(), told])
                self._orders.sendall(order)
            finally:
                os.close(told)
        return Forked(news)


@functools.cache
def warm_start() -> WarmStart:
    """Return the one of this process."""
    made = WarmStart()
    atexit.register(made.close)
    return made


def _start_server(env: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        os.set_inheritable(theirs.fileno(), True)  # noqa: FBT003 - as the function is
        server = subprocess.Popen(
            [sys.executable, "-m", "dev.warm_start", str(theirs.fileno())],
            env={**env, "PYTHONPATH": os.pathsep.join([str(_ROOT), env.get("PYTHONPATH", "")])},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a terminal's Ctrl-C does not reach it: it ends with its owner
        )
    return server, ours


def _read_number(pipe: int) -> int:
    return int(_CODE.unpack(os.read(pipe, _CODE.size))[0])  # so little arrives whole; b"": the server is dead


# --- in the process that forks ----------------------------------------------------------------------


def _serve(orders: socket.socket) -> list[str]:
    """Fork for each order. Returns its arguments in a child; none when the owner has gone."""
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is there now is shared by all, and not to be copied by being counted
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    told_at: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if wake in ready:
                os.read(wake, 4096)
                _bury(told_at)
            if orders.fileno() not in ready:
                continue
            head, (log, told) = _received(orders)
            if not head:
                return []
            order = json.loads(_exactly(orders, _HEAD.unpack(head)[0]))
            me = os.getpid()
            if (pid := os.fork()) == 0:
                for descriptor in (wake, waker, told, *told_at.values()):
                    os.close(descriptor)
                orders.close()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _become(order, log, parent=me)
                return list(order["arguments"])
            os.close(log)
            told_at[pid] = told
            os.write(told, _CODE.pack(pid))


def _received(orders: socket.socket) -> tuple[bytes, list[int]]:
    """Return the head of an order with its descriptors; b"" where the owner has gone."""
    head, descriptors, _, _ = socket.recv_fds(orders, _HEAD.size, 2)
    return head, descriptors or [-1, -1]


def _exactly(orders: socket.socket, length: int) -> bytes:
    order = bytearray()
    while len(order) < length:
        order += orders.recv(length - len(order))
    return bytes(order)


def _bury(told_at: dict[int, int]) -> None:
    """Tell the owner how those that have ended did."""
    while told_at:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told = told_at.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
            os.write(told, _CODE.pack(os.waitstatus_to_exitcode(status)))
        os.close(told)


def _become(order: Mapping[str, Any], log: int, *, parent: int) -> None:
    """Give this process the place in the world that the order asks for."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    if order["stdout"]:
        stdout = os.open(order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.dup2(stdout, 1)
        os.close(stdout)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])


if __name__ == "__main__":
    if arguments := _serve(socket.socket(fileno=int(sys.argv[1]))):
        from methodsecret_operator.__main__ import main

        # Not os._exit: what is to be done at the end of a process is done, a coverage report for one.
        sys.exit(main(arguments))
