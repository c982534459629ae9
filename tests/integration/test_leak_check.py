"""The leak check bites: each form of a value is found, wherever it was put."""

from __future__ import annotations

import base64
import urllib.parse

import pytest

from tests.integration.canary import CANARY, forms, leaks
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
