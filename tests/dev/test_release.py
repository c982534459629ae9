"""What the release workflow asks: nothing goes out that disagrees with itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dev import release

DIGESTS = {"image": f"sha256:{'a' * 64}", "emulator": f"sha256:{'b' * 64}"}
REFERENCES = {
    "image": f"ghcr.io/acme/methodsecret-operator@{DIGESTS['image']}",
    "emulator": f"ghcr.io/acme/method-emulator@{DIGESTS['emulator']}",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout that is ready for v1.2.3."""
    for name, text in {
        "operator/methodsecret_operator/__init__.py": '"""Doc."""\n\n__version__ = "1.2.3"\n',
        "CHANGELOG.md": "# C\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Added\n\n- A.\n\n"
        "## [1.2.2]\n\n- B.\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copytree(release.ROOT / "deploy/chart", tmp_path / "deploy/chart")
    file = tmp_path / "deploy/chart/Chart.yaml"
    file.write_text(re.sub(r"(?m)^(version|appVersion): .*$", r"\1: 1.2.3", file.read_text()))
    return tmp_path


def test_what_agrees_is_released_with_its_part_of_the_changelog(checkout: Path) -> None:
    assert release.check("v1.2.3", checkout) == "1.2.3"
    assert release.notes("v1.2.3", checkout) == "### Added\n\n- A.\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("operator/methodsecret_operator/__init__.py", "1.2.3", "1.2.2", "__init__.py says 1.2.2"),
        ("deploy/chart/Chart.yaml", "\nversion: 1.2.3", "\nversion: 1.2.4", "Chart.yaml says 1.2.4"),
        ("deploy/chart/Chart.yaml", "appVersion: 1.2.3", "appVersion: 1.2.4", "Chart.yaml says 1.2.4"),
        ("CHANGELOG.md", "## [1.2.3]", "## [1.2.5]", "no section"),
        ("CHANGELOG.md", "- A.\n", "", "no section"),
    ],
)
def test_what_disagrees_is_named(checkout: Path, file: str, old: str, new: str, said: str) -> None:
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new))
    with pytest.raises(release.ReleaseError, match=said):
        release.check("v1.2.3", checkout)


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3-rc1", "v1.2.3\n"])
def test_only_tags_of_releases_are_taken(checkout: Path, tag: str) -> None:
    with pytest.raises(release.ReleaseError, match=r"v1\.2\.3 is the form"):
        release.check(tag, checkout)


def test_the_chart_is_released_with_its_images_by_digest_and_nothing_else_changed(tmp_path: Path) -> None:
    release.chart(tmp_path / "chart", images=REFERENCES)
    before = yaml.safe_load((release.ROOT / "deploy/chart/values.yaml").read_text())
    after = yaml.safe_load((tmp_path / "chart/values.yaml").read_text())
    for mine, image in ((after["image"], "image"), (after["emulator"]["image"], "emulator")):
        assert f"{mine['repository']}@{mine['digest']}" == REFERENCES[image]
    for one in (before, after):
        for image in (one["image"], one["emulator"]["image"]):
            del image["repository"], image["digest"]
    assert after == before
    there = {str(p.relative_to(tmp_path / "chart")) for p in (tmp_path / "chart").rglob("*")}
    assert there == {
        str(p.relative_to(release.ROOT / "deploy/chart")) for p in (release.ROOT / "deploy/chart").rglob("*")
    }


def test_an_image_without_a_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(release.ReleaseError, match="no image with its digest"):
        release.chart(tmp_path / "chart", images={"image": "ghcr.io/acme/methodsecret-operator:1.2.3"})
    assert not (tmp_path / "chart").exists()


def test_the_command_line_says_why_and_ends_with_1() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-B", release.ROOT / "dev/release.py", "check", "v99.0.0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("release: the tag is v99.0.0, and ")
