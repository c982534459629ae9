"""The leak check at the end of a place bites, wherever the value was put: see the one of a world, too."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Final

import httpx
import pytest

from tests.faults.matrix import Places
from tests.faults.place import Place, token_of
from tests.integration.canary import CANARY

_MERGE: Final = {"Content-Type": "application/merge-patch+json"}


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


async def test_a_leak_into_an_object_that_is_gone_is_found(places: Places) -> None:
    """As the operator writes it: of a deletion nothing else than its requests is left."""

    async def leak() -> None:
        async with places() as place:
            place.method_secret()
            path = place.path("methodsecrets", "acme") + "/status"
            assert await _sent(place, "PATCH", path, {"status": {"status": CANARY}}) == 200
            place.delete("acme")

    with pytest.raises(AssertionError, match="a value has leaked: kube-apiserver's requests"):
        await leak()


async def test_a_leak_into_what_was_refused_is_found(places: Places) -> None:
    async def leak() -> None:
        async with places() as place:
            place.proxy.refuse(lambda sent: sent.label == "POST events", status=403, reason="Forbidden")
            encoded = base64.b64encode(CANARY.encode()).decode()
            assert await _sent(place, "POST", place.path("events"), {"message": encoded}) == 403

    with pytest.raises(AssertionError, match="a value has leaked: kube-apiserver's requests"):
        await leak()


async def _sent(place: Place, method: str, path: str, body: dict[str, object]) -> int:
    """Send a request as the operator does; return the status."""

    def send() -> int:
        headers = {"Authorization": f"Bearer {token_of(place.kubeconfig)}", **_MERGE}
        url = place.proxy.kube_url + path
        return httpx.request(method, url, headers=headers, json=body, trust_env=False).status_code

    return await asyncio.to_thread(send)


async def test_nothing_is_found_where_nothing_is(places: Places) -> None:
    async with places() as place:
        place.write_value()
        place.method_secret()
