"""Downloads the official programs and refuses whatever does not have the expected SHA-512.

Etcd, kube-apiserver and kubectl come in one archive with a hash pinned in pins.py. The
kube-controller-manager (Linux only) comes from the Kubernetes release host, held against the hash
published beside it.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import threading
from typing import TYPE_CHECKING

import httpx

from dev.controlplane import pins
from dev.controlplane.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PROBE_SECONDS = 5.0  # a network that drops packets must not hold up a machine that has Go
_TIMEOUT = httpx.Timeout(30, connect=_PROBE_SECONDS)
_MEGABYTE = 1_000_000
_SHA512_CHARACTERS = 128


class DownloadError(Exception):
    """Something could not be downloaded, or was not what it should be; the message says which and why."""


def fetch(
    directory: Path,
    *,
    platform: str,
    source: pins.Source,
    say: Callable[[str], None],
) -> None:
    """Put the programs into the directory: all four on Linux, without a controller manager elsewhere.

    Raises DownloadError: the network says no, a hash is wrong, or the archive lacks a program.
    """
    if platform not in source.sha512:
        raise DownloadError(f"there is no official archive for {platform}")
    name = f"envtest-{pins.ENVTEST_VERSION}-{platform}.tar.gz"
    url = f"{source.archives}/envtest-{pins.ENVTEST_VERSION}/{name}"
    _probe(url)
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        archive = directory / name
        _download(client, url, archive, sha512=source.sha512[platform], say=say)
        _unpack(archive, directory)
        archive.unlink()
        if platform.startswith("linux-"):
            path = f"{pins.ENVTEST_VERSION}/bin/{platform.replace('-', '/')}/{pins.CONTROLLER_MANAGER}"
            url = f"{source.releases}/{path}"
            published = _published_hash(client, f"{url}.sha512")
            _download(client, url, directory / pins.CONTROLLER_MANAGER, sha512=published, say=say)


def _probe(url: str) -> None:
    """Find out in a few seconds whether the network is there, name resolution (no time limit) included."""
    failure: list[str] = ["no answer"]

    def ask() -> None:
        try:
            httpx.head(url, timeout=_PROBE_SECONDS)
            failure.clear()
        except httpx.HTTPError as error:
            failure[:] = [type(error).__name__]

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    if failure:
        raise DownloadError(f"{httpx.URL(url).host} cannot be reached ({failure[0]})")


def _download(client: httpx.Client, url: str, path: Path, *, sha512: str, say: Callable[[str], None]) -> None:
    digest = hashlib.sha512()
    what = f"Control plane: downloading {path.name}"
    try:
        with client.stream("GET", url) as response, path.open("wb") as file:
            response.raise_for_status()
            total = int(response.headers.get("content-length", 0)) // _MEGABYTE
            say(f"{what} ({total} MB)" if total else what)
            progress = Progress(say, what, total=total, unit="MB")
            for chunk in response.iter_bytes(_MEGABYTE):
                file.write(chunk)
                digest.update(chunk)
                progress.at(file.tell() // _MEGABYTE)
    except httpx.HTTPStatusError as error:
        raise DownloadError(f"{url}: status {error.response.status_code}") from None
    except httpx.HTTPError as error:
        raise DownloadError(f"{url}: {type(error).__name__}") from None
    if digest.hexdigest() != sha512:
        raise DownloadError(
            f"{url}: its SHA-512 is {digest.hexdigest()[:16]}…, expected {sha512[:16]}…; it was not used"
        )


def _published_hash(client: httpx.Client, url: str) -> str:
    try:
        response = client.get(url)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise DownloadError(f"{url}: {type(error).__name__}") from None
    words = response.text.split()
    if not words or len(words[0]) != _SHA512_CHARACTERS:
        raise DownloadError(f"{url}: holds no SHA-512")
    return words[0].lower()


def _unpack(archive: Path, directory: Path) -> None:
    """Take the needed programs out of the archive, whatever folder they are in, and nothing else."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                program = member.name.rsplit("/", 1)[-1]
                if not (member.isfile() and program in pins.REQUIRED):
                    continue
                content = tar.extractfile(member)
                if content is not None:
                    with content, (directory / program).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DownloadError(f"{archive.name}: cannot be unpacked ({type(error).__name__})") from None
    missing = [program for program in pins.REQUIRED if not (directory / program).exists()]
    if missing:
        raise DownloadError(f"{archive.name}: {', '.join(missing)} is not in it")
