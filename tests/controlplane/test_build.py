"""The Go route is pinned, says how far it is, and ends with whoever started it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dev.controlplane import build, pins
from dev.controlplane.progress import Progress

HERE = Path(build.__file__).parent


def test_the_modules_pin_the_versions_that_are_shown() -> None:
    kubernetes = (HERE / "go.mod").read_text()
    staging = pins.KUBERNETES_VERSION.replace("v1.", "v0.")
    assert re.search(
        rf"^(require )?\t?k8s\.io/kubernetes {pins.KUBERNETES_VERSION}\b", kubernetes, re.MULTILINE
    )
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (\S+) (\S+)$", kubernetes, re.MULTILINE)
    assert len(replaced) > 30
    assert {(name == target, version) for name, target, version in replaced} == {(True, staging)}
    etcd = (HERE / "etcd" / "go.mod").read_text()
    assert re.search(
        rf"^(require )?\t?go\.etcd\.io/etcd/server/v3 v{pins.ETCD_VERSION}\b", etcd, re.MULTILINE
    )


def test_every_program_is_a_tool_of_its_module() -> None:
    for program in build.PROGRAMS:
        tools = (program.module / "go.mod").read_text()
        assert re.search(rf"^(tool )?\t?{re.escape(program.package)}$", tools, re.MULTILINE), program.package
    assert {program.name for program in build.PROGRAMS} == set(pins.PROGRAMS)


def test_the_recipe_changes_with_what_is_built(small_programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is named by it."""
    assert small_programs.exists()
    small = build.recipe()
    assert re.fullmatch("[0-9a-f]{12}", small)
    monkeypatch.setattr(build, "PROGRAMS", build.PROGRAMS[:1])
    assert build.recipe() != small


def test_a_build_says_what_it_does(tmp_path: Path, go: str, small_programs: Path) -> None:
    said: list[str] = []
    build.build(tmp_path, go=go, say=said.append)
    assert small_programs.exists()
    assert re.search(r"building Kubernetes v1\.37\.2 .*about \d+ minutes? ", said[0])
    for number, name in enumerate(pins.PROGRAMS, start=1):
        assert any(line.startswith(f"Control plane: {name} ({number} of 4)") for line in said)
        assert (tmp_path / name).stat().st_mode & 0o111


def test_progress_tells_how_far_and_how_long() -> None:
    times = iter([0.0, 1.0, 12.0, 13.0, 40.0, 41.0, 50.0])
    said: list[str] = []
    progress = Progress(said.append, "thing", total=100, unit="packages", clock=lambda: next(times))
    for done in (1, 25, 30, 100, 100):
        progress.at(done)
    progress.done()
    assert said == [
        "thing: 12 s, 25 of 100 packages, about 36 s more",
        "thing: 40 s, 100 of 100 packages, finishing",
        "thing: done in 50 s",
    ]
