"""`doctor`: what is made of what was seen, and that it asks for what the shipped RBAC grants."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from methodsecret_operator import settings
from methodsecret_operator.commands import checks, doctor
from methodsecret_operator.commands.checks import Level, Line
from methodsecret_operator.commands.permissions import Need, needed, to_make_the_digest_key
from methodsecret_operator.kube.lease import Lease
from methodsecret_operator.kube.review import Access
from tests.fixtures_crd import CRD_FILE, read_crd, read_schema

RBAC: Final = Path(__file__).parents[3] / "deploy" / "kustomize" / "base" / "rbac.yaml"
HOME: Final = "methodsecret-system"
NOW: Final = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)

in_checkout = pytest.mark.skipif(not CRD_FILE.is_file(), reason="the wheel is tested without crds and deploy")


def chosen(**flags: str) -> settings.Settings:
    return settings.load({"operator_namespace": HOME, "leader_election": "true", **flags})


def asked(**flags: str) -> set[tuple[str, str, str, str]]:
    """Return (namespace, resource, name, verb) of all that is needed."""
    return {
        (need.access.namespace, need.access.resource, need.access.name, need.access.verb)
        for need in needed(chosen(**flags))
    }


@in_checkout
def test_what_is_asked_for_is_what_the_shipped_rbac_grants() -> None:
    granted = set()
    for document in yaml.safe_load_all(RBAC.read_text(encoding="utf-8")):
        for rule in document.get("rules", ()):
            granted |= {
                (document["metadata"].get("namespace", ""), group, resource, name, verb)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for name in rule.get("resourceNames", [""])
                for verb in rule["verbs"]
            }
    needs = [*needed(chosen(cluster_name="c")), to_make_the_digest_key(chosen())]
    assert {
        (need.access.namespace, need.access.group, need.access.resource, need.access.name, need.access.verb)
        for need in needs
    } == granted


@pytest.mark.parametrize(
    ("flags", "what", "there", "reason"),
    [
        ({}, ("", "secrets", "", "list"), True, "watching Secrets begins with a list"),
        ({"source_watch": "poll"}, ("", "secrets", "", "list"), False, "polling does with get"),
        ({"source_watch": "poll"}, ("", "secrets", "", "get"), True, "which it needs"),
        ({"namespaces": "a,b"}, ("b", "methodsecrets", "", "watch"), True, "each of the namespaces"),
        ({"namespaces": "a,b"}, ("", "methodsecrets", "", "watch"), False, "and no other"),
        ({"namespaces": "a"}, ("a", "namespaces", "a", "get"), True, "a Namespace is in itself"),
        ({}, ("kube-system", "namespaces", "kube-system", "get"), True, "its uid is the name"),
        ({"cluster_name": "c"}, ("kube-system", "namespaces", "kube-system", "get"), False, "which is set"),
        ({}, (HOME, "leases", "methodsecret-operator", "update"), True, "the Lease"),
        ({"lease_name": "second"}, (HOME, "leases", "second", "get"), True, "by whatever name"),
        (
            {"leader_election": "false"},
            (HOME, "leases", "", "create"),
            False,
            "without an election, no Lease",
        ),
        ({"digest_key_secret": "k"}, (HOME, "secrets", "k", "get"), True, "the digest key"),
    ],
)
def test_what_is_needed_depends_on_the_settings(
    flags: dict[str, str], what: tuple[str, str, str, str], there: bool, reason: str  # noqa: FBT001 - a column
) -> None:  # fmt: skip
    assert (what in asked(**flags)) is there, reason


def served() -> dict[str, Any]:
    """Return the schema as a server publishes it that has the CRD of this version."""
    (version,) = read_crd()["spec"]["versions"]
    selected = [{"fieldPath": field["jsonPath"].removeprefix(".")} for field in version["selectableFields"]]
    return copy.deepcopy(read_schema()) | {"x-kubernetes-selectable-fields": selected}


@in_checkout
def test_the_schema_of_this_version_is_new_enough() -> None:
    assert checks.schema(served()).level is Level.OK


@in_checkout
@pytest.mark.parametrize(
    "path",
    [
        "spec.publish",
        "spec.valueFrom.secretKeyRef.key",
        "spec.account.environment",
        "status.superseded.deleting",
        "status.source.revision",
        "status",
    ],
)
def test_a_field_that_the_server_does_not_know_is_named(path: str) -> None:
    schema = served()
    *way, last = path.split(".")
    place: Any = schema
    for name in way:
        place = place["properties"][name]
        place = place.get("items", place)
    del place["properties"][last]
    line = checks.schema(schema)
    assert line.level is Level.TODO
    assert path in line.found.replace(" and ", ",")


@in_checkout
@pytest.mark.parametrize(
    ("selectable", "named", "reason"),
    [
        ([{"fieldPath": "spec.adopt.id"}], ["status.id"], "an adoption asks whose an id is"),
        ([{"fieldPath": "status.id"}], ["spec.adopt.id"], "orphans --delete asks who is about to adopt it"),
        (None, ["status.id", "spec.adopt.id"], "a CRD from before there were any, or an old server"),
        (["status.id", {}], ["status.id", "spec.adopt.id"], "none that can be read"),
    ],
)
def test_a_field_that_the_server_does_not_select_by_is_named(
    selectable: list[Any] | None, named: list[str], reason: str
) -> None:
    line = checks.schema(served() | {"x-kubernetes-selectable-fields": selectable})
    found = f"does not let objects be selected by {', '.join(named)}"
    assert (line.check, line.level, line.found) == ("CRD", Level.TODO, found), reason
    assert "apply crds/ of this version" in line.todo


def need(verb: str, *, optional: bool = False, namespace: str = "") -> Need:
    access = Access(verb=verb, group="methodfi.com", resource="methodsecrets", namespace=namespace)
    return Need(access, "the objects to work on", optional)


def test_what_is_not_allowed_is_one_line_for_each_thing() -> None:
    lines = [*checks.rights([(need("get"), True), (need("list"), False), (need("watch"), False)])]
    found = "may not list, watch methodsecrets.methodfi.com in all namespaces"
    assert lines == [Line("rights", Level.TODO, found, "grant it: the objects to work on")]
    assert [*checks.rights([(need("get"), True)])] == [
        Line("rights", Level.OK, "all 1 that these settings need")
    ]
    (line,) = checks.rights([(need("get", optional=True, namespace="a"), False)])
    assert (line.level, line.found.endswith(" in namespace a")) == (Level.ADVICE, True)


@pytest.mark.parametrize(
    ("date", "level", "found", "reason"),
    [
        ("Mon, 04 May 2026 12:00:00 GMT", Level.OK, "within 5 s", "the same"),
        ("Mon, 04 May 2026 11:59:54 GMT", Level.OK, "within 5 s", "whole seconds are cut: it may be 5 s"),
        ("Mon, 04 May 2026 11:59:53 GMT", Level.TODO, "6 s behind", "too late by more than that"),
        ("Mon, 04 May 2026 12:00:07 GMT", Level.OK, "within 5 s", "the answer took 2 s"),
        ("Mon, 04 May 2026 12:00:08 GMT", Level.TODO, "6 s ahead of", "and it is still too early"),
        ("Mon, 04 May 2026 12:00:00 -0000", Level.OK, "within 5 s", "a time without a zone is UTC"),
        ("now", Level.ADVICE, "not told", "no date"),
        (None, Level.ADVICE, "not told", "no header"),
    ],
)
def test_clocks(date: str | None, level: Level, found: str, reason: str) -> None:
    line = checks.clock("x", date, sent=NOW, received=NOW + timedelta(seconds=2))
    assert (line.level, line.found.startswith(found)) == (level, True), reason + ": " + line.found


@pytest.mark.parametrize(
    ("spec", "level", "found", "reason"),
    [
        (None, Level.ADVICE, "nobody", "no Lease"),
        ({"holderIdentity": ""}, Level.ADVICE, "nobody", "released"),
        ({"renewTime": "2026-05-04T11:59:50.000000Z"}, Level.OK, "pod-a holds", "renewed 10 s ago"),
        ({"renewTime": "2026-05-04T11:59:00.000000Z"}, Level.ADVICE, "pod-a holds the Lease, but", "old"),
        ({"renewTime": "x"}, Level.ADVICE, "pod-a holds the Lease; when", "no time"),
        ({"renewTime": "2026-05-04T11:59:50"}, Level.ADVICE, "pod-a holds the Lease; when", "without a zone"),
    ],
)  # fmt: skip
def test_leaders(spec: dict[str, str] | None, level: Level, found: str, reason: str) -> None:
    record = {"holderIdentity": "pod-a", "leaseDurationSeconds": 15} | (spec or {})
    line = checks.leader(None if spec is None else Lease({"spec": record}), now=NOW)
    assert (line.level, line.found.startswith(found)) == (level, True), reason


def test_a_cluster_should_have_a_name_of_its_own() -> None:
    assert checks.cluster_name(None).level is Level.ADVICE
    assert checks.cluster_name("prod-eu") == Line("cluster name", Level.OK, "prod-eu")


def test_the_table_wraps_long_texts_and_begins_with_how_it_came_out() -> None:
    shown = doctor.table([Line("a", Level.TODO, "word " * 20, "do it")]).splitlines()
    assert shown[0].split() == ["CHECK", "FOUND", "WHAT", "TO", "DO"]
    assert shown[1].startswith("todo  a  ")
    assert shown[1].endswith("do it")
    assert max(map(len, shown)) < 80
