"""What is downloaded is exactly what was expected, or it is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from typing import TYPE_CHECKING

import pytest

from dev.controlplane import download, pins

if TYPE_CHECKING:
    from pathlib import Path

    from tests.controlplane.conftest import Site

PLATFORM = "linux-amd64"
FOLDER = f"envtest-{pins.ENVTEST_VERSION}"
ARCHIVE = f"{FOLDER}/{FOLDER}-{PLATFORM}.tar.gz"
MANAGER = f"{pins.ENVTEST_VERSION}/bin/linux/amd64/{pins.CONTROLLER_MANAGER}"


def _fetch(directory: Path, source: pins.Source, *, platform: str = PLATFORM) -> list[str]:
    said: list[str] = []
    directory.mkdir()
    download.fetch(directory, platform=platform, source=source, say=said.append)
    return said


def test_linux_gets_all_four_programs(site: Site, tmp_path: Path) -> None:
    said = _fetch(tmp_path / "out", site.offer())
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(pins.PROGRAMS)
    assert (tmp_path / "out" / "etcd").read_text() == "#!/bin/sh\n# etcd\n"
    assert [line.split("downloading ")[1] for line in said] == [
        f"{FOLDER}-{PLATFORM}.tar.gz",
        pins.CONTROLLER_MANAGER,
    ]


def test_elsewhere_there_is_no_controller_manager(site: Site, tmp_path: Path) -> None:
    _fetch(tmp_path / "out", site.offer(platform="darwin-arm64"), platform="darwin-arm64")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(pins.REQUIRED)


def test_a_wrong_hash_is_refused_before_unpacking(site: Site, tmp_path: Path) -> None:
    source = dataclasses.replace(site.offer(), sha512={PLATFORM: "0" * 128})
    with pytest.raises(download.DownloadError, match=r"expected 0{16}…; it was not used"):
        _fetch(tmp_path / "out", source)
    assert not (tmp_path / "out" / "etcd").exists()


def test_an_archive_cut_short_is_refused(site: Site, tmp_path: Path) -> None:
    source = site.offer()
    whole = (site.root / ARCHIVE).read_bytes()
    site.serve(ARCHIVE, whole[: len(whole) // 2])
    with pytest.raises(download.DownloadError, match="it was not used"):
        _fetch(tmp_path / "out", source)
    assert not (tmp_path / "out" / "etcd").exists()


@pytest.mark.parametrize(
    ("content", "message", "reason"),
    [
        (b"not an archive", "cannot be unpacked", "no archive, though its hash is the pinned one"),
        (None, "kubectl is not in it", "an archive without one of the programs"),
    ],
)
def test_a_bad_archive_is_refused(
    site: Site, tmp_path: Path, content: bytes | None, message: str, reason: str
) -> None:
    source = site.offer({"etcd": b"1", "kube-apiserver": b"2", "../../kubectx": b"3"})
    if content is not None:
        site.serve(ARCHIVE, content)
        source = site.source({PLATFORM: hashlib.sha512(content).hexdigest()})
    with pytest.raises(download.DownloadError) as refused:
        _fetch(tmp_path / "out", source)
    assert message in str(refused.value), reason


@pytest.mark.parametrize(
    ("suffix", "content", "message", "reason"),
    [
        ("", b"something else", "it was not used", "the program is not what was published"),
        (".sha512", b"<html>sign in</html>", "holds no SHA-512", "a page of a captive portal"),
        (".sha512", b"", "holds no SHA-512", "an empty answer"),
    ],
)
def test_the_controller_manager_must_match_its_published_hash(  # noqa: PLR0917 - pytest names them
    site: Site, tmp_path: Path, suffix: str, content: bytes, message: str, reason: str
) -> None:
    source = site.offer()
    site.serve(MANAGER + suffix, content)
    with pytest.raises(download.DownloadError) as refused:
        _fetch(tmp_path / "out", source)
    assert message in str(refused.value), reason


def test_what_is_not_there_is_named(site: Site, tmp_path: Path) -> None:
    source = site.offer()
    (site.root / ARCHIVE).unlink()
    with pytest.raises(download.DownloadError, match=r"linux-amd64\.tar\.gz: status 404"):
        _fetch(tmp_path / "out", source)


def test_an_unknown_platform_asks_nobody(site: Site, tmp_path: Path) -> None:
    with pytest.raises(download.DownloadError, match="no official archive for plan9-mips"):
        _fetch(tmp_path / "out", site.offer(), platform="plan9-mips")
    assert site.requests == []


def test_a_network_that_swallows_packets_costs_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    monkeypatch.setattr(download, "_PROBE_SECONDS", 0.2)
    source = pins.Source(archives=f"http://127.0.0.1:{silent_port}")
    began = time.monotonic()
    with pytest.raises(download.DownloadError, match=re.escape("127.0.0.1 cannot be reached")):
        _fetch(tmp_path / "out", source)
    assert time.monotonic() - began < 10


def test_every_official_archive_is_pinned_by_a_whole_hash() -> None:
    assert set(pins.ENVTEST_SHA512) == {"linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"}
    assert all(re.fullmatch("[0-9a-f]{128}", value) for value in pins.ENVTEST_SHA512.values())
    assert len(set(pins.ENVTEST_SHA512.values())) == 4
