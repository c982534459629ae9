"""What a released version has left at rest, this one leaves at rest: no write, no POST, no DELETE.

Each folder beside this file is a released schema's; `make golden` records the next one. See CONTRIBUTING.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest

from dev.controlplane import ControlPlane
from methodsecret_operator import __version__
from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.resource import Spec, Status
from tests.faults.place import Place, place, token_of
from tests.faults.proxy import Recorded
from tests.fixtures_crd import read_schema
from tests.golden import folder
from tests.golden.folder import Golden
from tests.golden.states import NOT_AT_REST
from tests.integration.canary import leaks

VERSIONS = folder.versions()
NAMESPACES = 2
LOOKS = 3


@pytest.fixture
async def at(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    operator_kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
) -> AsyncIterator[Place]:
    """Make the place that a version's objects were in: the namespace is part of their revisions."""
    name = folder.namespace(request.getfixturevalue("version"))
    token = token_of(operator_kubeconfig)
    with contextlib.ExitStack() as afterwards:
        async with place(plane=control_plane, token=token, directory=tmp_path, name=name) as made:
            afterwards.callback(folder.clear, made)  # after the leak check, which reads it all
            yield made


async def _sent(at: Place) -> list[str]:
    """Run an operator for its start and some resyncs; return all that it sent but reads."""
    operator = await at.start_operator(**folder.settings(at))

    def looked(log: list[Recorded]) -> bool:
        lists = [record for record in log if record.label == "LIST methodsecrets" and record.status == 200]
        return len(lists) >= NAMESPACES * (2 + LOOKS)  # the watch's own, the first look's, and so many more

    await at.proxy.until(looked)
    await asyncio.to_thread(operator.stop)
    return [f"{r.label} {r.body.decode()}" for r in at.proxy.log if r.method != "GET"]


def _reworded(golden: Golden) -> Golden:
    """Return it with other words in its conditions, as of a release that says the same better."""
    obj = copy.deepcopy(golden.object)
    for said in obj["status"]["conditions"]:
        said["message"] = f"Reworded: {said['message']}"
    return Golden(
        outside=golden.outside,
        object=obj,
        secrets=golden.secrets,
        config_maps=golden.config_maps,
        at_method=golden.at_method,
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_is_written_and_nothing_sent_for_what_a_version_left_at_rest(
    version: str, at: Place
) -> None:
    await folder.load(at, folder.read(version))
    before = folder.statuses(at)
    assert await _sent(at) == []
    assert folder.statuses(at) == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_other_words_alone_rewrite_no_object_that_is_ready(version: str, at: Place) -> None:
    await folder.load(at, [_reworded(g) for g in folder.read(version) if Reason(g.reason).ready])
    before = folder.statuses(at)
    assert await _sent(at) == []
    assert folder.statuses(at) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_version_has_left_shows_no_value(version: str) -> None:
    goldens = folder.read(version)
    assert sum(len(golden.values) for golden in goldens) > len(goldens) / 2
    for golden in goldens:
        shown = json.dumps([golden.object, golden.config_maps, golden.at_method])
        assert [form for value in golden.values for form in leaks(shown, value)] == [], golden.name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_and_the_models_of_today_take_it_whole(version: str) -> None:
    parts: dict[str, Any] = read_schema()["properties"]
    for golden in folder.read(version):
        spec, status = golden.object["spec"], golden.object["status"]
        jsonschema.validate(spec, parts["spec"])
        jsonschema.validate(status, parts["status"])
        Spec.model_validate(spec)
        assert Status.model_validate(status).to_wire() == status, golden.name


@pytest.mark.parametrize("version", [__version__])
def test_every_reason_is_in_the_folder_or_is_not_at_rest(version: str) -> None:
    found = {Reason(golden.reason) for golden in folder.read(version)}
    assert found & set(NOT_AT_REST) == set()
    assert found | set(NOT_AT_REST) == set(Reason), json.dumps(sorted(set(Reason) - found))
