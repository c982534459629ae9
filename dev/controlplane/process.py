"""Child processes and directories that never outlive this process, however it ends.

Each has a small keeper process (keeper.py) that watches a pipe from here; the kernel closes the pipe
even on SIGKILL. Signals of the terminal do not reach the children: the owner stops them.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEEPER = Path(__file__).with_name("keeper.py")
_STOP_SECONDS = 15  # a SIGKILL takes effect at once; more than this means a stuck disk


def _keeper(*args: str) -> list[str]:
    # -I -S: no site-packages, no environment: it starts in some 20 ms and depends on nothing.
    return [sys.executable, "-I", "-S", "-B", str(_KEEPER), *args]


class KeptDirectory:
    """A private temporary directory (mode 0700), removed with all in it by close() or this process's end."""

    def __init__(self, prefix: str, *, parent: Path | None = None) -> None:
        base = Path(tempfile.gettempdir()) if parent is None else parent
        self.path = base / f"{prefix}{secrets.token_hex(5)}"
        self._keeper = subprocess.Popen(
            _keeper("keep", str(self.path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            made = self._keeper.stdout.readline() if self._keeper.stdout else b""
        except BaseException:
            self.close()
            raise
        if made != b"made\n":
            self.close()
            raise OSError(f"could not make a temporary directory in {base}")

    def close(self) -> None:
        """Remove the directory; safe to call twice."""
        _let_go(self._keeper)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Child:
    """A running program; its output goes to `log` (appended), never to the terminal."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                _keeper("run", *map(str, argv)),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """Return its exit code (128 + signal number where a signal ended it), None while it runs."""
        return self._keeper.poll()

    def wait(self, seconds: float) -> int | None:
        """Wait at most that long for it to end by itself; return as poll() does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._keeper.wait(seconds)
        return None

    def stop(self) -> None:
        """Kill it and all that it started, and wait until they are gone; safe to call twice."""
        _let_go(self._keeper)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its log, for an error message."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def _let_go(keeper: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which is the keeper's order to clean up, and wait for it."""
    if keeper.stdin is not None:
        keeper.stdin.close()
    try:
        keeper.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    if keeper.stdout is not None:
        keeper.stdout.close()
