"""A place to download from, and Go programs that build in a second, for the tests of dev.controlplane."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import socket
import subprocess
import tarfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.controlplane import build, pins

if TYPE_CHECKING:
    from collections.abc import Iterator

PLATFORM = "linux-amd64"


def archive_of(programs: dict[str, bytes]) -> bytes:
    """Return an archive laid out as the official ones are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in programs.items():
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            member.size = len(content)
            member.mode = 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Site:
    """A web server on this machine that serves `files`, and counts what was asked of it."""

    url: str
    root: Path
    requests: list[str] = field(default_factory=list)

    def serve(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def offer(self, programs: dict[str, bytes] | None = None, *, platform: str = PLATFORM) -> pins.Source:
        """Offer an archive and a controller manager; return the source that fits them."""
        archive = archive_of(programs or {name: f"#!/bin/sh\n# {name}\n".encode() for name in pins.REQUIRED})
        folder = f"envtest-{pins.ENVTEST_VERSION}"
        self.serve(f"{folder}/{folder}-{platform}.tar.gz", archive)
        manager = b"#!/bin/sh\n# controller manager\n"
        path = f"{pins.ENVTEST_VERSION}/bin/{platform.replace('-', '/')}/{pins.CONTROLLER_MANAGER}"
        self.serve(path, manager)
        self.serve(f"{path}.sha512", hashlib.sha512(manager).hexdigest().encode())
        return self.source({platform: hashlib.sha512(archive).hexdigest()})

    def source(self, sha512: dict[str, str]) -> pins.Source:
        return pins.Source(archives=self.url, releases=self.url, sha512=sha512)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            requests.append(f"{self.command} {self.path}")

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(root))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Site(url=f"http://127.0.0.1:{server.server_address[1]}", root=root, requests=requests)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def go() -> str:
    found = build.find_go()
    if found is None:
        pytest.skip("the Go toolchain is not installed")
    return found


@pytest.fixture
def small_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have build.py build four one-line Go programs instead of Kubernetes; return their module."""
    module = tmp_path / "module"
    for name in pins.PROGRAMS:
        (module / name).mkdir(parents=True)
        (module / name / "main.go").write_text(
            f'package main\n\nvar version = "none"\n\nfunc main() {{ println("{name}", version) }}\n'
        )
    (module / "go.mod").write_text("module example.invalid/small\n\ngo 1.21\n")
    (module / "go.sum").touch()
    programs = tuple(
        build.Program(
            name=name,
            package=f"example.invalid/small/{name}",
            module=module,
            seconds=1,
            flags="-s -w -X main.version=v9",
        )
        for name in pins.PROGRAMS
    )
    monkeypatch.setattr(build, "PROGRAMS", programs)
    return module


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def refusing_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Traces:
    """What a run left on this machine: processes that name a directory, and the directory itself."""

    @staticmethod
    def processes(directory: str) -> list[str]:
        listed = subprocess.run(
            ["ps", "-axww", "-o", "pid=,command="],  # noqa: S607 - wherever the system has it
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in listed.stdout.splitlines() if directory in line]

    def wait_until_gone(self, directory: str, *, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while (left := self.processes(directory)) or Path(directory).exists():
            assert time.monotonic() < deadline, f"left after {seconds} s: {directory}, {left}"
            time.sleep(0.05)


@pytest.fixture
def traces() -> Traces:
    return Traces()
