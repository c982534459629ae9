"""The leak check bites: each form of a value is found, wherever it was put."""

from __future__ import annotations

import asyncio
import base64
import urllib.parse

import pytest

from tests.integration.canary import CANARY, forms, leaks
from tests.integration.history import history
from tests.integration.world import World


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"], ids=len)
@pytest.mark.parametrize("after", ["", "z"], ids=len)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_found_whatever_stands_around_it(before: str, after: str, encode: object) -> None:
    assert callable(encode)
    assert leaks(f"x: {encode((before + CANARY + after).encode()).decode()}")


@pytest.mark.parametrize("name", forms(CANARY))
def test_each_form_is_found(name: str) -> None:
    assert name in leaks(f"some text {forms(CANARY)[name]} and more")


def test_upper_case_hex_and_a_url_are_found() -> None:
    assert "hex" in leaks(CANARY.encode().hex().upper())
    assert leaks("https://x/?q=" + urllib.parse.quote(CANARY))


def test_nothing_is_found_where_nothing_is() -> None:
    assert leaks("canary-, methodfi.com, sec_123") == []


@pytest.mark.parametrize("place", ["status", "event", "log"])
async def test_a_leak_on_purpose_is_found(world: World, place: str) -> None:
    operator = await world.start_operator()
    world.secret()
    obj = world.method_secret(annotations={"methodfi.com/paused": "true"})
    if place == "status":
        world.edit_status(status=CANARY)
    elif place == "event":
        meta = obj["metadata"]
        event = {
            "metadata": {"generateName": "leak-", "namespace": world.namespace},
            "involvedObject": {"kind": "MethodSecret", "namespace": world.namespace, "name": meta["name"]},
            "message": base64.b64encode(CANARY.encode()).decode(),
        }
        world.plane.http.post(world.path("events"), json=event).raise_for_status()
    else:
        with operator.log_file.open("a") as log:
            log.write(f"value={CANARY!r}\n")
    texts = await world.text_of_everything()
    assert [where for where, text in texts.items() if leaks(text)] != []

    # Clean up what was done on purpose, so that the check at the end passes.
    if place == "status":
        world.edit_status(status=None)
    elif place == "event":
        world.plane.http.delete(world.path("events")).raise_for_status()
    else:
        operator.stop()
        operator.log_file.write_text("")


@pytest.mark.parametrize("by", ["history", "until"])
async def test_a_leak_into_an_object_that_is_gone_is_found(world: World, by: str) -> None:
    """By whatever the test has seen of it: at the end nobody can read it any more."""
    world.method_secret()
    world.edit_status(status=CANARY)
    if by == "history":
        async with history(world) as seen:
            world.delete("acme")
            await seen.until_gone("acme")
    else:
        await world.until(lambda obj: "status" in obj)
        world.delete("acme")
    await _found_in_what_was_seen(world)


async def test_a_leak_into_an_object_on_its_way_out_is_found(world: World) -> None:
    world.method_secret()
    _hold(world, "tests.methodfi.com/held")
    world.delete("acme")
    gone = asyncio.create_task(world.until_gone("acme"))
    for _ in range(500):  # that it has been listed shows in nothing else
        if world.seen:
            break
        await asyncio.sleep(0.02)
    world.edit_status(status=CANARY)
    _hold(world)
    await gone
    await _found_in_what_was_seen(world)


async def _found_in_what_was_seen(world: World) -> None:
    texts = await world.text_of_everything()
    assert [where for where, text in texts.items() if leaks(text)] == ["what was seen"]
    world.seen.clear()  # so that the check at the end passes


def _hold(world: World, *finalizers: str) -> None:
    path = world.path("methodsecrets", "acme")
    merge = {"Content-Type": "application/merge-patch+json"}
    body = {"metadata": {"finalizers": list(finalizers)}}
    world.plane.http.patch(path, headers=merge, json=body).raise_for_status()
