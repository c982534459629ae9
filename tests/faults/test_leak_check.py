"""The leak check at the end of a place bites, wherever the value was put: see the one of a world, too."""

from __future__ import annotations

import base64
import re

import pytest

from tests.faults.matrix import Places
from tests.faults.place import Place
from tests.integration.canary import CANARY


async def _leak(place: Place, where: str, value: str) -> None:
    """Do it, as an operator might by mistake."""
    match where:
        case "MethodSecrets":
            place.method_secret()
            place.edit_status(status=value)
        case "Events":
            about = {"kind": "MethodSecret", "namespace": place.namespace, "name": "acme"}
            meta = {"generateName": "leak-", "namespace": place.namespace}
            event = {"metadata": meta, "involvedObject": about, "message": value}
            place.plane.http.post(place.path("events"), json=event).raise_for_status()
        case "ConfigMaps":
            encoded = base64.b64encode(value.encode()).decode()
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acme"}}
            place.apply("configmaps", {**body, "data": {"id": encoded}})
        case "metrics":
            place.metrics.append(f'methodsecret_objects{{reason="{value}"}} 1')
        case "emulator's secrets":
            await place.control.seed(metadata={"note": value})
        case _:
            (operator,) = place.operators
            with operator.log_file.open("a") as log:
                log.write(f"value={value!r}\n")


async def _leak_in_a_place(places: Places, where: str, value: str) -> None:
    async with places() as place:
        place.values.append("another value")
        if where.endswith(".log"):
            await place.start_operator()
        await _leak(place, where, value)


@pytest.mark.parametrize(
    "where", ["MethodSecrets", "Events", "ConfigMaps", "metrics", "emulator's secrets", "operator-0.log"]
)
async def test_a_leak_on_purpose_is_found(places: Places, where: str) -> None:
    with pytest.raises(AssertionError, match=f"a value has leaked: {re.escape(where)}"):
        await _leak_in_a_place(places, where, CANARY)


async def test_a_leak_of_a_value_of_the_tests_own_is_found(places: Places) -> None:
    with pytest.raises(AssertionError, match="a value has leaked: MethodSecrets"):
        await _leak_in_a_place(places, "MethodSecrets", "another value")


async def test_nothing_is_found_where_nothing_is(places: Places) -> None:
    async with places() as place:
        place.write_value()
        place.method_secret()
