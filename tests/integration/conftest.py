"""Fixtures of the integration tests: a world per test, and a leak check at the end of each."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dev.controlplane import ControlPlane
from method_emulator.control_client import EmulatorControl
from method_emulator.process import EmulatorProcess
from tests.fixtures_crd import crd
from tests.integration.canary import CANARY
from tests.integration.world import World

__all__ = ["crd"]

SYSTEM = "methodsecret-system"
RBAC = pathlib.Path(__file__).parents[2] / "deploy" / "kustomize" / "base" / "rbac.yaml"


@pytest.fixture(scope="session")
def operator_kubeconfig(control_plane: ControlPlane, crd: Any) -> pathlib.Path:  # noqa: ANN401 - the CRD
    """Return the credentials of the operator's own ServiceAccount, with the shipped RBAC and nothing more."""
    del crd
    control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": SYSTEM}})
    control_plane.run_kubectl("apply", "-f", str(RBAC))
    return control_plane.service_account_kubeconfig(namespace=SYSTEM, name="methodsecret-operator")


@pytest.fixture
async def world(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    operator_kubeconfig: pathlib.Path,
    namespace: str,
    tmp_path: pathlib.Path,
) -> AsyncIterator[World]:
    """Make a test's world; `@pytest.mark.parametrize("world", [{…}], indirect=True)` sets the emulator's."""
    settings = getattr(request, "param", {})
    process = EmulatorProcess(log_file=tmp_path / "emulator.log", **settings)
    async with process as emulator, EmulatorControl(emulator.url) as control:
        made = World(
            plane=control_plane,
            namespace=namespace,
            kubeconfig=operator_kubeconfig,
            emulator=emulator,
            control=control,
            directory=tmp_path,
        )
        try:
            yield made
        finally:
            for operator in made.operators:
                await asyncio.to_thread(operator.stop)
        await made.check_leaks(CANARY)
