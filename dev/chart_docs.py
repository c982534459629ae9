"""Makes the table of values in the chart's README from values.yaml, in the manner of helm-docs.

A comment that begins with `# --` describes the value below it; other comments are for the file's readers.
`make chart-docs` writes the table into the README; a test compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).resolve().parent.parent / "deploy" / "chart"
_BETWEEN: Final = re.compile(r"(<!-- values -->\n).*?(<!-- /values -->)", re.DOTALL)


def descriptions(text: str) -> dict[str, str]:
    """Return the description of each value by its path, such as `image.tag`, in the order of the file."""
    found: dict[str, str] = {}
    path: list[str] = []
    said = ""
    for line in text.splitlines():
        if comment := re.fullmatch(r" *# -- (.+)", line):
            said = comment[1]
        elif entry := re.match(r"( *)([A-Za-z]+):", line):
            path[len(entry[1]) // 2 :] = [entry[2]]
            if said:
                found[".".join(path)] = said
            said = ""
    return found


def value(values: dict[str, Any], path: str) -> object:
    """Return what stands at a path. Raises KeyError."""
    here: Any = values
    for part in path.split("."):
        here = here[part]
    return here


def table(text: str) -> str:
    """Return the table for a values.yaml, in Markdown."""
    values = yaml.safe_load(text)
    rows = [
        f"| `{path}` | `{json.dumps(value(values, path))}` | {said} |"
        for path, said in descriptions(text).items()
    ]
    return "\n".join(["| Value | Default | Meaning |", "|---|---|---|", *rows]) + "\n"


def readme(current: str, text: str) -> str:
    """Return the README with the table of this values.yaml in its place."""
    made = table(text)
    return _BETWEEN.sub(lambda found: found[1] + made + found[2], current)


def main() -> int:
    """Write the table; return the exit code."""
    target = CHART / "README.md"
    target.write_text(readme(target.read_text(), (CHART / "values.yaml").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
