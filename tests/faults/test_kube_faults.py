"""What the kube-apiserver can do to us: go, refuse, forget, fall silent. It costs time, never a secret."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from dev.controlplane import ControlPlane
from tests.faults.matrix import Places
from tests.faults.place import Place
from tests.integration.canary import CANARY
from tests.integration.world import Predicate, message, not_ready, ready

COUNT: Final = 100
_ROLE: Final = "/apis/rbac.authorization.k8s.io/v1/clusterroles/methodsecret-operator"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_USER: Final = "system:serviceaccount:methodsecret-system:methodsecret-operator"


@contextlib.asynccontextmanager
async def _refused(
    plane: ControlPlane, place: Place, *, verb: str, group: str, resource: str
) -> AsyncIterator[None]:
    """Take one verb on one resource from the operator's role, and give it back at the end of the block."""
    rules: list[dict[str, Any]] = plane.http.get(_ROLE).raise_for_status().json()["rules"]
    rest = [
        {**rule, "verbs": [kept for kept in rule["verbs"] if kept != verb]}
        if rule["resources"] == [resource]
        else rule
        for rule in rules
    ]
    asked = {"verb": verb, "group": group, "namespace": place.namespace}
    asked["resource"], _, asked["subresource"] = resource.partition("/")

    async def write(wanted: list[dict[str, Any]], *, allowed: bool) -> None:
        kept = [rule for rule in wanted if rule["verbs"]]
        type_ = {"Content-Type": "application/merge-patch+json"}
        plane.http.patch(_ROLE, headers=type_, json={"rules": kept}).raise_for_status()
        review = {"spec": {"user": _USER, "resourceAttributes": asked}}
        # The authorizer learns of it by a watch of its own: there is nothing to wait on but its answer.
        for _ in range(500):
            if plane.http.post(_REVIEWS, json=review).json()["status"]["allowed"] is allowed:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"the role has not changed: {asked}")

    await write(rest, allowed=False)
    try:
        yield
    finally:
        await write(rules, allowed=True)


async def _synced(place: Place) -> str:
    await place.start_operator()
    await place.until_watching()
    place.write_value()
    place.method_secret()
    return str((await place.until(ready()))["status"]["id"])


async def test_the_kube_apiserver_is_restarted_in_mid_burst(
    control_plane: ControlPlane, places: Places
) -> None:
    async with places() as place:
        for number in range(COUNT):
            place.secret(f"burst-{number}", value=f"{CANARY}-{number}")
            place.method_secret(f"burst-{number}", source=f"burst-{number}")
        operator = await place.start_operator(WORKERS="4")
        await place.control.wait_for_requests(COUNT // 5, operation="create")
        await asyncio.to_thread(control_plane.stop_apiserver)
        assert await place.control.count("create") < COUNT, "in mid-burst"
        await asyncio.to_thread(control_plane.start_apiserver)
        for number in range(COUNT):
            await place.until(ready(), f"burst-{number}", seconds=60)
        stored = {secret["id"]: secret["metadata"] for secret in await place.control.secrets()}
        assert len(stored) == COUNT
        for obj in place.list():
            assert stored[obj["status"]["id"]]["k8s_uid"] == obj["metadata"]["uid"]
        assert any(sent.end == "kube" and sent.status is None for sent in place.proxy.log), "it was felt"
        assert operator.running


@pytest.mark.parametrize(
    ("label", "count", "spec", "reason"),
    [
        ("PATCH methodsecrets/acme/status", 3, {}, "a status write is rebased"),
        ("PATCH methodsecrets/acme/status", 8, {}, "more conflicts than one look rebases"),
        ("PATCH methodsecrets/acme", 3, {"deletionPolicy": "Delete"}, "the finalizer, before any POST"),
    ],
)
async def test_conflicts_never_cost_a_second_post(
    places: Places, label: str, count: int, spec: dict[str, Any], reason: str
) -> None:
    async with places() as place:
        await place.start_operator()
        place.proxy.refuse(lambda sent: sent.label == label, status=409, reason="Conflict", count=count)
        place.write_value()
        place.method_secret(**spec)
        obj = await place.until(ready())
        # The object may be seen before the answer to its last write has come by here.
        await place.proxy.until(
            lambda log: [sent.status for sent in log if sent.label == label] == [409] * count + [200]
        )
        assert [secret["id"] for secret in await place.control.secrets()] == [obj["status"]["id"]], reason
        assert await place.control.count("create") == 1


async def test_watches_that_expire_lose_nothing_that_happened_meanwhile(places: Places) -> None:
    async with places() as place:
        former = await _synced(place)
        place.method_secret("gone")
        await place.until(ready(), "gone")
        assert place.proxy.silence("WATCH methodsecrets") == 1
        assert place.proxy.silence("WATCH secrets") == 1
        place.write_value(f"{CANARY}-2")
        place.method_secret("new")
        place.delete("gone")
        place.method_secret("gone")
        assert place.proxy.expire("WATCH methodsecrets") == 1
        assert place.proxy.expire("WATCH secrets") == 1
        moved = await place.until(lambda obj: ready()(obj) and obj["status"]["id"] != former)
        for name in ("new", "gone"):
            await place.until(ready(), name)
        current = await place.control.has_value(f"{CANARY}-2")
        assert sorted(obj["status"]["id"] for obj in place.list()) == sorted(current)
        assert moved["status"]["id"] in current
        assert _says_expired(place, "secrets"), "it was no other end"


async def test_a_watch_on_configmaps_that_expires_loses_no_edit_and_no_deletion(places: Places) -> None:
    async with places() as place:
        await place.start_operator()
        place.write_value()
        former = {}
        for name in ("edited", "deleted"):
            place.method_secret(name, publish={"configMap": {"name": name, "key": "id"}})
            former[name] = (await place.until(ready(), name))["status"]
        await place.proxy.until(lambda log: any(sent.label == "WATCH configmaps" for sent in log))
        assert place.proxy.silence("WATCH configmaps") == 1
        edited = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "edited"}}
        place.apply("configmaps", {**edited, "data": {"id": "sec_wrong"}})
        place.delete("deleted", "configmaps")
        assert place.proxy.expire("WATCH configmaps") == 1
        for name, status in former.items():
            await place.until(_published_since(status), name)
            assert place.get(name, "configmaps")["data"] == {"id": status["id"]}
        assert await place.control.count("create") == len(former)
        assert _says_expired(place, "configmaps"), "it was no other end"


