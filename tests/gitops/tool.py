"""Asks dev/tools/gitops, which holds the tools' own libraries, what they make of objects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def ask(program: Path, judge: str, documents: Iterable[Any]) -> list[Any]:
    """Return an answer for each document; `judge` is `kstatus` or `lua`."""
    done = subprocess.run(  # noqa: S603 - our own program
        [program, judge],
        input="\n".join(json.dumps(document) for document in documents),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
