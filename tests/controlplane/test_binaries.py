"""The programs are looked for in a fixed order, and whoever lacks them all is told what to do."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.controlplane import NotAvailableError, binaries, cache, pins

if TYPE_CHECKING:
    from dev.controlplane.cache import Binaries
    from tests.controlplane.conftest import Site, Traces

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def plain_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(binaries.KUBEBUILDER_ASSETS, raising=False)
    monkeypatch.setattr(pins, "this_platform", lambda: "linux-amd64")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def nowhere(refusing_port: int) -> pins.Source:
    url = f"http://127.0.0.1:{refusing_port}"
    return pins.Source(archives=url, releases=url)


def _ensure(root: Path, source: pins.Source, *, go: str = "") -> tuple[Binaries, list[str]]:
    said: list[str] = []
    return binaries.ensure(root=root, source=source, go=go, say=said.append), said


def test_assets_named_by_the_user_come_first(
    root: Path, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ensure(root, site.offer())
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in pins.REQUIRED:
        (assets / name).touch(mode=0o755)
    monkeypatch.setenv(binaries.KUBEBUILDER_ASSETS, str(assets))
    found = binaries.find(root=root)
    assert found is not None
    assert (found.directory, found.version, found.controller_manager) == (assets, None, None)


def test_assets_that_lack_a_program_are_an_error(
    root: Path, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(binaries.KUBEBUILDER_ASSETS, str(tmp_path))
    with pytest.raises(NotAvailableError, match="has no program etcd, kube-apiserver, kubectl"):
        _ensure(root, site.offer())
    assert site.requests == []


def test_a_download_is_made_once(root: Path, site: Site) -> None:
    source = site.offer()
    first, said = _ensure(root, source)
    asked = len(site.requests)
    assert said
    second, said = _ensure(root, source)
    assert second == first
    assert first.version == pins.ENVTEST_VERSION
    assert first.controller_manager is not None
    assert (said, len(site.requests)) == ([], asked)


def test_a_damaged_cache_is_repaired_and_said_so(root: Path, site: Site) -> None:
    source = site.offer()
    first, _ = _ensure(root, source)
    first.path("etcd").write_text("half")
    assert binaries.find(root=root) is None
    second, said = _ensure(root, source)
    assert second.path("etcd").read_text() == "#!/bin/sh\n# etcd\n"
    assert "is damaged or incomplete; getting it again" in said[0]


def test_go_builds_where_the_network_refuses(
    root: Path, nowhere: pins.Source, go: str, small_programs: Path
) -> None:
    found, said = _ensure(root, nowhere, go=go)
    assert (
        said[0] == "Control plane: no download: 127.0.0.1 cannot be reached (ConnectError); building instead"
    )
    assert found.version == pins.KUBERNETES_VERSION
    shown = subprocess.run(  # noqa: S603 - it was built above
        [found.path("kubectl")], capture_output=True, text=True, check=True
    )
    assert shown.stderr == "kubectl v9\n"
    assert _ensure(root, nowhere) == (found, [])
    assert small_programs.exists()


def test_go_builds_where_the_download_is_not_what_it_should_be(
    root: Path, site: Site, go: str, small_programs: Path
) -> None:
    source = dataclasses.replace(site.offer(), sha512={"linux-amd64": "0" * 128})
    found, said = _ensure(root, source, go=go)
    assert any("it was not used; building instead" in line for line in said)
    assert found.version == pins.KUBERNETES_VERSION
    assert sorted(path.name for path in root.iterdir()) == [".lock", found.directory.name]
    assert small_programs.exists()


def test_without_network_and_go_the_message_says_what_to_do(root: Path, nowhere: pins.Source) -> None:
    with pytest.raises(NotAvailableError) as told:
        _ensure(root, nowhere)
    message = str(told.value)
    assert "download: 127.0.0.1 cannot be reached" in message
    assert "build: there is no go command" in message
    assert "install Go 1.26 or newer" in message
    assert binaries.KUBEBUILDER_ASSETS in message
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_a_build_that_fails_shows_the_compilers_words(
    root: Path, nowhere: pins.Source, go: str, small_programs: Path
) -> None:
    (small_programs / "kubectl" / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(NotAvailableError, match="undefined: nonsense"):
        _ensure(root, nowhere, go=go)
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_off_linux_go_comes_before_an_archive_without_controller_manager(
    root: Path, site: Site, go: str, small_programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "this_platform", lambda: "darwin-arm64")
    source = site.offer(platform="darwin-arm64")
    found, _ = _ensure(root / "with", source, go=go)
    assert (found.version, site.requests) == (pins.KUBERNETES_VERSION, [])
    found, _ = _ensure(root / "without", source)
    assert (found.version, found.controller_manager) == (pins.ENVTEST_VERSION, None)
    assert small_programs.exists()


def test_who_waited_for_another_install_uses_it(root: Path, site: Site) -> None:
    source = site.offer()
    told = threading.Event()
    found: list[Binaries] = []

    def second() -> None:
        found.append(binaries.ensure(root=root, source=source, go="", say=lambda _: told.set()))

    thread = threading.Thread(target=second)
    with cache.lock(root, waiting=lambda: None):
        thread.start()
        assert told.wait(20)
        target = binaries._downloaded(root)
        with cache.partial(target) as directory:
            for name in pins.PROGRAMS:
                (directory / name).write_text("of the first")
            cache.seal(directory, origin="the first", version="v1")
    thread.join(20)
    assert [entry.origin for entry in found] == ["the first"]
    assert site.requests == []


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_a_build_that_is_killed_leaves_nothing(
    root: Path, tmp_path: Path, traces: Traces, how: signal.Signals, code: int
) -> None:
    """A stand-in for the go command that never ends its work: only its being ended is looked at."""
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\ncase $1 in list) exit 0;; esac\nsleep 600 & touch "$GOTMPDIR/x"; wait\n')
    go.chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    script = (
        "import pathlib, sys\n"
        "from dev.controlplane import __main__, build, binaries, pins\n"
        "root, go = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        "source = pins.Source(sha512={})\n"
        "ensure = binaries.ensure\n"
        "binaries.ensure = lambda: ensure(root=root, source=source, go=go)\n"
        "sys.argv[1:] = ['ensure']\n"
        "sys.exit(__main__.main())\n"
    )
    owner = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script, root, go],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stderr is not None
        while "linking" not in owner.stderr.readline():
            assert owner.poll() is None
        deadline = time.monotonic() + 20
        while not list(temporary.glob("*/x")):  # the stand-in is at work
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert traces.processes(str(go))
        owner.send_signal(how)
    assert owner.returncode == code
    deadline = time.monotonic() + 20
    while left := [
        *traces.processes(str(tmp_path)),
        *temporary.iterdir(),
        *root.glob("[!.]*"),
        *root.glob(".p*"),
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_finding_what_is_there_imports_nothing_slow() -> None:
    """`make` runs it before every test and demo."""
    script = (
        "import sys\n"
        "from dev.controlplane import binaries, __main__\n"
        "binaries.find()\n"
        "print(sorted({'httpx', 'cryptography', 'yaml'} & set(sys.modules)))\n"
    )
    done = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
