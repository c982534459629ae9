"""Makes the virtual environment that every make target runs in, outside the checkout.

It knows nothing of the project but constraints-dev.txt (or, for `make bench`, constraints-bench.txt), whose
hash names the environment: another lock file gets another environment, two checkouts share one, and a
half-made one is never used (it is marked when it is whole). Standard library only: it runs before anything
is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCK_FILE = ROOT / "constraints-dev.txt"
BENCH_LOCK_FILE = ROOT / "constraints-bench.txt"


def cache_dir() -> pathlib.Path:
    """Return the folder for everything that outlives a run.

    METHODSECRET_CACHE where set, else the XDG base directory's convention.
    """
    if chosen := os.environ.get("METHODSECRET_CACHE"):
        return pathlib.Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "methodsecret-operator"


def venv_dir(lock_file: pathlib.Path = LOCK_FILE) -> pathlib.Path:
    """Return where the environment for this lock file and this Python is, made or not."""
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_dir() / "venv" / f"py{version}-{digest}"


def make(target: pathlib.Path, lock_file: pathlib.Path = LOCK_FILE) -> None:
    """Make the environment at `target`; one process at a time, others wait for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (target / "complete").exists():
            return
        # A venv's scripts hold its path, so it is built in place and marked complete at the end.
        shutil.rmtree(target, ignore_errors=True)
        started = time.monotonic()
        say(f"Python packages: installing what {lock_file.name} pins into {target} (about 30 s)")
        subprocess.run([sys.executable, "-m", "venv", target], check=True)
        with tempfile.TemporaryFile("w+") as log:
            done = subprocess.run(
                [
                    target / "bin" / "python",
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--require-hashes",
                    "--requirement",
                    lock_file,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
            if done.returncode:
                log.seek(0)
                sys.stderr.write(log.read()[-4000:])
                sys.exit(
                    f"Python packages: pip failed; nothing is left half-made, so run it again ({target})"
                )
        (target / "complete").touch()
        say(f"Python packages: ready after {time.monotonic() - started:.0f} s")


def say(line: str) -> None:
    """Tell the person at the terminal; stdout stays free for the path."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> None:
    """Print the environment's path; make it first, unless only the path is asked for (`--path`)."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the very message for whoever has an older one
        sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …")
    lock_file = BENCH_LOCK_FILE if "--bench" in sys.argv else LOCK_FILE
    target = venv_dir(lock_file)
    if "--path" not in sys.argv and not (target / "complete").exists():
        make(target, lock_file)
    print(target)


if __name__ == "__main__":
    main()
