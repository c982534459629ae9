"""Makes docs/demo.svg, a still of `make demo`: `python -m dev.picture`, run by `make picture`.

It runs the demo as it is, in a terminal, and draws what it said in some of its steps: nothing is made up,
nothing is left out of a step. Times and ids differ from run to run, so the file is made when the story has
changed, and no test compares it.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parents[1]
FILE: Final = ROOT / "docs" / "demo.svg"
WIDTH: Final = 112
STEPS: Final = ("2. ", "5. ", "6. ")
"""The steps that are drawn, by how their titles begin: the whole story is `make demo`'s."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class DemoFailedError(RuntimeError):
    """The demo did not end well; the text is the end of what it said."""


def run() -> str:
    """Run the demo in a terminal of its own and return what it wrote, colours and all."""
    outer, inner = pty.openpty()
    environ = {name: text for name, text in os.environ.items() if name != "NO_COLOR"} | {
        "TERM": "xterm-256color"
    }
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "dev.demo"], cwd=ROOT, env=environ, stdout=inner, stderr=inner
    )
    os.close(inner)
    said = bytearray()
    while True:
        try:
            chunk = os.read(outer, 65536)
        except OSError:  # Linux says so where the other end is closed
            break
        if not chunk:
            break
        said += chunk
    os.close(outer)
    text = said.decode().replace("\r\n", "\n")
    if process.wait():
        raise DemoFailedError(_COLOUR.sub("", text)[-2000:])
    return text


def steps(said: str) -> list[str]:
    """Return the lines of the steps that are drawn, an empty line between two of them."""
    found: list[str] = []
    drawn = False
    for line in said.splitlines():
        plain = _COLOUR.sub("", line)
        if re.match(r"\d+\. |Done in ", plain):
            drawn = plain.startswith(STEPS)
            if drawn and found:
                found.append("")
        if drawn and plain:
            found.append(line)
    return found


def draw(lines: list[str]) -> str:
    """Return the lines as a terminal in SVG, with whatever font of fixed width is there: none is fetched."""
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines)), soft_wrap=False)
    svg = console.export_svg(title="make demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    FILE.write_text(draw(steps(run())), encoding="utf-8")
