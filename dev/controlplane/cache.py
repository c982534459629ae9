"""One installed set of programs: a directory with a manifest that tells whether it is still whole.

A set is installed by one rename of a finished directory, so it is there whole or not at all; what was
damaged since is seen by the manifest. This module neither downloads nor builds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dev.controlplane.pins import CONTROLLER_MANAGER, REQUIRED
from dev.controlplane.process import KeptDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MANIFEST = "manifest.json"
_PARTIAL = ".partial-"


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Where the programs are; `controller_manager` is None where it cannot be had (see binaries.py)."""

    directory: Path
    origin: str  # how they came here, for people to read
    version: str | None  # e.g. v1.37.2 (Kubernetes'); None where somebody else supplied them

    def path(self, program: str) -> Path:
        """Return the path of a program of this set, such as one of pins.PROGRAMS."""
        return self.directory / program

    @property
    def controller_manager(self) -> Path | None:
        """The kube-controller-manager: garbage collection and namespace deletion need it."""
        path = self.path(CONTROLLER_MANAGER)
        return path if path.exists() else None


def seal(directory: Path, *, origin: str, version: str) -> None:
    """Write the manifest of a finished set: what each file's SHA-256, size and modification time is."""
    files = {}
    for path in sorted(directory.iterdir()):
        path.chmod(0o755)
        files[path.name] = {"sha256": sha256(path), **_stat(path)}
    document = {"origin": origin, "version": version, "files": files}
    (directory / _MANIFEST).write_text(json.dumps(document, indent=1) + "\n")


def load(directory: Path, *, required: Iterable[str] = REQUIRED) -> Binaries | None:
    """Return the set in the directory if it is whole, with all that is required, else None.

    Costs one stat per file; a file is only read where its size or modification time is not as recorded.
    """
    try:
        document = json.loads((directory / _MANIFEST).read_text())
        files: dict[str, dict[str, object]] = document["files"]
        if not set(required) <= set(files):
            return None
        for name, recorded in files.items():
            path = directory / name
            if not os.access(path, os.X_OK):
                return None
            found = _stat(path)
            if any(found[key] != recorded[key] for key in found) and (
                found["size"] != recorded["size"] or sha256(path) != recorded["sha256"]
            ):
                return None
        return Binaries(directory=directory, origin=document["origin"], version=document["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no manifest, or not one that we wrote


@contextlib.contextmanager
def partial(target: Path) -> Iterator[Path]:
    """Give an empty directory to fill; on success it takes the target's place, else it is removed.

    Hold the lock around it: what an install left behind when the machine stopped is removed first.
    """
    _sweep(target.parent)
    # Kept: it goes even if this process is killed. Once renamed, there is nothing left to remove.
    with KeptDirectory(_PARTIAL, parent=target.parent) as kept:
        yield kept.path
        if target.exists():  # damaged; programs that still run keep their open files
            target.rename(target.parent / f"{_PARTIAL}old")
        kept.path.rename(target)
    _sweep(target.parent)


@contextlib.contextmanager
def lock(directory: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time install into the directory; `waiting` is called once if another one does.

    The kernel releases the lock when its holder ends, however it ends.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sweep(root: Path) -> None:
    for left in root.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left, ignore_errors=True)


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _stat(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
