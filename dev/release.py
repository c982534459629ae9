"""What the release workflow asks of the checkout: do version, chart and changelog agree, and what is in it.

`python3 dev/release.py check TAG` prints the version; `notes TAG` its part of the changelog; `chart FOLDER
--image REF --emulator REF` writes the chart with the images it is released with, by their digests. Where
something does not agree: exit code 1, with a reason. Standard library only: it runs before any installation.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = {"image": "methodsecret-operator", "emulator": "method-emulator"}


class ReleaseError(Exception):
    """Something does not agree; the text says what, and where to mend it."""


def check(tag: str, root: Path = ROOT) -> str:
    """Return the version that a tag such as v1.2.3 stands for.

    Raises ReleaseError where the package, the chart or the changelog says another one.
    """
    if not (found := re.fullmatch(r"v(\d+\.\d+\.\d+)", tag)):
        raise ReleaseError(f"the tag {tag} is none of a release: v1.2.3 is the form")
    version = found[1]
    places = (
        ("operator/methodsecret_operator/__init__.py", r'^__version__ = "(.+)"$'),
        ("deploy/chart/Chart.yaml", r"^version: (.+)$"),
        ("deploy/chart/Chart.yaml", r"^appVersion: (.+)$"),
    )
    for name, pattern in places:
        said = re.findall(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if [one.strip("\"'") for one in said] != [version]:
            raise ReleaseError(
                f"the tag is {tag}, and {name} says {', '.join(said) or 'nothing'}: correct one"
            )
    notes(tag, root)
    return version


def notes(tag: str, root: Path = ROOT) -> str:
    """Return what the changelog says of a release. Raises ReleaseError where that is nothing."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"^## \[(.+?)\].*$", text, flags=re.MULTILINE)
    found = dict(zip(sections[1::2], sections[2::2], strict=True)).get(tag.removeprefix("v"), "").strip()
    if not re.search(r"^- ", found, re.MULTILINE):
        raise ReleaseError(
            f"CHANGELOG.md has no section [{tag.removeprefix('v')}] with entries: rename [Unreleased]"
        )
    return found + "\n"


def chart(folder: Path, *, images: dict[str, str], root: Path = ROOT) -> None:
    """Write the chart to a folder with its images named as `REPOSITORY@sha256:…`; keys are those of IMAGES.

    Raises ReleaseError.
    """
    values = (root / "deploy/chart/values.yaml").read_text(encoding="utf-8")
    for key, reference in images.items():
        if not (found := re.fullmatch(r"(\S+)@(sha256:[0-9a-f]{64})", reference)):
            raise ReleaseError(f"{reference} is no image with its digest: REPOSITORY@sha256:… is the form")
        # The digest of an image stands below its repository, with comments and the tag between them.
        block = rf'^( +)repository: {IMAGES[key]}$((?:\n\1[#t].*)*?)\n\1digest: ""$'
        new = rf"\1repository: {found[1]}\2\n\1digest: {found[2]}"
        values, count = re.subn(block, new, values, flags=re.MULTILINE)
        if count != 1:
            raise ReleaseError(
                f"deploy/chart/values.yaml does not name {IMAGES[key]} as it should: see {__file__}"
            )
    shutil.copytree(root / "deploy/chart", folder)
    (folder / "values.yaml").write_text(values, encoding="utf-8")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="dev/release.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "notes"):
        commands.add_parser(name).add_argument("tag")
    packaging = commands.add_parser("chart")
    packaging.add_argument("folder", type=Path)
    for key in IMAGES:
        packaging.add_argument(f"--{key}", required=True)
    options = parser.parse_args()
    try:
        if options.command == "chart":
            chart(options.folder, images={key: getattr(options, key) for key in IMAGES})
        elif options.command == "notes":
            sys.stdout.write(notes(options.tag))
        else:
            print(check(options.tag))
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
