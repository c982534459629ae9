"""`release`: what is held, who is noticed at work, and what is done while others change an object."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from methodsecret_operator.commands import release
from methodsecret_operator.commands.release import Held, held
from methodsecret_operator.core.resource import FINALIZER
from methodsecret_operator.errors import KubeNotFound, KubeRejected, KubeUnavailable
from methodsecret_operator.kube import finalizer
from methodsecret_operator.kube.client import KubeClient
from tests.unit import gen
from tests.unit.runtime.kube_server import SERVED, KubeServer

PLACE = f"{SERVED}/namespaces/{gen.NAMESPACE}/methodsecrets/{gen.NAME}"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/home/leases/ours"


def document(*finalizers: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    metadata: dict[str, Any] = {
        "namespace": gen.NAMESPACE,
        "name": gen.NAME,
        "uid": gen.UID,
        "resourceVersion": "7",
    }
    metadata |= {"finalizers": list(finalizers)} if finalizers else {}
    return {"metadata": metadata | changed.pop("metadata", {}), **changed}


def found(*finalizers: str, **changed: Any) -> Held:  # noqa: ANN401 - any JSON
    one = held(document(*finalizers, **changed))
    assert one is not None
    return one


@pytest.mark.parametrize(
    ("status", "ids", "reason"),
    [
        (None, (), "never looked at"),
        ({"observedGeneration": -1}, (), "the CRD's default"),
        ({"id": "sec_a"}, ("sec_a",), "the id in use"),
        ({"id": "sec_b", "superseded": [{"id": "sec_a"}]}, ("sec_b", "sec_a"), "and former ones"),
        ({"id": "sec_a", "superseded": [{"id": "sec_a"}]}, ("sec_a",), "each once"),
        ({"id": "\x1b[31m", "superseded": [{"id": "sec_a"}, "x", {}]}, ("sec_a",), "edited by hand"),
    ],
)
def test_the_ids_that_stay_are_those_of_the_status(
    status: dict[str, Any] | None, ids: tuple[str, ...], reason: str
) -> None:
    assert found(FINALIZER, status=status).ids == ids, reason


def test_what_we_do_not_hold_is_none_of_our_business() -> None:
    assert held(document()) is None
    assert held(document("somebody/else")) is None


def test_an_object_that_is_being_deleted_is_told_apart() -> None:
    assert not found(FINALIZER).deleting
    assert found(FINALIZER, metadata={"deletionTimestamp": gen.EARLIER}).deleting


def test_a_request_without_our_finalizer_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="not in list"):
        finalizer.remove_request("a", "b", uid=gen.UID, finalizers=["somebody/else"])


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ((FINALIZER,), [], "the only one"),
        (("a/b", FINALIZER, "c/d"), ["a/b", "c/d"], "others stay, in their order"),
    ],
)
async def test_only_our_finalizer_goes(
    kube: KubeClient, server: KubeServer, before: tuple[str, ...], after: list[str], reason: str
) -> None:
    server.documents[PLACE] = document(*before)
    await release.release(kube, found(*before))
    assert server.documents[PLACE]["metadata"]["finalizers"] == after, reason
    assert server.seen == [f"PATCH {PLACE}"]


async def test_another_finalizer_that_has_come_meanwhile_is_not_lost(
    kube: KubeClient, server: KubeServer
) -> None:
    server.documents[PLACE] = document("a/b", FINALIZER)
    await release.release(kube, found(FINALIZER))  # as it was read, before the other came
    assert server.documents[PLACE]["metadata"]["finalizers"] == ["a/b"]
    assert server.seen == [f"PATCH {PLACE}", f"GET {PLACE}", f"PATCH {PLACE}"]


async def test_somebody_elses_finalizer_in_our_place_is_not_taken_off(
    kube: KubeClient, server: KubeServer
) -> None:
    server.documents[PLACE] = document("a/b")
    await release.release(kube, found(FINALIZER))
    assert server.documents[PLACE]["metadata"]["finalizers"] == ["a/b"]


async def test_another_object_of_the_same_name_is_left_alone(kube: KubeClient, server: KubeServer) -> None:
    server.documents[PLACE] = document(FINALIZER, metadata={"uid": "another"})
    await release.release(kube, found(FINALIZER))
    assert server.documents[PLACE]["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.parametrize("answers", [[404], [409, 404], [422, 404]])
async def test_an_object_that_has_gone_is_released(
    kube: KubeClient, server: KubeServer, answers: list[int]
) -> None:
    server.faults[f"PATCH {PLACE}"] = answers[:1]
    server.faults[f"GET {PLACE}"] = answers[1:]
    await release.release(kube, found(FINALIZER))


async def test_an_object_that_the_server_does_not_take_is_given_up(
    kube: KubeClient, server: KubeServer
) -> None:
    server.documents[PLACE] = document(FINALIZER)
    server.faults[f"PATCH {PLACE}"] = [422] * 10
    with pytest.raises(KubeRejected):
        await release.release(kube, found(FINALIZER))
    assert server.seen.count(f"PATCH {PLACE}") == release.ATTEMPTS


async def test_an_outage_is_not_taken_for_a_conflict(kube: KubeClient, server: KubeServer) -> None:
    server.faults[f"PATCH {PLACE}"] = [500]
    with pytest.raises(KubeUnavailable):
        await release.release(kube, found(FINALIZER))


class Clock:
    """Monotonic seconds that pass by sleeping; `then` is put in the Lease's place after the first sleep."""

    def __init__(self, server: KubeServer, *, then: dict[str, Any] | None = None) -> None:
        self.seconds = 0.0
        self._server = server
        self._then = then

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self._then is not None:
            self._server.documents[LEASE] = lease(**self._then)


def lease(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"metadata": {"name": "methodsecret-operator", "resourceVersion": "1"}, "spec": spec}


HELD: dict[str, Any] = {"holderIdentity": "pod-a", "leaseDurationSeconds": 30, "renewTime": "1"}


class Row(NamedTuple):
    """A Lease, what becomes of it at the first wait, who leads then, and how many seconds that takes."""

    reason: str
    first: dict[str, Any]
    then: dict[str, Any] | None
    leader: str | None
    waited: float


ROWS = [
    Row("renewed: seen at the next look", HELD, {**HELD, "renewTime": "2"}, "pod-a", 4.0),
    Row("handed over: somebody leads", HELD, {**HELD, "holderIdentity": "pod-b"}, "pod-b", 4.0),
    Row("not renewed for as long as it says: dead", HELD, None, None, 30.0),
    Row("does not say how long", {"holderIdentity": "pod-a"}, None, None, 15.0),
    Row("released: nobody leads, known at once", {**HELD, "holderIdentity": ""}, None, None, 0.0),
    Row("released while we look", HELD, {**HELD, "holderIdentity": ""}, None, 4.0),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
async def test_a_leader_is_known_by_its_renewals(kube: KubeClient, server: KubeServer, row: Row) -> None:
    server.documents[LEASE] = lease(**row.first)
    clock = Clock(server, then=row.then)
    assert await release.leader(kube, "home", "ours", clock=clock, sleep=clock.sleep) == row.leader
    assert row.waited <= clock.seconds < row.waited + 4.0, "at the first look at which it can be known"


async def test_no_lease_is_not_the_same_as_nobody(kube: KubeClient) -> None:
    with pytest.raises(KubeNotFound):
        await release.leader(kube, "home", "ours")
