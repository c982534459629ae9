"""Asking a person before something cannot be undone."""

from __future__ import annotations

import sys

import click


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether to go on: `yes` where it was said beforehand, else what a person at the terminal says.

    Raises click.UsageError where nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: give --yes to go on without asking")
    return click.confirm(question, err=True)
