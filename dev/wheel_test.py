"""`make wheel-test`: is the wheel what people need? Builds it and tests it where nothing else is installed.

An empty environment gets constraints.txt, as the image does, and the wheel. Every module must import and
the command must run with just that; then come pytest and its like, and the unit tests run against the
installed package from a folder that has no `operator/`. Everything is made in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from dev.controlplane.process import KeptDirectory

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "methodsecret_operator"
COMMAND = "methodsecret-operator"
NEEDED_BY_TESTS = ("tests", "emulator", "crds", "deploy", "dev", "pyproject.toml")

_IMPORT_ALL = f"""
import importlib, pkgutil, sysconfig
import {PACKAGE} as package
assert package.__file__.startswith(sysconfig.get_path("purelib")), package.__file__
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names), "modules import from", package.__path__[0])
"""


class WheelTestError(Exception):
    """The wheel is not right; the text says why."""


def main() -> int:
    """Build, install, look and test; return the exit code."""
    began = time.monotonic()
    try:
        with KeptDirectory("methodsecret-wheel-") as temporary:
            _test(temporary.path.resolve())
    except WheelTestError as error:
        print(f"wheel-test failed: {error}", file=sys.stderr)
        return 1
    print(f"wheel-test: passed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def _test(temporary: Path) -> None:
    say(f"building with {sys.executable}")
    wheel = _build(temporary / "dist")
    _check_names(wheel)
    say(f"{wheel.name}: {wheel.stat().st_size / 1000:.0f} kB; installing it with constraints.txt alone")
    python = temporary / "venv" / "bin" / "python"
    run([sys.executable, "-m", "venv", temporary / "venv"], cwd=temporary)
    _install(python, "--require-hashes", "--requirement", ROOT / "constraints.txt")
    _install(python, wheel)
    run([python, "-m", "pip", "check", "--disable-pip-version-check"], cwd=temporary)
    run([python, "-c", _IMPORT_ALL], cwd=temporary)
    run([python.with_name(COMMAND), "--version"], cwd=temporary)
    run([python.with_name(COMMAND), "run", "--help"], cwd=temporary, quiet=True)

    say("installing what the tests need, and running the unit tests against the installed package")
    _install(python, "--require-hashes", "--requirement", ROOT / "constraints-dev.txt")
    tree = _tree_without_the_operator(temporary / "tree")
    run(
        # `-o pythonpath`: pyproject.toml puts operator/ there, which must not even be looked for.
        [python, "-m", "pytest", "-p", "no:cacheprovider", "-o", "pythonpath=emulator .", "tests/unit"],
        cwd=tree,
    )
    run([python, "-c", _IMPORT_ALL], cwd=tree)


def _build(target: Path) -> Path:
    """Build the wheel from the checkout, without network or isolation, and return it."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target], cwd=ROOT, quiet=True)
    (wheel,) = target.glob("*.whl")
    return wheel


def _check_names(wheel: Path) -> None:
    """See that the wheel holds the package with its type marker, the licence, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = next((name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA")), None)
    if info is None:
        raise WheelTestError(f"{wheel.name} has no metadata")
    for needed in (f"{PACKAGE}/__main__.py", f"{PACKAGE}/py.typed", f"{info}/licenses/LICENSE"):
        if needed not in names:
            raise WheelTestError(f"{wheel.name} lacks {needed}")
    foreign = [name for name in names if name.split("/")[0] not in {PACKAGE, info}]
    if foreign:
        raise WheelTestError(f"{wheel.name} holds what is not shipped: {', '.join(foreign)}")


def _install(python: Path, *what: str | Path) -> None:
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    run([*pip, *what], cwd=python.parent)


def _tree_without_the_operator(target: Path) -> Path:
    """Copy what the unit tests read, but not the operator's source; return the copy."""
    target.mkdir()
    for name in NEEDED_BY_TESTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def run(arguments: list[str | Path], *, cwd: Path, quiet: bool = False) -> None:
    """Run a program without this process's Python path; WheelTestError where it fails."""
    foreign = ("PYTHONPATH", "METHODSECRET_", "KUBECONFIG")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        arguments,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        command = " ".join(str(part).strip().split("\n", 1)[0] for part in arguments)
        raise WheelTestError(f"exit code {done.returncode} from: {command}\n{done.stdout or ''}".rstrip())


def say(line: str) -> None:
    """Say what comes next, before the output of the programs that do it."""
    print(f"wheel-test: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
