"""What the chart lets the operator do, mode by mode: the operator works with it, and there is nothing more.

That the rules for all namespaces are those under which every integration test runs (deploy/kustomize/base) is
tests/deploy/test_kustomize.py's to show.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from method_emulator.control_client import EmulatorControl
from method_emulator.process import EmulatorProcess
from tests.deploy.conftest import Objects, Render, applied, rights, settings_given
from tests.integration.canary import CANARY, leaks
from tests.integration.world import World, ready
from tests.rbac_questions import DIGEST_KEY, KIND, LEASE, LEASES, REFUSED, Row, Rules, granted, may

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

OBJECTS: Rules = {
    ("methodfi.com", "methodsecrets", ""): {"get", "list", "watch", "patch"},
    ("methodfi.com", "methodsecrets/status", ""): {"patch"},
    ("", "secrets", ""): {"get", "list", "watch"},
    ("", "configmaps", ""): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "events", ""): {"create"},
    ("", "namespaces", ""): {"get"},
}
OWN: Rules = {
    ("", "secrets", DIGEST_KEY): {"get"},
    ("", "secrets", ""): {"create"},
    ("coordination.k8s.io", "leases", ""): {"create"},
    ("coordination.k8s.io", "leases", LEASE): {"get", "update"},
}
POLL: Rules = OBJECTS | {("", "secrets", ""): {"get"}}
CONFIG_MAPS = ("", "configmaps", "")

pytestmark = pytest.mark.usefixtures("crd")


class Mode(NamedTuple):
    """Values, and the rights that they give in a served, in the release's and in any other namespace."""

    reason: str
    values: dict[str, Any]
    served: Rules
    own: Rules
    elsewhere: Rules
    kube_system: Rules = {}  # noqa: RUF012 - never changed


def _both(first: Rules, second: Rules) -> Rules:
    return {key: first.get(key, set()) | second.get(key, set()) for key in first | second}


SERVED = "SERVED"  # stands for the served namespace's name
UID: Rules = {("", "namespaces", "kube-system"): {"get"}}
MODES = [
    Mode("all namespaces", {}, OBJECTS, _both(OBJECTS, OWN), OBJECTS, OBJECTS),
    Mode("one namespace", {"namespaces": [SERVED]}, OBJECTS, OWN, {}, UID),
    Mode("all namespaces, polling", {"sourceWatch": "poll"}, POLL, _both(POLL, OWN), POLL, POLL),
    Mode(
        "the least there is",
        {
            "namespaces": [SERVED],
            "sourceWatch": "poll",
            "publish": {"enabled": False},
            "digestKey": {"create": False},
            "clusterName": "staging",
            "leaderElection": {"enabled": False},
            "replicaCount": 1,
        },
        {key: verbs for key, verbs in POLL.items() if key != CONFIG_MAPS},
        {("", "secrets", DIGEST_KEY): {"get"}},
        {},
    ),
]


class Place(NamedTuple):
    """A release of its own on the shared server: its objects are there, as far as rights go."""

    home: str
    objects: Objects
    user: str
    world: World


@pytest.fixture
async def place(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    render: Render,
    namespace: str,
    tmp_path: Path,
) -> AsyncIterator[Place]:
    """Install what a mode renders of ServiceAccounts, Roles and bindings, in a namespace of its own."""
    home = f"home-{secrets.token_hex(4)}"
    control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": home}}).raise_for_status()
    values = request.param.values
    if "namespaces" in values:
        values = values | {"namespaces": [namespace]}
    objects = render(values, namespace=home)
    made = rights(objects)
    applied(control_plane, made)
    async with (
        EmulatorProcess(log_file=tmp_path / "emulator.log") as emulator,
        EmulatorControl(emulator.url) as control,
    ):
        world = World(
            plane=control_plane,
            namespace=namespace,
            kubeconfig=control_plane.service_account_kubeconfig(namespace=home, name="methodsecret-operator"),
            emulator=emulator,
            control=control,
            directory=tmp_path,
        )
        try:
            yield Place(home, objects, f"system:serviceaccount:{home}:methodsecret-operator", world)
        finally:
            for operator in world.operators:
                await asyncio.to_thread(operator.stop)
        found = {where: leaks(text) for where, text in (await world.text_of_everything()).items()}
        assert {where: forms for where, forms in found.items() if forms} == {}, "the value has leaked"
    left = "".join(
        f"{obj['kind']}/{obj['metadata']['name']} " for obj in made if "namespace" not in obj["metadata"]
    )
    if left:
        control_plane.run_kubectl("delete", *left.split())
    control_plane.run_kubectl("delete", "--wait=false", f"namespace/{home}")
    if request.param.kube_system is UID:
        for kind in ("rolebinding", "role"):
            control_plane.run_kubectl(
                "-n", "kube-system", "delete", kind, f"{home}-methodsecret-operator-cluster-uid"
            )


