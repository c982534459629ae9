"""README and its like against the code: settings, states, commands, fields, files that they name.

A failure says what the text should hold. What prose says beyond names is not judged here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from methodsecret_operator import __main__ as command_line
from methodsecret_operator import settings
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.resource import ANNOTATIONS, MethodSecret

ROOT: Final = Path(__file__).resolve().parents[2]
TEXTS: Final = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
GUIDES: Final = ("docs/gitops.md", "docs/testing-in-ci.md")

pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").is_file(), reason="the wheel is tested without the checkout's texts"
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return what stands in the README under a heading, up to the next one."""
    parts = re.split(r"^## (.+)\n", read("README.md"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert title in found, f"README.md has no section {title!r}, only {list(found)}"
    return found[title]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> str:
    """Return what stands in backquotes or in blocks of commands, a line each."""
    shell = blocks(text, "sh") + blocks(text, "console")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*shell, *re.findall(r"`([^`\n]+)`", prose)])


def schema() -> dict[str, Any]:
    crd = yaml.safe_load(read("crds/methodsecrets.methodfi.com.yaml"))
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def unknown_fields(value: object, declared: dict[str, Any], path: str) -> list[str]:
    """Return the fields of a manifest that the CRD does not declare."""
    if not isinstance(value, dict) or declared.get("x-kubernetes-preserve-unknown-fields"):
        return []
    properties = declared.get("properties", {})
    return [
        field
        for name, inner in value.items()
        for field in (
            unknown_fields(inner, properties[name], f"{path}.{name}")
            if name in properties
            else [f"{path}.{name}"]
        )
    ]


def test_every_reason_is_there_with_its_state() -> None:
    found = [(row[0], row[1]) for row in rows(section("The states of an object"))]
    wanted = [
        (f"`{reason}`", "Ready" if reason.ready else "Stalled" if reason.stalled else "Waits")
        for reason in Reason
    ]
    assert found == wanted


def test_every_state_says_what_to_do() -> None:
    assert all(len(row) == 3 and len(row[2]) > 10 for row in rows(section("The states of an object")))


def test_the_message_shown_is_the_codes_sentence() -> None:
    (status,) = [block for block in blocks(read("README.md"), "yaml") if block.startswith("status:")]
    shown = yaml.safe_load(status)["status"]
    message = Sentence.SYNCED.format(id=shown["id"], secret="acme", key="api-key")
    assert [condition["message"] for condition in shown["conditions"]] == [message]


@pytest.mark.parametrize("text", TEXTS)
def test_settings_named_are_settings(text: str) -> None:
    known = {one.variable for one in settings.catalogue()}
    known |= {name.removeprefix(settings.PREFIX) for name in known} | {"METHODSECRET_CACHE"}
    foreign = {"KUBEBUILDER_ASSETS", "ARGS", "NAME", "KEEP"}
    named = set(re.findall(r"(?<![\w$.{])[A-Z][A-Z_]*[A-Z](?![\w-])", code(read(text))))
    # Words of one syllable, such as EOF or GET, are none of ours: a setting's name has an underscore.
    assert {name for name in named if "_" in name} - known - foreign == set()


@pytest.mark.parametrize("text", TEXTS)
def test_make_targets_named_exist(text: str) -> None:
    targets = set(re.findall(r"^\.PHONY: ([a-z0-9-]+)$", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z0-9-]+)", code(read(text)), flags=re.MULTILINE))
    assert named - targets == set()


def test_the_two_commands_are_in_the_readme() -> None:
    assert {"make demo", "make test"} <= {
        line.split("  ")[0] for line in code(read("README.md")).splitlines()
    }


def test_commands_named_exist() -> None:
    named = set(re.findall(r"methodsecret-operator ([a-z]+)", read("README.md")))
    assert named == set(command_line.cli.commands)


def test_every_command_is_told_of() -> None:
    told = read("README.md")
    assert {name for name in command_line.cli.commands if f"`{name}`" not in told} <= {"run"}
    assert "methodsecret-operator run" in told


def test_the_manifest_is_one_that_the_crd_takes() -> None:
    (text,) = [block for block in blocks(read("README.md"), "yaml") if block.startswith("apiVersion:")]
    manifest = yaml.safe_load(text)
    server = {"uid": "made-up", "resourceVersion": "1"}
    MethodSecret.model_validate({**manifest, "metadata": manifest["metadata"] | server})
    assert unknown_fields(manifest["spec"], schema()["properties"]["spec"], "spec") == []


def test_the_status_shown_is_one_that_the_crd_declares() -> None:
    (text,) = [block for block in blocks(read("README.md"), "yaml") if block.startswith("status:")]
    assert unknown_fields(yaml.safe_load(text)["status"], schema()["properties"]["status"], "status") == []


@pytest.mark.parametrize("text", [*TEXTS, *GUIDES])
def test_fields_named_exist(text: str) -> None:
    for path in re.findall(r"\b((?:spec|status)(?:\.[A-Za-z]+)+)", code(read(text))):
        declared = schema()
        for name in path.split("."):
            properties = declared.get("properties", {})
            assert name in properties, f"{text} names {path}: the CRD has no {name} there"
            declared = properties[name]


def test_annotations_are_those_of_the_code() -> None:
    assert set(re.findall(r"methodfi\.com/[a-z-]+", section("The states of an object"))) == set(ANNOTATIONS)


@pytest.mark.parametrize("text", [*TEXTS, *GUIDES, "docs/decisions/README.md"])
def test_links_lead_somewhere(text: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", read(text))
    local = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in local if not ((ROOT / text).parent / link).exists()] == []


@pytest.mark.parametrize("text", ["README.md", "CONTRIBUTING.md"])
def test_files_named_in_commands_exist(text: str) -> None:
    named = re.findall(r"\b(?:crds|deploy|docs|tests|emulator|dev)/[\w./-]*", code(read(text)))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_decision_is_in_the_index() -> None:
    index = rows(read("docs/decisions/README.md").replace("| | |", "| a | b |"))
    found = {re.sub(r".*\((.+)\)", r"\1", number): title for number, title in index}
    wanted = {
        path.name: path.read_text(encoding="utf-8").splitlines()[0].partition(". ")[2]
        for path in sorted((ROOT / "docs/decisions").glob("0*.md"))
    }
    assert found == wanted
