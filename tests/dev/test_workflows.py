"""The workflows, ours and the one in docs/testing-in-ci.md: checked by actionlint, and by the rules below."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dev import tools
from dev.controlplane import pins

ROOT: Final = Path(__file__).parents[2]
DOC: Final = ROOT / "docs" / "testing-in-ci.md"
FILES: Final = sorted((ROOT / ".github" / "workflows").glob("*"))

MAY_WRITE: Final = {
    ("release.yaml", "image"): {"packages", "id-token", "attestations"},
    ("release.yaml", "chart"): {"contents", "packages", "id-token"},
}
"""The only jobs that may change anything, and what."""

PINNED: Final = re.compile(r"^\s*- uses: (\S+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$")


def _copied() -> str:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", DOC.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


TEXTS: Final = {file.name: file.read_text(encoding="utf-8") for file in FILES} | {DOC.name: _copied()}


def load(name: str) -> dict[str, Any]:
    whole: dict[Any, Any] = yaml.safe_load(TEXTS[name])
    return {
        str(key) if key is not True else "on": value for key, value in whole.items()
    }  # YAML 1.1: on is true


def jobs(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(name)["jobs"]
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job.get("steps", ())]


def test_there_are_three_and_the_one_to_copy() -> None:
    assert set(TEXTS) == {"ci.yaml", "e2e.yaml", "release.yaml", DOC.name}


@pytest.mark.parametrize("name", TEXTS)
def test_actionlint_finds_nothing(actionlint: Path, name: str) -> None:
    # Without the programs that it would call where they happen to be installed.
    done = subprocess.run(  # noqa: S603 - our own tool
        [actionlint, "-shellcheck=", "-pyflakes=", "-no-color", "-"],
        input=TEXTS[name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_actionlint_finds_what_is_wrong(actionlint: Path) -> None:
    wrong = TEXTS["ci.yaml"].replace("matrix.python", "matrix.pyhton")
    done = subprocess.run(  # noqa: S603 - our own tool
        [actionlint, "-shellcheck=", "-pyflakes=", "-"],
        input=wrong,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pyhton" in done.stdout


@pytest.mark.parametrize("name", TEXTS)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it(name: str) -> None:
    used = [line for line in TEXTS[name].splitlines() if re.match(r"^\s*(- )?uses:", line)]
    ours = [line for line in used if "uses: ./.github/workflows/" in line]
    third = [line.replace("  uses:", "- uses:") for line in used if line not in ours]
    assert third
    assert [line for line in third if not PINNED.match(line)] == []


def test_an_action_is_the_same_everywhere() -> None:
    lines = [line.replace("  uses:", "- uses:") for text in TEXTS.values() for line in text.splitlines()]
    found = {match[1]: set[str]() for line in lines if (match := PINNED.match(line))}
    for line in lines:
        if match := PINNED.match(line):
            found[match[1]].add(line.split("@")[1])
    assert {action: pinned for action, pinned in found.items() if len(pinned) > 1} == {}


@pytest.mark.parametrize("name", TEXTS)
def test_a_job_may_do_what_it_must_and_ends_in_time(name: str) -> None:
    assert load(name)["permissions"] == {}
    assert "concurrency" in load(name)
    for title, job in jobs(name).items():
        granted = job["permissions"]
        writes = {scope for scope, what in granted.items() if what == "write"}
        assert writes == MAY_WRITE.get((name, title), set())
        assert set(granted.values()) <= {"read", "write"}
        assert "uses" in job or job["timeout-minutes"] <= 60


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_from_outside_gets_into_a_script(name: str) -> None:
    scripts = [step["run"] for step in steps(name) if "run" in step]
    assert [script for script in scripts if "${{" in script] == []
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", [name for name in TEXTS if name != DOC.name])
def test_what_they_call_is_there(name: str) -> None:
    targets = set(re.findall(r"^\.PHONY: ([\w-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = "\n".join(step["run"] for step in steps(name) if "run" in step)
    assert set(re.findall(r"\bmake ([\w-]+)", scripts)) <= targets
    for path in re.findall(r"(?<![\w/$-])((?:\.ci|dev|crds|deploy)/[\w./-]+)", scripts):
        assert (ROOT / path).exists(), path
    assert load(name)["defaults"]["run"]["shell"] == "bash", "else a pipe's failure is not seen"


def test_ci_runs_on_the_pythons_that_are_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert jobs("ci.yaml")["test"]["strategy"]["matrix"]["python"] == named
    assert f">={named[0]}" == project["requires-python"]


def test_e2e_runs_on_the_newest_kubernetes_and_the_two_before() -> None:
    rows = jobs("e2e.yaml")["kind"]["strategy"]["matrix"]["include"]
    minor = int(pins.KUBERNETES_VERSION.split(".")[1])
    assert [row["kubernetes"] for row in rows] == [f"1.{minor - back}" for back in range(3)]
    for row in rows:
        assert re.fullmatch(
            rf"kindest/node:v{re.escape(row['kubernetes'])}\.\d+@sha256:[0-9a-f]{{64}}", row["node"]
        )
    assert rows[0]["node"] in TEXTS[DOC.name]


@pytest.mark.parametrize("name", ["release.yaml", DOC.name])
def test_helm_is_the_version_that_the_chart_is_tested_with(name: str) -> None:
    (step,) = (step for step in steps(name) if step.get("uses", "").startswith("azure/setup-helm@"))
    tool = tools.TOOLS["helm"]
    assert step["with"]["version"] == tools.version(tool.package, tool.module)


def test_nothing_is_pushed_before_everything_was_tested() -> None:
    needs = {title: set(job.get("needs", ())) for title, job in jobs("release.yaml").items()}
    assert needs["image"] >= {"agree", "test", "e2e"}
    assert "image" in needs["chart"]


def test_every_pin_is_looked_after() -> None:
    config = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    by = {one["package-ecosystem"]: one for one in config["updates"]}
    modules = {f"/{path.parent.relative_to(ROOT)}" for path in ROOT.rglob("go.mod")}
    assert set(by["gomod"]["directories"]) == modules
    assert (ROOT / by["docker"]["directory"].strip("/") / "Dockerfile").exists()
    assert "github-actions" in by