EACH_MODE = pytest.mark.parametrize("place", MODES, ids=lambda mode: mode.reason, indirect=True)


@EACH_MODE
async def test_the_rights_are_just_these_and_the_operator_works_with_them(
    control_plane: ControlPlane, place: Place, request: pytest.FixtureRequest
) -> None:
    mode: Mode = request.node.callspec.params["place"]
    _check_rights(control_plane, place, mode)
    await _live(place, mode)


def _check_rights(plane: ControlPlane, place: Place, mode: Mode) -> None:
    namespace = place.world.namespace
    assert granted(plane, place.user, namespace) == mode.served
    assert granted(plane, place.user, place.home) == mode.own
    assert granted(plane, place.user, "default") == mode.elsewhere
    assert granted(plane, place.user, "kube-system") == mode.kube_system
    for row in REFUSED:
        for there in {row.namespace, namespace, place.home} if row.namespace else {None}:
            if there == place.home and (row.verb, row.resource) in {("create", "secrets"), ("get", LEASES)}:
                continue  # its own, as `mode.own` says
            assert not may(plane, place.user, row._replace(namespace=there)), (row.reason, there)
    if "namespaces" in mode.values:
        for row in (
            Row("nobody else's Secret", "get", "secrets", "default", "acme"),
            Row("no list of all Secrets", "list", "secrets", None),
            Row("no MethodSecret elsewhere", "get", KIND, "default", "acme"),
            Row("not even the kinds of the cluster", "get", "namespaces", "default", "default"),
        ):
            assert not may(plane, place.user, row), row.reason


async def _live(place: Place, mode: Mode) -> None:
    """Create, publish, rotate, delete, under the rendered ServiceAccount and the rendered settings."""
    world = place.world
    if not mode.values.get("digestKey", {}).get("create", True):
        body = {"metadata": {"name": DIGEST_KEY}, "stringData": {"digest-key": secrets.token_hex(32)}}
        path = f"/api/v1/namespaces/{place.home}/secrets"
        world.plane.http.post(path, json=body).raise_for_status()
    publishes = mode.values.get("publish", {}).get("enabled", True)
    # In the test's namespace only: other tests share this server, and rights for all cover it.
    operator = await world.start_operator(
        **settings_given(place.objects)
        | {
            "NAMESPACES": world.namespace,
            "OPERATOR_NAMESPACE": place.home,
            "RESYNC_SECONDS": "1",
            "LOG_LEVEL": "DEBUG",
        }
    )
    world.secret()
    spec: dict[str, Any] = {"publish": {"configMap": {"name": "out", "key": "id"}}} if publishes else {}
    world.method_secret(deletionPolicy="Delete", **spec)
    first = (await world.until(ready()))["status"]["id"]
    if publishes:
        assert first in world.get("out", "configmaps")["data"].values()
    await world.until_event("Synced")
    world.secret(value=CANARY + "2")
    await world.until(lambda obj: ready()(obj) and obj["status"]["id"] != first)
    world.delete("acme", "methodsecrets")
    await world.until_gone("acme")
    assert await asyncio.to_thread(operator.stop) == 0
    # As a word: a time of day may have these digits too.
    assert [line for line in operator.log_text().splitlines() if re.search(r"\b403\b|orbidden", line)] == []
