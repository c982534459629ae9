"""docs/how-it-works.md against the code: the files, tests, numbers, fields and settings that it names."""

from __future__ import annotations

import importlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from methodsecret_operator import settings
from methodsecret_operator.core.identity import MARKER_KEYS

ROOT: Final = Path(__file__).resolve().parents[2]
DOC: Final = ROOT / "docs" / "how-it-works.md"

pytestmark = pytest.mark.skipif(not DOC.is_file(), reason="the wheel is tested without the checkout's texts")


@pytest.fixture(name="text")
def _text() -> str:
    return DOC.read_text(encoding="utf-8")


def constants(text: str) -> list[tuple[float, str, str]]:
    """Return value, unit and name of each row of the table of numbers."""
    rows = re.findall(r"^\| (\d+) (s|bytes|ids) \| `([\w.]+)` \|", text, flags=re.MULTILINE)
    return [(float(value), unit, name) for value, unit, name in rows]


def linked(text: str) -> list[Path]:
    return [DOC.parent / link for link in re.findall(r"\]\(([^)\s#]+)", text) if "://" not in link]


def in_code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def test_files_named_exist(text: str) -> None:
    assert len(linked(text)) > 10
    assert [str(path) for path in linked(text) if not path.exists()] == []


def test_tests_named_are_in_the_files_linked(text: str) -> None:
    files = [path for path in linked(text) if path.name.startswith("test_") and path.is_file()]
    there = {
        name
        for path in files
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    named = {name for name in in_code(text) if name.startswith("test_")}
    assert named
    assert named - there == set()


def test_numbers_in_the_table_are_those_of_the_code(text: str) -> None:
    rows = constants(text)
    table = text.partition("## The numbers")[2]
    assert len(rows) == len([line for line in table.splitlines() if line.startswith("|")]) - 2
    for value, _, name in rows:
        module, _, constant = name.rpartition(".")
        found = getattr(importlib.import_module(f"methodsecret_operator.{module}"), constant)
        number = found.total_seconds() if isinstance(found, timedelta) else found
        assert number == value, f"the text says {value:g} of {name}, which is {number:g}"


def test_numbers_in_the_prose_are_in_the_table(text: str) -> None:
    known = {(value, unit) for value, unit, _ in constants(text)}
    prose = text.partition("## The numbers")[0]
    found = {(float(value), unit) for value, unit in re.findall(r"\b(\d+) (s|bytes)\b", prose) if unit}
    assert found
    assert found - known == set()


def test_the_shares_named_are_those_of_the_code(text: str) -> None:
    budget = importlib.import_module("methodsecret_operator.method.budget")
    inventory = importlib.import_module("methodsecret_operator.method.inventory")
    assert f"never more than {budget._SHARE:.0%} of the limit".replace("%", " %") in text
    shares = f"or more than {inventory._FEW} and more than {inventory._SHARE:.0%} of them"
    assert shares.replace("%", " %") in text
    resource = importlib.import_module("methodsecret_operator.core.resource")
    assert f"A list of more than {resource.SUPERSEDED_LIMIT} former ids is cut" in text


def test_settings_and_fields_named_exist(text: str) -> None:
    variables = {one.variable.removeprefix(settings.PREFIX) for one in settings.catalogue()}
    named = [name for name in in_code(text) if re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", name)]
    assert named
    assert set(named) - variables == set()
    crd = yaml.safe_load((ROOT / "crds/methodsecrets.methodfi.com.yaml").read_text(encoding="utf-8"))
    whole: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path in re.findall(r"`((?:spec|status)(?:\.[A-Za-z]+)+)", text):
        declared = whole
        for name in path.split("."):
            assert name in declared.get("properties", {}), f"the CRD has no {path}"
            declared = declared["properties"][name]


def test_the_markers_keys_are_those_of_the_code(text: str) -> None:
    assert {name for name in in_code(text) if name.startswith("k8s_")} == set(MARKER_KEYS)
