"""An installed set is used only whole, repaired when damaged, and installed by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.controlplane import cache, pins

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
_HOLD_THE_LOCK = """
import pathlib, sys
from dev.controlplane import cache
with cache.lock(pathlib.Path(sys.argv[1]), waiting=lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    target = tmp_path / "cache" / "set"
    target.parent.mkdir()
    with cache.partial(target) as directory:
        for name in pins.PROGRAMS:
            (directory / name).write_text(f"#!/bin/sh\necho {name}\n")
        cache.seal(directory, origin="made up", version="v1")
    return target


def test_a_whole_set_is_found(installed: Path) -> None:
    found = cache.load(installed)
    assert found == cache.Binaries(directory=installed, origin="made up", version="v1")
    assert found.controller_manager == installed / pins.CONTROLLER_MANAGER
    assert [path.name for path in installed.parent.iterdir()] == ["set"]


def _rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: (d / "etcd").unlink(), "a program is gone"),
        (lambda d: _rewrite(d / "etcd", b"#!"), "a program is cut short"),
        (lambda d: _rewrite(d / "etcd", b"?" * (d / "etcd").stat().st_size), "same size, other content"),
        (lambda d: (d / "etcd").chmod(0o644), "a program cannot be started"),
        (lambda d: (d / "manifest.json").unlink(), "no manifest: it was never finished"),
        (lambda d: (d / "manifest.json").write_text("{"), "the manifest is cut short"),
        (lambda d: (d / "manifest.json").write_text("[]"), "the manifest is no object"),
        (lambda d: (d / "manifest.json").write_text('{"files": {}}'), "the manifest names no program"),
    ],
)
def test_a_damaged_set_is_not_used(installed: Path, damage: Callable[[Path], object], reason: str) -> None:
    damage(installed)
    assert cache.load(installed) is None, reason


def test_a_copied_set_is_whole_though_its_times_are_new(installed: Path) -> None:
    os.utime(installed / "etcd", ns=(1, 1))
    assert cache.load(installed) is not None


def test_a_failed_install_leaves_what_was_there(installed: Path) -> None:
    before = cache.load(installed)

    def fail() -> None:
        with cache.partial(installed) as directory:
            (directory / "etcd").write_text("half")
            raise RuntimeError("the network went away")

    with pytest.raises(RuntimeError):
        fail()
    assert cache.load(installed) == before
    assert [path.name for path in installed.parent.iterdir()] == ["set"]


def test_an_install_replaces_a_damaged_set_and_sweeps_up(installed: Path) -> None:
    (installed / "etcd").unlink()
    (installed.parent / ".partial-left-by-a-crash").mkdir()
    with cache.partial(installed) as directory:
        for name in pins.REQUIRED:
            (directory / name).write_text("new")
        cache.seal(directory, origin="again", version="v2")
    found = cache.load(installed)
    assert found is not None
    assert (found.version, found.controller_manager) == ("v2", None)
    assert [path.name for path in installed.parent.iterdir()] == ["set"]


def test_the_second_of_two_processes_waits_and_says_so(tmp_path: Path) -> None:
    holder = subprocess.Popen(  # noqa: S603 - this very interpreter
        [
            sys.executable,
            "-c",
            _HOLD_THE_LOCK,
            tmp_path,
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    told, got = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with cache.lock(tmp_path, waiting=told.set):
            got.set()

    second = threading.Thread(target=wait_for_it)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        second.start()
        assert told.wait(20)
        assert not got.is_set()
        holder.kill()  # the kernel gives the lock back, whatever became of its holder
    assert got.wait(20)
    second.join()


def test_a_free_lock_is_taken_without_a_word(tmp_path: Path) -> None:
    with cache.lock(tmp_path / "new", waiting=lambda: pytest.fail("nobody holds it")):
        pass
