"""docs/reference/ is what its sources say, and nothing of them is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from methodsecret_operator import settings
from methodsecret_operator.runtime.metrics import CATALOGUE

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "reference"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the wheel is tested without the checkout's texts"
)


def rows(name: str) -> list[str]:
    """Return what stands in the first column of all tables of a file."""
    return re.findall(r"^\| `([^`]+)` ", (FOLDER / name).read_text(encoding="utf-8"), flags=re.MULTILINE)


def fields(schema: dict[str, Any], path: str) -> list[str]:
    found = []
    for name, inner in schema.get("properties", {}).items():
        mark = "[]" if inner.get("type") == "array" else ""
        below = inner.get("items", inner)
        free = inner.get("x-kubernetes-preserve-unknown-fields", False)
        found += [f"{path}.{name}", *([] if free else fields(below, f"{path}.{name}{mark}"))]
    return found


def test_the_files_are_what_their_sources_say() -> None:
    from dev import reference  # noqa: PLC0415 - it is not there where the wheel is tested

    stale = [path.name for path, text in reference.files().items() if path.read_text("utf-8") != text]
    assert stale == [], "make docs"


def test_every_field_of_the_crd_is_there() -> None:
    crd = yaml.safe_load((ROOT / "crds/methodsecrets.methodfi.com.yaml").read_text(encoding="utf-8"))
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    wanted = [field for part in ("spec", "status") for field in fields(properties[part], part)]
    assert len(wanted) > 40
    assert rows("crd.md")[: len(wanted)] == wanted


def test_every_setting_and_every_metric_is_there() -> None:
    assert rows("settings.md") == [one.variable for one in settings.catalogue()]
    assert rows("metrics.md") == list(CATALOGUE)


@pytest.mark.parametrize("name", ["crd.md", "settings.md", "metrics.md"])
def test_every_table_is_one(name: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", (FOLDER / name).read_text(encoding="utf-8"), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block[:80]
