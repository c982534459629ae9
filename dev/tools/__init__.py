"""The programs that no Python package brings: helm, kubeconform, actionlint, promtool, gitops, promql.

Each is pinned by a `tool` line in a go.mod here (with hashes in its go.sum), built with Go, and kept in the
cache as a set of its own, by the same means as the control plane's programs: dev.controlplane.build, .cache.
promtool has a module file to itself: Prometheus wants other versions of libraries than Helm does.
gitops is our own: a few lines around the libraries by which Argo CD and Flux judge an object. So is promql,
around the ones by which Prometheus evaluates an expression.
Nothing is taken from PATH: a test must mean the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from dev.controlplane import build, cache, pins
from dev.controlplane.binaries import say_to_stderr
from dev.controlplane.build import Program
from dev.controlplane.errors import NoGoError, NotAvailableError
from dev.venv import cache_dir

_HERE: Final = Path(__file__).resolve().parent


def version(package: str, module: Path) -> str:
    """Return the version that a module file pins of the module that a package is in, such as v4.3.1.

    Of a program whose source is in that folder it is a hash of the source, so that a change is another tool.
    """
    pins_of = (module / "go.mod").read_text(encoding="utf-8")
    if pins_of.startswith(f"module {package}\n"):
        source = b"".join(file.read_bytes() for file in sorted(module.glob("*.go")))
        return hashlib.sha256(source).hexdigest()[:12]
    found = re.findall(r"^\t(\S+) (v\S+)", pins_of, re.MULTILINE)
    (pinned,) = (number for name, number in found if f"{package}/".startswith(f"{name}/"))
    return str(pinned)


def _tool(
    name: str, package: str, *, seconds: int, stamp: str, module: Path = _HERE, tags: str = ""
) -> Program:
    return Program(
        name=name,
        package=package,
        module=module,
        seconds=seconds,
        flags=f"-s -w -X {stamp}={version(package, module)}",
        tags=tags,
    )


TOOLS: Final = {
    tool.name: tool
    for tool in (
        _tool(
            "helm",
            "helm.sh/helm/v4/cmd/helm",
            seconds=180,
            stamp="helm.sh/helm/v4/internal/version.version",
        ),
        _tool(
            "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", seconds=10, stamp="main.version"
        ),
        _tool(
            "actionlint",
            "github.com/rhysd/actionlint/cmd/actionlint",
            seconds=10,
            stamp="github.com/rhysd/actionlint.version",
        ),
        _tool(
            "promtool",
            "github.com/prometheus/prometheus/cmd/promtool",
            seconds=70,
            stamp="github.com/prometheus/common/version.Version",
            module=_HERE / "promtool",
            tags="remove_all_sd",  # rules and expressions are checked, no cloud is asked for its machines
        ),
        _tool(
            "gitops",
            "methodsecret.invalid/gitops",
            seconds=15,
            stamp="main.version",
            module=_HERE / "gitops",
        ),
        _tool(
            "promql",
            "methodsecret.invalid/promql",
            seconds=40,
            stamp="main.version",
            module=_HERE / "promql",
        ),
    )
}


def path(name: str, *, root: Path | None = None) -> Path:
    """Return where a tool is. Raises NotAvailableError where it is not in the cache: `ensure` gets it."""
    target = _target(name, root or default_root())
    if cache.load(target, required=(name,)) is None:
        raise NotAvailableError(f"{name} is not built yet: make tools")
    return target / name


def ensure(
    names: Iterable[str] = TOOLS,
    *,
    say: Callable[[str], None] = say_to_stderr,
    root: Path | None = None,
    go: str | None = None,
) -> None:
    """Build those of these tools that are not in the cache, one process at a time.

    `go` is the go command, found by itself where absent ("" for none). Raises NoGoError where there is none
    and one is needed, NotAvailableError where a build fails.
    """
    root = root or default_root()
    wanted = list(names)
    if not _missing(wanted, root):
        return
    go = build.find_go() if go is None else go
    if not go:
        raise NoGoError(
            f"{', '.join(_missing(wanted, root))}: not in the cache, and there is no go command to build"
            " with. Install Go 1.26 or newer."
        )
    with cache.lock(root, waiting=lambda: say("Tools: another process is building them; waiting for it")):
        for name in _missing(wanted, root):
            target = _target(name, root)
            try:
                with cache.partial(target) as directory:
                    build.build(directory, go=go, say=say, programs=[TOOLS[name]], label="Tools")
                    origin = f"built with {build.go_version(go)}"
                    tool = TOOLS[name]
                    cache.seal(directory, origin=origin, version=version(tool.package, tool.module))
            except build.BuildError as error:
                raise NotAvailableError(f"{name} cannot be built: {error}") from None


def default_root() -> Path:
    """Return the folder of the cache that holds the tools."""
    return cache_dir() / "tools"


def _missing(names: Iterable[str], root: Path) -> list[str]:
    return [name for name in names if cache.load(_target(name, root), required=(name,)) is None]


def _target(name: str, root: Path) -> Path:
    return root / f"{name}-{pins.this_platform()}-{build.recipe([TOOLS[name]])}"
