"""The programs that are compared, each a process of its own that says when it begins.

`begin` is after a program's imports and before its first look at an object: what follows is the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import psutil

from bench.place import API_KEY, ROOT, SYSTEM, Place
from dev.operator_process import OperatorProcess

Name = Literal["floor", "operator", "tutorial", "informer"]
_UNLIMITED: Final = {"WRITES_PER_MINUTE": "1000000", "READS_PER_MINUTE": "1000000"}
_WAIT_SECONDS: Final = 60.0


class Program(Protocol):
    """A running program."""

    @property
    def process(self) -> psutil.Process:
        """The process."""

    async def begun(self) -> None:
        """Return when it begins to work."""


class Operator:
    """The operator as shipped: `python -m methodsecret_operator run` with its own ServiceAccount's rights."""

    def __init__(self, place: Place, *, namespace: str | None, limits: bool = False, **env: str) -> None:
        settings = {"OPERATOR_NAMESPACE": SYSTEM} | ({} if limits else _UNLIMITED) | env
        if namespace is not None:
            settings["NAMESPACES"] = namespace
        self._log = place.directory / "operator.log"
        self._log.write_text("")
        self.runner = OperatorProcess(
            kubeconfig=place.kubeconfig,
            base_url=place.emulator.url,
            api_key_file=place.api_key_file,
            log_file=self._log,
            env={f"METHODSECRET_{name}": text for name, text in settings.items()},
        )
        self.started_at = time.monotonic()
        self.runner.start()

    @property
    def process(self) -> psutil.Process:
        """The process."""
        return psutil.Process(self.runner.pid)

    async def begun(self) -> None:
        """Return when it knows its cluster, and goes on to look at Secrets and objects."""
        await self.until("cluster identified")

    async def ready(self) -> float:
        """Return the seconds from its start until it works."""
        await self.until("running")
        return time.monotonic() - self.started_at

    async def until(self, event: str) -> None:
        """Return when it has logged an event."""
        await _until_said(self._log, event, lambda: self.runner.running)

    def stop(self) -> None:
        """End it as Kubernetes would."""
        self.runner.stop()


class Script:
    """The floor, the baseline, or kopf alone."""

    def __init__(self, place: Place, name: str, *, namespace: str, names: Sequence[str]) -> None:
        self._log = place.directory / f"{name}.log"
        settings: dict[str, Any] = {
            "server": place.plane.url,
            "ca_file": str(place.plane.ca_file),
            "token": place.token,
            # The baseline writes annotations and lists what the operator need not: it may do anything.
            "kubeconfig": str(place.plane.kubeconfig),
            "method_url": place.emulator.url,
            "api_key": API_KEY,
            "namespace": namespace,
            "names": list(names),
        }
        with self._log.open("wb") as log, tempfile.TemporaryFile() as given:
            given.write(json.dumps(settings).encode() + b"\n")
            given.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"bench.{name}"],
                cwd=ROOT,
                env=os.environ | {"KUBECONFIG": str(place.plane.kubeconfig)},
                stdin=given,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def process(self) -> psutil.Process:
        """The process."""
        return psutil.Process(self._process.pid)

    async def begun(self) -> None:
        """Return when it has said so."""
        await _until_said(self._log, "begin", lambda: self._process.poll() is None)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def running(place: Place, name: Name, *, namespace: str, names: Sequence[str]) -> Iterator[Program]:
    """Start a program for the objects of a namespace, without limits, and end it."""
    program: Operator | Script
    if name == "operator":
        program = Operator(place, namespace=namespace)
    else:
        program = Script(place, name, namespace=namespace, names=names)
    try:
        yield program
    finally:
        program.stop()


async def _until_said(log: Path, event: str, alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    wanted = json.dumps(event)
    while True:
        text = log.read_text(errors="replace")
        if any('"event": ' + wanted in line for line in text.splitlines()):
            return
        if not alive() or time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} did not say {event!r}:\n" + "\n".join(text.splitlines()[-20:]))
        await asyncio.sleep(0.01)
