"""Finds the control plane's programs, or gets them.

The order:

1. the directory that KUBEBUILDER_ASSETS names (the convention of the field);
2. what an earlier run put into the cache;
3. the official archives, where the internet is there and they make a whole set;
4. a build with Go;
5. the official archive without a kube-controller-manager (no Go, and not Linux).

A whole set comes before an incomplete one: without a kube-controller-manager nothing is garbage
collected and no namespace is ever fully deleted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from dev.controlplane import build, cache, pins
from dev.controlplane.cache import Binaries
from dev.controlplane.errors import NotAvailableError
from dev.venv import cache_dir

Say = Callable[[str], None]
KUBEBUILDER_ASSETS = "KUBEBUILDER_ASSETS"


def say_to_stderr(line: str) -> None:
    """Print a line of progress; standard output stays free for answers."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def find(*, root: Path | None = None) -> Binaries | None:
    """Return the programs that are here already, without getting anything (a few milliseconds).

    `root` is the cache's folder for them. Raises NotAvailableError where KUBEBUILDER_ASSETS names a
    directory that lacks one of them: somebody wanted these, so others would be a surprise.
    """
    if assets := os.environ.get(KUBEBUILDER_ASSETS):
        return _assets(Path(assets).expanduser().absolute())
    root = root or default_root()
    return cache.load(_downloaded(root)) or cache.load(_built(root))


def ensure(
    *,
    say: Say = say_to_stderr,
    root: Path | None = None,
    source: pins.Source | None = None,
    go: str | None = None,
) -> Binaries:
    """Return the programs; download or build them first if need be, one process at a time.

    `go` is the go command, found by itself where absent ("" for none). Raises NotAvailableError.
    """
    root = root or default_root()
    if found := find(root=root):
        return found
    go = build.find_go() if go is None else go
    with cache.lock(
        root, waiting=lambda: say("Control plane: another process is getting the programs; waiting for it")
    ):
        if found := find(root=root):  # the other one has done it
            return found
        for damaged in (_downloaded(root), _built(root)):
            if damaged.exists():
                say(f"Control plane: {damaged} is damaged or incomplete; getting it again")
        return _get(root, go=go, source=source or pins.Source(), say=say)


def _get(root: Path, *, go: str | None, source: pins.Source, say: Say) -> Binaries:
    platform = pins.this_platform()
    whole = platform.startswith("linux-")
    reasons: list[str] = []
    if whole or not go:
        from dev.controlplane import download  # noqa: PLC0415 - its HTTP client takes half a second to import

        try:
            target = _downloaded(root)
            with cache.partial(target) as directory:
                download.fetch(directory, platform=platform, source=source, say=say)
                cache.seal(directory, origin="downloaded", version=pins.ENVTEST_VERSION)
            return _loaded(target)
        except download.DownloadError as error:
            reasons.append(f"download: {error}")
    if go:
        if reasons:
            say(f"Control plane: no {reasons[0]}; building instead")
        target = _built(root)
        try:
            with cache.partial(target) as directory:
                build.build(directory, go=go, say=say)
                cache.seal(
                    directory, origin=f"built with {build.go_version(go)}", version=pins.KUBERNETES_VERSION
                )
        except build.BuildError as error:
            reasons.append(f"build: {error}")
        else:
            return _loaded(target)
    else:
        reasons.append("build: there is no go command")
    raise NotAvailableError(
        "The control plane's programs (etcd, kube-apiserver, kubectl) are not here, and no way led to them:\n"
        + "\n".join(f"- {reason}" for reason in reasons)
        + "\nDo one of these: let this machine reach the internet; install Go 1.26 or newer;"
        f"\nor set {KUBEBUILDER_ASSETS} to a directory that holds them."
    )


def _loaded(target: Path) -> Binaries:
    found = cache.load(target)
    if found is None:
        raise NotAvailableError(f"{target} was damaged right after it was made: is the disk full or failing?")
    return found


def _assets(directory: Path) -> Binaries:
    missing = [name for name in pins.REQUIRED if not os.access(directory / name, os.X_OK)]
    if missing:
        raise NotAvailableError(
            f"{KUBEBUILDER_ASSETS} is {directory}, which has no program {', '.join(missing)};"
            " correct it, or unset it to have the programs downloaded or built"
        )
    return Binaries(directory=directory, origin=KUBEBUILDER_ASSETS, version=None)


def default_root() -> Path:
    """Return the folder of the cache that holds installed sets."""
    return cache_dir() / "controlplane"


def _downloaded(root: Path) -> Path:
    return root / f"envtest-{pins.ENVTEST_VERSION}-{pins.this_platform()}"


def _built(root: Path) -> Path:
    return root / f"go-{pins.KUBERNETES_VERSION}-{pins.this_platform()}-{build.recipe()}"
