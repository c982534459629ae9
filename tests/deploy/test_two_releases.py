"""Two releases of the chart in one namespace, for other namespaces each: both work, by a Lease of their own.

That their objects have different names is tests/deploy/test_chart.py's to show.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from method_emulator.control_client import EmulatorControl
from method_emulator.process import EmulatorProcess
from tests.deploy.conftest import CHART, RELEASE, Objects, Render, applied, only, rights, settings_given
from tests.integration.canary import CANARY
from tests.integration.world import World, ready

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

SECOND = "second"


class Row(NamedTuple):
    """How a release is called, and the name of its Lease."""

    reason: str
    release: str
    values: dict[str, Any]
    lease: str


ROWS = [
    Row("the one of the documents", RELEASE, {}, "methodsecret-operator"),
    Row("a second one", SECOND, {}, "second-methodsecret-operator"),
    Row("named by a value", RELEASE, {"fullnameOverride": "vault"}, "vault"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
def test_a_release_has_its_own_lease_and_rights_on_that(render: Render, row: Row) -> None:
    objects = render(row.values, release=row.release)
    assert settings_given(objects)["LEASE_NAME"] == row.lease
    assert _leases_allowed(objects) == [row.lease]


def _leases_allowed(objects: Objects) -> list[str]:
    return [
        name
        for role in objects
        if role["kind"] == "Role"
        for rule in role["rules"]
        if rule["resources"] == ["leases"]
        for name in rule.get("resourceNames", ())
    ]


@pytest.fixture
def home(control_plane: ControlPlane) -> Iterator[str]:
    """Make the namespace that both releases are installed in."""
    name = f"home-{secrets.token_hex(4)}"
    control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    yield name
    control_plane.http.delete(f"/api/v1/namespaces/{name}")


class Installed(NamedTuple):
    """A release at work: its operator's world, and the settings that its Deployment gives."""

    world: World
    given: dict[str, Any]


@pytest.fixture
async def first(
    control_plane: ControlPlane,
    render: Render,
    home: str,
    namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installed]:
    """Install a release of the usual name, for one namespace."""
    objects = render(_values(namespace), namespace=home)
    async with _at_work(control_plane, objects, namespace, tmp_path_factory.mktemp("first")) as made:
        yield made


@pytest.fixture
async def second(
    control_plane: ControlPlane, render: Render, home: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installed]:
    """Install another beside it, for a namespace of its own."""
    served = f"{home}-served"
    control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": served}}).raise_for_status()
    objects = render(_values(served), namespace=home, release=SECOND)
    async with _at_work(control_plane, objects, served, tmp_path_factory.mktemp("second")) as made:
        yield made
    control_plane.http.delete(f"/api/v1/namespaces/{served}")


def _values(served: str) -> dict[str, Any]:
    """Return values by which nothing of a release is outside its namespaces."""
    return {"namespaces": [served], "clusterName": "here", "rbac": {"aggregate": False}}


@contextlib.asynccontextmanager
async def _at_work(
    plane: ControlPlane, objects: Objects, served: str, directory: Path
) -> AsyncIterator[Installed]:
    applied(plane, rights(objects))
    account = only(objects, "ServiceAccount")["metadata"]
    given = settings_given(objects) | {"OPERATOR_NAMESPACE": account["namespace"]}
    async with (
        EmulatorProcess(log_file=directory / "emulator.log") as emulator,
        EmulatorControl(emulator.url) as control,
    ):
        world = World(
            plane=plane,
            namespace=served,
            kubeconfig=plane.service_account_kubeconfig(namespace=account["namespace"], name=account["name"]),
            emulator=emulator,
            control=control,
            directory=directory,
        )
        try:
            await world.start_operator(**given)
            yield Installed(world, given)
        finally:
            for operator in world.operators:
                await asyncio.to_thread(operator.stop)
        await world.check_leaks(CANARY)


@pytest.mark.usefixtures("crd")
async def test_both_work_at_once_each_in_its_namespaces(
    control_plane: ControlPlane, home: str, first: Installed, second: Installed
) -> None:
    for world, _ in (first, second):
        world.secret()
        world.method_secret(deletionPolicy="Delete")
        await world.until(ready())
    leases = control_plane.http.get(f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases").json()
    holders = {item["metadata"]["name"]: item["spec"]["holderIdentity"] for item in leases["items"]}
    assert list(holders) == ["methodsecret-operator", "second-methodsecret-operator"]
    for installed in (first, second):
        await _is_found_by_the_commands(installed, holders.pop(installed.given["LEASE_NAME"]))


async def _is_found_by_the_commands(installed: Installed, holder: str) -> None:
    """With the release's environment, as in its Pods."""
    world, given = installed
    assert holder in world.operators[0].log_text()
    doctor = await world.command("doctor", "--output", "json", **given)
    assert ("leader", f"{holder} holds the Lease") in [
        (line["check"], line["found"]) for line in json.loads(doctor.stdout)["checks"]
    ]
    released = await world.command("release", "--yes", **given)
    assert released.returncode == 1
    assert f"the operator {holder} is at work" in released.stderr
    assert f"scale deployment {given['LEASE_NAME']} --replicas=0" in released.stderr


@pytest.mark.usefixtures("crd")
def test_the_crd_is_one_releases_and_helm_says_so(
    control_plane: ControlPlane, helm: Path, home: str, tmp_path: Path
) -> None:
    """So a second release in a cluster is one without it."""

    def install(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the pinned helm
            [helm, "install", SECOND, CHART, f"--namespace={home}", "--dry-run=server", *args],
            env={"HOME": str(tmp_path), "PATH": os.defpath, "KUBECONFIG": str(control_plane.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = install()
    assert refused.returncode == 1
    assert 'CustomResourceDefinition "methodsecrets.methodfi.com"' in refused.stderr
    assert "exists and cannot be imported into the current release" in refused.stderr
    taken = install("--set=crds.enabled=false")
    assert taken.returncode == 0, taken.stderr
