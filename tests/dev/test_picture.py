"""The still of the demo: whole steps of what was said, and a file that fetches nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from dev import dashboard, picture

SAID = """
\x1b[1m1. A cluster\x1b[0m
   etcd at http://127.0.0.1:1
   (0.1 s)

\x1b[1m2. It becomes Ready\x1b[0m
   $ kubectl get
   NAME
\x1b[32m   -> see\x1b[0m

\x1b[1m5. It changes\x1b[0m
   moved

Done in 3.0 s; every process and file is taken away.
"""


def test_whole_steps_are_drawn_and_nothing_between_them() -> None:
    assert [picture._COLOUR.sub("", line) for line in picture.steps(SAID)] == [
        "2. It becomes Ready",
        "   $ kubectl get",
        "   NAME",
        "   -> see",
        "",
        "5. It changes",
        "   moved",
    ]


def test_every_line_is_in_the_picture() -> None:
    drawn = "".join(ET.fromstring(picture.draw(picture.steps(SAID))).itertext()).replace("\xa0", " ")  # noqa: S314 - made here
    for text in ("2. It becomes Ready", "$ kubectl get", "-> see", "moved", "make demo"):
        assert text in drawn
    assert "127.0.0.1" not in drawn


def test_the_picture_in_the_readme_is_small_and_fetches_nothing() -> None:
    svg = picture.FILE.read_text(encoding="utf-8")
    assert len(svg) < 40_000
    assert not re.search(r"@font-face|@import|<image|<script|url\(\s*[\"']?http|href", svg)
    drawn = "".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")  # noqa: S314 - our own file
    assert all(f"{title}" in drawn for title in picture.STEPS)
    assert not re.search(r"/(tmp|home|root)/", drawn), "no path of somebody's machine"


def test_the_picture_of_the_dashboard_has_every_panel_and_fetches_nothing() -> None:
    svg = (picture.ROOT / "docs" / "dashboard.svg").read_text(encoding="utf-8")
    assert len(svg) < 500_000
    assert not re.search(r"@font-face|@import|<image|<script|url\(\s*[\"']?http", svg)
    drawn = [text.strip() for text in ET.fromstring(svg).itertext()]  # noqa: S314 - our own file
    titles = [panel["title"] for panel in dashboard.dashboard()["panels"]]
    assert [title for title in titles if title not in drawn] == [], "make picture"
