"""What bad input gets: the state that says so, soon, and recovery by itself when the cause goes away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.canary import CANARY
from tests.integration.world import World, condition, message, not_ready, ready

SOON = 10.0
"""Seconds. The promise is one; a machine shared with a control plane and other tests gets room."""


@dataclass(frozen=True)
class Case:
    """A value or a spec that cannot be stored, and what is said about it."""

    state: str
    stalled: bool
    says: str
    reason: str
    data: dict[str, str | bytes] = field(default_factory=lambda: {"value": CANARY})
    spec: dict[str, Any] = field(default_factory=dict)


CASES = {
    "key missing": Case(
        data={"other": CANARY},
        state="SourceKeyNotFound",
        stalled=False,
        says="has no key value",
        reason="the key may be added by whoever fills the Secret",
    ),
    "empty": Case(
        data={"value": ""},
        state="InvalidSource",
        stalled=True,
        says="is empty",
        reason="Method requires a value, and an empty one is an author's mistake",
    ),
    "not UTF-8": Case(
        data={"value": b"\xff\xfe" + CANARY.encode()},
        state="InvalidSource",
        stalled=True,
        says="not UTF-8",
        reason="JSON carries text only; guessing an encoding would store something else",
    ),
    "metadata too large": Case(
        spec={"metadata": {"note": "x" * 900}},
        state="MetadataTooLarge",
        stalled=True,
        says="at most 1000 bytes",
        reason="Method takes metadata of under 1 KB, the marker included",
    ),
    "a number beyond JSON": Case(
        spec={"metadata": {"serial": 2**60 + 1}},
        state="InvalidSpec",
        stalled=True,
        says="write it as a string",
        reason="a double would silently change it",
    ),
}


async def test_bad_input_is_said_soon_and_recovers(world: World, subtests: pytest.Subtests) -> None:
    await world.start_operator()
    for number, (name, case) in enumerate(CASES.items()):
        with subtests.test(name):
            await _check(world, case, name=f"case-{number}")


async def _check(world: World, case: Case, *, name: str) -> None:
    world.secret(name, **case.data)
    world.method_secret(name, source=name, **case.spec)
    bad = await world.until(not_ready(case.state), name, seconds=SOON)
    assert case.says in message(bad), case.reason
    assert condition("Stalled" if case.stalled else "Reconciling", "True", case.state)(bad), case.reason
    assert bad["status"]["observedGeneration"] == bad["metadata"]["generation"]
    assert "id" not in bad["status"]

    world.secret(name)
    world.method_secret(name, source=name, metadata={"team": "payments"})
    good = await world.until(ready(), name, seconds=SOON)
    assert [c["type"] for c in good["status"]["conditions"]] == ["Ready"]


async def test_a_secret_that_goes_or_loses_its_key_is_said_and_the_id_stays(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    first = await world.until(ready())

    world.secret("source", other=CANARY)
    obj = await world.until(not_ready("SourceKeyNotFound"), seconds=SOON)
    assert obj["status"]["id"] == first["status"]["id"]
    assert f"{first['status']['id']} stays in use" in message(obj)

    world.delete("source", "secrets")
    obj = await world.until(not_ready("SourceNotFound"), seconds=SOON)
    assert obj["status"]["id"] == first["status"]["id"]

    world.secret()
    obj = await world.until(ready(), seconds=SOON)
    assert obj["status"]["id"] == first["status"]["id"], "the same value is the same secret"
    assert await world.control.count("create") == 1


async def test_without_an_api_key_it_runs_and_takes_one_that_comes_later(world: World) -> None:
    world.api_key_file.unlink()
    await world.start_operator()
    world.secret()
    world.method_secret()
    obj = await world.until(not_ready("CredentialsNotFound"), seconds=SOON)
    assert "API_KEY_FILE" in message(obj)

    world.api_key_file.write_text("sk_test_late\n")
    await world.until(ready(), seconds=SOON)


@pytest.mark.parametrize("world", [{"api_keys": "sk_test_right"}], indirect=True)
async def test_a_wrong_api_key_is_said_and_its_correction_is_used_at_once(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    obj = await world.until(not_ready("Unauthorized"), seconds=SOON)
    assert "HTTP 401" in message(obj)
    assert condition("Stalled", "True")(obj)

    world.api_key_file.write_text("sk_test_right\n")
    await world.until(ready(), seconds=SOON)
    (stored,) = await world.control.secrets()
    assert stored["status"] == "active"


@pytest.mark.parametrize("world", [{"api_keys": "sk_test_right"}], indirect=True)
async def test_the_key_of_an_account_is_watched_too(world: World) -> None:
    await world.start_operator()
    world.secret()
    account = {"environment": "dev", "apiKeySecretRef": {"name": "method", "key": "key"}}
    world.method_secret(account=account)
    obj = await world.until(not_ready("CredentialsNotFound"), seconds=SOON)
    assert "Secret method" in message(obj)
    world.secret("method", other="sk_test_right")
    await world.until(lambda o: "no usable API key under key" in message(o), seconds=SOON)
    world.secret("method", key="sk test with spaces")
    await world.until(not_ready("Unauthorized"), seconds=SOON)
    world.secret("method", key="sk_test_wrong")
    await world.until(lambda o: "HTTP 401" in message(o), seconds=SOON)
    world.secret("method", key="sk_test_right\n")
    await world.until(ready(), seconds=SOON)


async def test_a_key_swapped_while_running_is_used_for_what_comes_next(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret("one")
    await world.until(ready(), "one")
    world.api_key_file.write_text("sk_test_second")
    # A wrong state and its repair tell, without a pause, that the new key is in use.
    world.secret("other", value=f"{CANARY}-2")
    world.method_secret("two", source="other")
    await world.until(ready(), "two")
    world.secret("other", value=f"{CANARY}-3")
    await world.until(lambda obj: len(obj["status"].get("superseded", ())) == 1, "two")
    assert len(await world.control.secrets()) == 3


async def test_a_status_wiped_by_hand_finds_its_secret_again(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    first = await world.until(ready())
    world.edit_status(id=None, status=None, source=None, conditions=None)
    again = await world.until(lambda obj: ready()(obj) and "id" in obj["status"], seconds=SOON)
    assert again["status"]["id"] == first["status"]["id"]
    assert len(await world.control.secrets()) == 1


async def test_an_id_forged_into_a_status_is_not_believed(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret("theirs")
    theirs = await world.until(ready(), "theirs")
    world.method_secret()
    mine = await world.until(ready())
    world.edit_status(id=theirs["status"]["id"])
    healed = await world.until(lambda obj: obj["status"]["id"] == mine["status"]["id"], seconds=SOON)
    assert ready()(healed)
    assert len(await world.control.secrets()) == 2


async def test_conditions_edited_by_hand_are_put_right(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    first = await world.until(ready())
    world.edit_status(
        conditions=[{**first["status"]["conditions"][0], "status": "False", "reason": "MadeUp"}]
    )
    await world.until(ready(), seconds=SOON)
    assert await world.control.count("create") == 1


async def test_a_value_that_ends_in_a_newline_is_stored_as_it_is_with_a_warning(world: World) -> None:
    await world.start_operator()
    world.secret(value=f"{CANARY}\n")
    world.method_secret()
    obj = await world.until(ready())
    assert await world.control.has_value(f"{CANARY}\n") == [obj["status"]["id"]]
    event = await world.until_event("TrailingNewline")
    assert event["type"] == "Warning"
    assert "newline" in event["message"]


async def test_the_longest_names_work(world: World) -> None:
    await world.start_operator()
    name = ".".join(["a" * 50] * 5)[:253]
    world.secret(name, **{"k" * 253: CANARY})
    world.method_secret(name, source=name, key="k" * 253)
    await world.until(ready(), name)


async def test_a_hundred_objects_on_one_secret_are_a_hundred_secrets(world: World) -> None:
    await world.start_operator()
    world.secret()
    names = [f"acme-{number}" for number in range(100)]
    for name in names:
        world.method_secret(name)
    for name in names:
        await world.until(ready(), name)
    assert await world.control.count("create") == 100
    revisions = {obj["status"]["source"]["revision"] for obj in world.list()}
    assert len(revisions) == 100, "equal values of two objects never show"


async def test_a_secret_without_the_labels_asked_for_is_not_sent(world: World) -> None:
    await world.start_operator(SOURCE_SELECTOR="for-method=yes")
    world.secret()
    world.method_secret()
    obj = await world.until(not_ready("SourceNotAllowed"), seconds=SOON)
    assert "SOURCE_SELECTOR" in message(obj)
    assert await world.control.count("create") == 0
    secret = world.get("source", "secrets")
    labelled = {"name": "source", "labels": {"for-method": "yes"}}
    world.apply(
        "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": labelled, "data": secret["data"]}
    )
    await world.until(ready(), seconds=SOON)


async def test_a_namespace_that_may_not_use_the_default_key_is_told(world: World) -> None:
    await world.start_operator(DEFAULT_ACCOUNT_NAMESPACES="elsewhere")
    world.secret()
    world.method_secret()
    obj = await world.until(not_ready("NamespaceNotAllowed"), seconds=SOON)
    assert condition("Stalled", "True")(obj)
    assert await world.control.count("create") == 0
