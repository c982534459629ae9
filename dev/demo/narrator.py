"""How the demo speaks: numbered steps, commands as typed, their output, what to see, and how long it took.

Plain text that reads well anywhere; colour only where a person looks at it and has not refused it
(NO_COLOR). It starts nothing and decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_BOLD, _DIM, _GREEN, _RESET = "\033[1m", "\033[2m", "\033[32m", "\033[0m"


class Narrator:
    """Writes to `out`, each line at once. `clock` gives seconds."""

    def __init__(
        self,
        out: TextIO,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._clock = clock
        self._began = clock()
        self._steps = 0
        self._colour = out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    @property
    def seconds(self) -> float:
        """How long it has been telling."""
        return self._clock() - self._began

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tell one step: its number and title first, and after the block how long it took."""
        self._steps += 1
        began = self._clock()
        self._line()
        self._line(f"{self._steps}. {title}", _BOLD)
        yield
        self._line(f"   ({self._clock() - began:.1f} s)", _DIM)

    def command(self, text: str) -> None:
        """Show a command before it runs."""
        self._line(f"   $ {text}", _BOLD)

    def output(self, text: str) -> None:
        """Show what a command printed, unchanged."""
        for line in text.rstrip("\n").splitlines():
            self._line(f"   {line}" if line else "")

    def see(self, sentence: str) -> None:
        """Say what to see in it."""
        self._line(f"   -> {sentence}", _GREEN)

    def say(self, text: str = "") -> None:
        """Say something outside the steps."""
        self._line(text)

    def _line(self, text: str = "", style: str = "") -> None:
        if self._colour and style and text:
            text = f"{style}{text}{_RESET}"
        self._out.write(text + "\n")
        self._out.flush()