def _says_expired(place: Place, resource: str) -> bool:
    """Whether the operator has read that a watch of its own was too old."""
    said = f"watch {resource} in namespace {place.namespace}: HTTP 410"
    return said in place.operators[-1].log_text()


def _published_since(former: dict[str, Any]) -> Predicate:
    """Whether the ConfigMap was written after that status, and nothing is left to do."""
    return lambda obj: obj["status"]["published"] != former["published"] and ready()(obj)


async def test_status_writes_refused_for_a_while_cost_no_second_post(
    control_plane: ControlPlane, places: Places
) -> None:
    async with places() as place:
        await place.start_operator()
        async with _refused(
            control_plane, place, verb="patch", group="methodfi.com", resource="methodsecrets/status"
        ):
            place.write_value()
            place.method_secret()
            await place.proxy.until(lambda log: [sent.status for sent in log].count(403) >= 2)
            assert "id" not in place.get().get("status", {})
        obj = await place.until(ready(), seconds=40)
        assert [secret["id"] for secret in await place.control.secrets()] == [obj["status"]["id"]]
        assert await place.control.count("create") == 1


async def test_status_writes_refused_and_the_operator_killed_meanwhile(
    control_plane: ControlPlane, places: Places
) -> None:
    async with places() as place:
        operator = await place.start_operator()
        async with _refused(
            control_plane, place, verb="patch", group="methodfi.com", resource="methodsecrets/status"
        ):
            place.write_value()
            place.method_secret()
            await place.proxy.until(lambda log: any(sent.status == 403 for sent in log))
            operator.kill()
            await place.control.forget_idempotency()
        await place.start_operator()
        obj = await place.until(ready(), seconds=40)
        assert [secret["id"] for secret in await place.control.secrets()] == [obj["status"]["id"]]
        assert await place.control.count("create") == 1


async def test_reads_of_secrets_refused_make_an_object_wait_and_keep_its_id(
    control_plane: ControlPlane, places: Places
) -> None:
    async with places() as place:
        former = await _synced(place)
        async with _refused(control_plane, place, verb="get", group="", resource="secrets"):
            place.write_value(f"{CANARY}-2")
            waiting = await place.until(not_ready("Pending"))
            assert waiting["status"]["id"] == former
            assert "source" in message(waiting)
            assert await place.control.count("create") == 1
        moved = await place.until(ready(), seconds=40)
        assert await place.control.has_value(f"{CANARY}-2") == [moved["status"]["id"]]
        assert await place.control.count("create") == 2


async def test_a_watch_that_falls_silent_is_made_up_for_by_the_resync(places: Places) -> None:
    async with places() as place:
        await place.start_operator(RESYNC_SECONDS="1")
        await place.until_watching()
        assert place.proxy.silence("WATCH methodsecrets") == 1
        place.write_value()
        place.method_secret()
        await place.until(ready())
        place.method_secret(metadata={"team": "payments"})
        await place.until(ready(generation=2))
        assert [sent.label for sent in place.proxy.log].count("WATCH methodsecrets") == 1, "it is still open"
        assert len(await place.control.secrets()) == 2


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_watches_that_fall_silent_are_opened_again(places: Places) -> None:
    async with places() as place:
        former = await _synced(place)
        assert place.proxy.silence("WATCH secrets") == 1
        assert place.proxy.silence("WATCH methodsecrets") == 1
        place.write_value(f"{CANARY}-2")
        place.method_secret("new")
        await place.until(ready(), "new", seconds=120)
        await place.until(lambda obj: ready()(obj) and obj["status"]["id"] != former, seconds=120)
