"""Builds programs with the Go toolchain, from modules pinned in a go.mod and go.sum.

The control plane's are in go.mod and etcd/go.mod here: two, because etcd's server wants other versions of
libraries than Kubernetes does. Other programs (dev.tools) are built in the same way.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dev.controlplane import pins
from dev.controlplane.process import Child, KeptDirectory
from dev.controlplane.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HERE = Path(__file__).resolve().parent
_POLL_SECONDS = 0.25
_LIST_SECONDS = 900  # downloads the modules on the first run


class BuildError(Exception):
    """A Go command failed; the message holds the end of what it printed."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program: what to build it from, and how long that takes."""

    name: str
    package: str
    module: Path
    seconds: int  # measured on 2 cores with nothing cached, in this order
    flags: str  # for the linker
    tags: str = ""  # for the compiler: what to leave out


def _kubernetes_flags() -> str:
    """Stamp the version as Kubernetes' own build does: without it, every program says v0.0.0-master."""
    version = "k8s.io/component-base/version"
    major, minor, _ = pins.KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {
        f"{version}.gitVersion": pins.KUBERNETES_VERSION,
        f"{version}.gitMajor": major,
        f"{version}.gitMinor": minor,
        f"{version}.gitTreeState": "clean",
        f"{version}.gitCommit": "unknown",
        "k8s.io/client-go/pkg/version.gitVersion": pins.KUBERNETES_VERSION,
        "k8s.io/client-go/pkg/version.gitMajor": major,
        "k8s.io/client-go/pkg/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitTreeState": "clean",
        "k8s.io/client-go/pkg/version.gitCommit": "unknown",
    }
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in values.items())])


PROGRAMS = (
    *(
        Program(
            name=name,
            package=f"k8s.io/kubernetes/cmd/{name}",
            module=_HERE,
            seconds=seconds,
            flags=_kubernetes_flags(),
        )
        for name, seconds in (("kube-apiserver", 210), (pins.CONTROLLER_MANAGER, 65), ("kubectl", 15))
    ),
    Program(
        name="etcd",
        package="go.etcd.io/etcd/server/v3",
        module=_HERE / "etcd",
        seconds=20,
        flags="-s -w -X go.etcd.io/etcd/api/v3/version.GitSHA=unknown",
    ),
)


def find_go() -> str | None:
    """Return the path of the go command: from PATH, else where its own installer puts it."""
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def recipe(programs: Sequence[Program] | None = None) -> str:
    """Return a short hash of all that decides what is built, to name the result by.

    Without `programs` it is the control plane's.
    """
    programs = PROGRAMS if programs is None else programs
    digest = hashlib.sha256()
    for module in dict.fromkeys(program.module for program in programs):
        for name in ("go.mod", "go.sum"):
            digest.update((module / name).read_bytes())
    for program in programs:
        digest.update(" ".join(filter(None, (program.package, program.flags, program.tags))).encode() + b"\n")
    return digest.hexdigest()[:12]


def build(
    directory: Path,
    *,
    go: str,
    say: Callable[[str], None],
    programs: Sequence[Program] | None = None,
    label: str = "Control plane",
) -> None:
    """Build programs into the directory: the control plane's four, unless others are given.

    `label` begins each line of progress. Raises BuildError. No process or temporary file stays behind, also
    where this process is killed.
    """
    what = f"Kubernetes {pins.KUBERNETES_VERSION} and etcd {pins.ETCD_VERSION}"
    if programs is None:
        programs = PROGRAMS
    else:
        what = ", ".join(program.name for program in programs)
    with KeptDirectory("methodsecret-build-") as scratch:
        env = _environment(scratch.path)
        minutes = math.ceil(sum(program.seconds for program in programs) / 60)
        say(
            f"{label}: building {what} with Go (the first time, about {minutes} minute{'s'[: minutes - 1]}"
            " on 2 cores; less where Go's cache has them)"
        )
        for number, program in enumerate(programs, start=1):
            line = f"{label}: {program.name} ({number} of {len(programs)})"
            _build_one(program, directory / program.name, what=line, go=go, env=env, say=say)


def _build_one(
    program: Program, output: Path, *, what: str, go: str, env: dict[str, str], say: Callable[[str], None]
) -> None:
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags={program.flags}", f"-tags={program.tags}"]
    log = Path(env["GOTMPDIR"]) / f"{program.name}.log"
    total = _packages_to_compile(program, flags, what=what, go=go, env=env, say=say)
    # The program's own package counts as missing each time: it has to be linked.
    say(f"{what}: {total} packages to compile, then linking" if total > 1 else f"{what}: linking")
    progress = Progress(say, what, total=total, unit="packages")
    # -v prints one line for each package that is compiled.
    child = Child(
        [go, "build", "-v", *flags, "-o", output, program.package], log=log, env=env, cwd=program.module
    )
    try:
        while (code := child.wait(_POLL_SECONDS)) is None:
            progress.at(log.read_bytes().count(b"\n"))
    finally:
        child.stop()
    if code != 0:
        raise BuildError(f"go build {program.package} failed (exit code {code}):\n{child.log_tail()}")
    progress.done()


def _packages_to_compile(
    program: Program,
    flags: list[str],
    *,
    what: str,
    go: str,
    env: dict[str, str],
    say: Callable[[str], None],
) -> int:
    """Count the packages that Go's cache lacks; downloads the modules where they are missing."""
    listing = Path(env["GOTMPDIR"]) / f"{program.name}.list"
    stale = "{{if .Stale}}{{.ImportPath}}{{end}}"
    child = Child(
        [go, "list", "-deps", *flags, "-f", stale, program.package], log=listing, env=env, cwd=program.module
    )
    sums = (program.module / "go.sum").read_text().splitlines()
    modules = sum(1 for line in sums if "/go.mod " not in line)
    progress = Progress(
        say, f"{what}: fetching modules", total=modules, unit="modules (fewer where Go's cache has some)"
    )
    try:
        for _ in range(int(_LIST_SECONDS / _POLL_SECONDS)):
            if (code := child.wait(_POLL_SECONDS)) is not None:
                break
            progress.at(listing.read_bytes().count(b"go: downloading "))
        else:
            raise BuildError(f"go list {program.package}: no end after {_LIST_SECONDS} s")
    finally:
        child.stop()
    if code != 0:
        raise BuildError(
            f"go list {program.package} failed (exit code {code}); the modules must be in Go's cache or"
            f" GOPROXY reachable:\n{child.log_tail()}"
        )
    return sum(1 for line in listing.read_text().splitlines() if line and not line.startswith("go: "))


def _environment(scratch: Path) -> dict[str, str]:
    """Return the user's environment with all that would change the result taken out."""
    mine = {"GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0", "GOTMPDIR": str(scratch)}
    cleared = {"GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE", "GODEBUG"}
    return {name: value for name, value in os.environ.items() if name not in cleared} | mine


def go_version(go: str) -> str:
    """Return what `go version` says, for messages."""
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
