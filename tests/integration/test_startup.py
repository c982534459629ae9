"""How the operator starts where something is missing, and how it stops."""

from __future__ import annotations

import asyncio
import pathlib
import signal
from collections.abc import Iterator

import pytest

from dev.controlplane import ControlPlane, start
from dev.operator_process import OperatorProcess
from tests.fixtures_crd import CRD_FILE
from tests.integration.world import World, ready


@pytest.fixture(scope="module")
def bare_plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """Start a control plane of its own, without the CRD. The first one is asked for to get the programs."""
    del control_plane
    with start(controller_manager=False) as plane:
        yield plane


async def test_a_crd_that_is_not_there_yet_is_named_and_waited_for(
    bare_plane: ControlPlane, tmp_path: pathlib.Path
) -> None:
    operator = OperatorProcess(
        kubeconfig=bare_plane.kubeconfig, base_url="http://127.0.0.1:1", log_file=tmp_path / "log"
    )
    try:
        operator.start()
        await asyncio.to_thread(operator.wait_event, "cannot start yet")
        line = next(line for line in operator.log_text().splitlines() if "cannot start yet" in line)
        assert "methodsecrets.methodfi.com" in line
        assert "CustomResourceDefinition" in line
        assert operator.running
        bare_plane.run_kubectl("apply", "-f", str(CRD_FILE))
        await asyncio.to_thread(operator.wait_ready)
    finally:
        assert operator.stop() == 0


async def test_a_stop_while_waiting_is_a_clean_end(bare_plane: ControlPlane, tmp_path: pathlib.Path) -> None:
    bare_plane.run_kubectl("delete", "--ignore-not-found", "-f", str(CRD_FILE))
    operator = OperatorProcess(
        kubeconfig=bare_plane.kubeconfig, base_url="http://127.0.0.1:1", log_file=tmp_path / "log"
    )
    operator.start()
    await asyncio.to_thread(operator.wait_event, "cannot start yet")
    assert operator.stop() == 0


async def test_more_namespaces_than_a_pool_has_connections(world: World) -> None:
    # Each is watched for MethodSecrets and for Secrets, by streams that never give their connection back.
    await world.start_operator(NAMESPACES=",".join([*(f"made-up-{n}" for n in range(120)), world.namespace]))
    world.secret()
    world.method_secret()
    await world.until(ready())


async def test_a_stop_lets_what_is_in_flight_end(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="after")
    operator = await world.start_operator()
    world.secret()
    world.method_secret()
    await world.control.wait_held(fault)
    operator.signal(signal.SIGTERM)
    await asyncio.to_thread(operator.wait_event, "stopping")
    await world.control.release(fault)
    assert await asyncio.to_thread(operator.wait) == 0
    assert ready()(world.get()), "the answer was waited for and written"
    assert await world.control.count("create") == 1
