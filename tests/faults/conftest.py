"""Fixtures of the fault tests: places to run in, and what takes long only under `make soak`."""

from __future__ import annotations

import contextlib
import os
import pathlib

import pytest

from dev.controlplane import ControlPlane
from tests.faults.matrix import Places
from tests.faults.place import Place, place, token_of
from tests.faults.proxy import Recorded
from tests.fixtures_crd import crd
from tests.integration.conftest import operator_kubeconfig

__all__ = ["crd", "operator_kubeconfig"]

_HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is asked for."""
    if os.environ.get("SOAK") == "1":
        return
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("soak") is not None:
            item.add_marker(pytest.mark.skip(reason="takes long: make soak"))


@pytest.fixture
def places(
    control_plane: ControlPlane,
    operator_kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
) -> Places:
    """Return what makes places."""
    token = token_of(operator_kubeconfig)

    def make() -> contextlib.AbstractAsyncContextManager[Place]:
        return place(plane=control_plane, token=token, directory=tmp_path)

    return make


@pytest.fixture(scope="session")
def recordings() -> dict[str, list[Recorded]]:
    """Return the undisturbed runs so far, by scenario: one serves all that want to know it."""
    return {}
