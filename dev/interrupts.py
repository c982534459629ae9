"""Ctrl-C that cannot get lost, for the programs of dev/ that run until somebody stops them.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a hook around fork (logging has
one) or in a destructor there is nobody to catch it: Python prints "Exception ignored in" and goes on as if
nobody had pressed anything (docs.python.org, sys.unraisablehook). So the signal is remembered as well.
It cleans up nothing itself.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

INTERRUPTED: Final = 130  # the exit code of a program that was interrupted: 128 + SIGINT


class Interrupts:
    """Turns signals into KeyboardInterrupt and remembers that one came; one per process."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._came = False

    def listen(self) -> None:
        """Begin: each of the signals raises KeyboardInterrupt from now on."""
        for number in self._numbers:
            signal.signal(number, self._interrupt)
        sys.unraisablehook = self._unraisable

    def ignore(self) -> None:
        """End: the signals do nothing from now on, so that cleaning up is not cut short."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come: called between steps, as one may be lost."""
        if self._came:
            raise KeyboardInterrupt

    def _interrupt(self, *_: object) -> NoReturn:
        self._came = True
        raise KeyboardInterrupt

    @staticmethod
    def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:  # check() raises that one again
            sys.__unraisablehook__(unraisable)
