"""The documents under docs/ against the code: reasons, links and their anchors, tests, settings, commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from methodsecret_operator import __main__ as command_line
from methodsecret_operator import settings
from methodsecret_operator.core.conditions import Reason

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
TEXTS: Final = sorted([*DOCS.glob("*.md"), *DOCS.glob("reference/*.md")])
OF_OTHERS: Final = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the wheel is tested without the checkout's texts")


def sections(path: Path) -> dict[str, str]:
    """Return what stands under each heading of the second level."""
    parts = re.split(r"^## (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors(path: Path) -> set[str]:
    """Return the anchors that a forge makes of a file's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_reason_has_its_section() -> None:
    found = sections(DOCS / "troubleshooting.md")
    assert [name for name in found if " " not in name] == [reason.value for reason in Reason]
    for name, text in found.items():
        assert "**Means.**" in text, name
    for reason in Reason:
        assert "**Do.**" in found[reason.value], reason


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_and_anchors_lead_somewhere(path: Path) -> None:
    lost = []
    prose = re.sub(r"^```.*?^```|`[^`\n]+`", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("name", ["troubleshooting.md", "operations.md", "security.md", "runbook.md"])
def test_settings_and_commands_named_exist(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    known = {one.variable.removeprefix(settings.PREFIX) for one in settings.catalogue()} | OF_OTHERS
    assert set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)[`=]", text)) - known == set()
    assert set(re.findall(r"`methodsecret-operator ([a-z]+)", text)) <= set(command_line.cli.commands)


def test_every_threat_says_what_is_done_where_it_is_tested_and_what_remains() -> None:
    table = sections(DOCS / "security.md")["Threats"]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        assert len(row) == 5, row[0]
        threat, _, done, tested, remains = row
        assert min(len(done), len(remains.strip("| "))) > 3, threat
        files = [DOCS / link for link in re.findall(r"\]\(([^)]+)\)", tested)]
        there = "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
        assert files, threat
        for test in re.findall(r"`(test_\w+)`", tested):
            assert re.search(rf"def {test}\(", there), f"{threat}: {test} is not there"
