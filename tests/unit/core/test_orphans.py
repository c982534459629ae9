"""What may be called an orphan: a row for each way in which a secret is none, and what holds for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methodsecret_operator.core import identity, orphans
from methodsecret_operator.core.identity import Marker
from methodsecret_operator.core.orphans import Owner, Verdict, View, judge, named
from methodsecret_operator.core.remote import RemoteSecret
from tests.unit import gen

HERE = f"{gen.NAMESPACE}/{gen.NAME}"
VIEW = View(
    clusters=frozenset({gen.CLUSTER, "prod-old"}),
    key_id=gen.KEY.id,
    live=frozenset(),
    named=frozenset(),
    namespaces=None,
    now=gen.NOW,
    min_age=timedelta(hours=1),
)
OLD = "2026-05-04T11:00:00.250Z"  # exactly min_age before NOW
YOUNG = "2026-05-04T11:00:00.251Z"


def secret(status: str = "active", created_at: str | None = OLD, **marker: str) -> RemoteSecret:
    return RemoteSecret(
        id="sec_a", status=status, created_at=created_at, metadata=gen.marker(**marker) | {"team": "x"}
    )


class Row(NamedTuple):
    """A secret, what is known of the cluster, and the verdict."""

    reason: str
    secret: RemoteSecret
    verdict: Verdict
    view: Mapping[str, Any] = MappingProxyType({})


FOREIGN_KEY = gen.revision(key=identity.DigestKey(b"another digest key for tests"))
ROWS = [
    Row("nothing stands behind it, and it is old enough", secret(), Verdict.ORPHAN),
    Row("under a former name of the cluster", secret(owner=f"prod-old/{HERE}"), Verdict.ORPHAN),
    Row("its namespace is one of those looked at", secret(), Verdict.ORPHAN, {"namespaces": {gen.NAMESPACE}}),
    Row("its object is there", secret(), Verdict.IN_USE, {"live": {HERE}}),
    Row("its object is there again, with another uid", secret(uid="x"), Verdict.IN_USE, {"live": {HERE}}),
    Row("an object of the name elsewhere is not its object", secret(), Verdict.ORPHAN, {"live": {"b/acme"}}),
    Row("adopted by another object", secret(), Verdict.IN_USE, {"named": {"sec_a"}}),
    Row("made a moment ago: its status may not be written", secret(created_at=YOUNG), Verdict.TOO_YOUNG),
    Row("made in the future by our clock", secret(created_at="2026-05-05T00:00:00Z"), Verdict.TOO_YOUNG),
    Row("its age is not told", secret(created_at=None), Verdict.UNCLEAR),
    Row("its age is not a time", secret(created_at="yesterday"), Verdict.UNCLEAR),
    Row("its age is without a zone", secret(created_at="2026-05-01T00:00:00"), Verdict.UNCLEAR),
    Row("a status that the API has added", secret("locked"), Verdict.UNCLEAR),
    Row("deleted already", secret("deleted"), Verdict.DELETED),
    Row("no marker", RemoteSecret("sec_a", "active", OLD, metadata={"team": "x"}), Verdict.UNMARKED),
    Row("no metadata", RemoteSecret("sec_a", "active", OLD), Verdict.UNMARKED),
    Row("half a marker", RemoteSecret("sec_a", "active", OLD, metadata={"k8s_owner": "a"}), Verdict.UNMARKED),
    Row("another cluster's", secret(owner=f"staging/{HERE}"), Verdict.OTHER_CLUSTER),
    Row("a name that begins like ours", secret(owner=f"{gen.CLUSTER}-2/{HERE}"), Verdict.OTHER_CLUSTER),
    Row("our name, another digest key", secret(revision=FOREIGN_KEY), Verdict.OTHER_KEY),
    Row("a revision that is none", secret(revision=gen.KEY.id), Verdict.OTHER_KEY),
    Row("another key, named by us", secret(revision=FOREIGN_KEY), Verdict.OTHER_KEY, {"named": {"sec_a"}}),
    Row("a namespace that is not looked at", secret(), Verdict.OTHER_NAMESPACE, {"namespaces": {"other"}}),
    Row("no namespace may be looked at", secret(), Verdict.OTHER_NAMESPACE, {"namespaces": set()}),
    Row("an owner without a name", secret(owner=f"{gen.CLUSTER}/payments"), Verdict.UNCLEAR),
    Row("an owner that no object can have", secret(owner=f"{gen.CLUSTER}/../acme"), Verdict.UNCLEAR),
    Row("an owner with a place too many", secret(owner=f"{gen.CLUSTER}/a/b/c"), Verdict.UNCLEAR),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
def test_verdicts(row: Row) -> None:
    assert judge(row.secret, replace(VIEW, **row.view)) is row.verdict


def test_what_looks_like_ours_and_is_not_judged_is_said_to_be_so() -> None:
    unjudged = {row.verdict for row in ROWS if not row.verdict.judged}
    assert unjudged == {Verdict.OTHER_KEY, Verdict.OTHER_NAMESPACE, Verdict.UNCLEAR}


# Mostly what makes an orphan, each part now and then otherwise: so that many are, and most just are not.
CLUSTERS = st.sampled_from([gen.CLUSTER, gen.CLUSTER, "prod-old", "staging"])
PLACES = st.sampled_from(["payments", "payments", "acme-api-key", ".."])
SECRETS = st.builds(
    RemoteSecret,
    st.sampled_from(["sec_a", "sec_b"]),
    st.sampled_from(["active", "active", "active", "deleted", "locked"]),
    st.sampled_from([OLD, OLD, OLD, YOUNG, None]),
    metadata=st.builds(
        lambda owner, revision: {"k8s_owner": "/".join(owner), "k8s_uid": "u", "k8s_revision": revision},
        st.tuples(CLUSTERS, PLACES, PLACES),
        st.sampled_from([gen.revision(), gen.revision(), FOREIGN_KEY]),
    ),
)
VIEWS = st.builds(
    View,
    clusters=st.sampled_from([frozenset({gen.CLUSTER, "prod-old"}), frozenset({gen.CLUSTER})]),
    key_id=st.sampled_from([gen.KEY.id, gen.KEY.id, "00000000"]),
    live=st.frozensets(st.sampled_from([HERE, "payments/payments"]), max_size=1),
    named=st.frozensets(st.sampled_from(["sec_a", "sec_b", "sec_c"]), max_size=1),
    namespaces=st.none() | st.frozensets(PLACES),
    now=st.just(gen.NOW),
    min_age=st.sampled_from([timedelta(0), timedelta(hours=1), timedelta(days=400)]),
)
MANY = settings(gen.EXAMPLES, max_examples=300)  # each costs microseconds


def test_the_properties_below_are_about_something() -> None:
    found: list[bool] = []

    @MANY
    @given(SECRETS, VIEWS)
    def look(one: RemoteSecret, view: View) -> None:
        found.append(judge(one, view) is Verdict.ORPHAN)

    look()
    assert 10 < sum(found) < len(found) - 10


@MANY
@given(SECRETS, VIEWS)
def test_an_orphan_is_ours_known_and_of_nobody(one: RemoteSecret, view: View) -> None:
    if judge(one, view) is not Verdict.ORPHAN:
        return
    marker = Marker.read(one.metadata)
    assert marker is not None
    cluster, namespace, name = marker.owner.split("/")
    assert cluster in view.clusters
    assert identity.revision_key_id(marker.revision) == view.key_id
    assert f"{namespace}/{name}" not in view.live
    assert one.id not in view.named
    assert one.status == "active"
    assert view.namespaces is None or namespace in view.namespaces
    assert orphans.owner(marker, view.clusters) == Owner(namespace, name)


@MANY
@given(SECRETS, VIEWS, st.sampled_from([HERE, "payments/payments"]), st.sampled_from(["sec_a", "sec_b"]))
def test_to_know_more_objects_never_makes_an_orphan(
    one: RemoteSecret, view: View, key: str, secret_id: str
) -> None:
    more = replace(view, live=view.live | {key}, named=view.named | {secret_id})
    assert judge(one, view) is Verdict.ORPHAN or judge(one, more) is not Verdict.ORPHAN


@MANY
@given(SECRETS, VIEWS)
def test_to_see_fewer_namespaces_or_own_fewer_names_never_makes_an_orphan(
    one: RemoteSecret, view: View
) -> None:
    for less in (replace(view, namespaces=frozenset()), replace(view, clusters=frozenset())):
        assert judge(one, less) is not Verdict.ORPHAN


@pytest.mark.parametrize(
    ("document", "ids", "reason"),
    [
        ({}, [], "an object without anything"),
        ({"spec": None, "status": None}, [], "null is nothing"),
        ({"status": {"id": "sec_a"}}, ["sec_a"], "in use"),
        ({"status": {"superseded": [{"id": "sec_a"}, {"id": "sec_b"}]}}, ["sec_a", "sec_b"], "former ones"),
        ({"status": {"adopted": {"id": "sec_a"}}}, ["sec_a"], "taken over"),
        ({"status": {"published": [{"configMap": "x", "id": "sec_a"}]}}, ["sec_a"], "shown to Pods"),
        ({"spec": {"adopt": {"id": "sec_a"}}}, ["sec_a"], "wanted, though not yet taken over"),
        ({"status": {"id": 3, "superseded": [None, "x", {}]}}, [], "of another version's schema"),
    ],
)
def test_every_id_that_an_object_names_is_found(
    document: dict[str, Any], ids: list[str], reason: str
) -> None:
    assert list(named(document)) == ids, reason
