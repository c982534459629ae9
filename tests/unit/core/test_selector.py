"""Label selectors match as Kubernetes' documentation says."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from methodsecret_operator.core.selector import Selector

AT = {"app": "checkout", "tier": "", "example.com/team": "payments"}


class Row(NamedTuple):
    """A selector, and whether the labels above meet it."""

    reason: str
    text: str
    meets: bool


TABLE = [
    Row("nothing asked, everything matches", "", meets=True),
    Row("white space asks nothing", "  ", meets=True),
    Row("equal", "app=checkout", meets=True),
    Row("equal, with two signs", "app==checkout", meets=True),
    Row("equal, with spaces", " app = checkout ", meets=True),
    Row("not equal", "app=billing", meets=False),
    Row("a label with an empty value", "tier=", meets=True),
    Row("an absent label is not an empty one", "zone=", meets=False),
    Row("a key with a prefix", "example.com/team=payments", meets=True),
    Row("unequal", "app!=billing", meets=True),
    Row("unequal, but equal", "app!=checkout", meets=False),
    Row("unequal holds for an absent label", "zone!=eu", meets=True),
    Row("in a set", "app in (billing, checkout)", meets=True),
    Row("not in the set", "app in (billing)", meets=False),
    Row("an absent label is in no set", "zone in (eu)", meets=False),
    Row("the set of the empty value", "tier in ()", meets=True),
    Row("notin", "app notin (billing,orders)", meets=True),
    Row("notin, but in", "app notin (checkout)", meets=False),
    Row("notin holds for an absent label", "zone notin (eu)", meets=True),
    Row("exists", "app", meets=True),
    Row("does not exist", "zone", meets=False),
    Row("absent", "!zone", meets=True),
    Row("absent, but there", "! app", meets=False),
    Row("all of several", "app=checkout,tier,!zone", meets=True),
    Row("one of several fails", "app=checkout,zone", meets=False),
    Row("a comma in parentheses does not divide", "app in (a,checkout),tier in (,b)", meets=True),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_what_matches(row: Row) -> None:
    assert Selector(row.text).matches(AT) is row.meets


def test_no_labels_at_all() -> None:
    assert Selector("!app").matches({})
    assert not Selector("app").matches({})


@pytest.mark.parametrize(
    "text", ["=x", "a,,b", "a in b", "a in (b", "a=b=c", "a b", "(a)", "a>1", ",", "a=b;c", "a in(b) c"]
)
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(ValueError, match="no label selector"):
        Selector(text)
