"""The operator against every class of answer to every request it makes, in both envelopes: a table.

Each row is an object with an account of its own, and all of them are there at once. A GET of a secret is met
on three ways: to adopt, to link, and to delete. Of each it is known what
the object says meanwhile, how many POSTs there were and with which keys, and that in the end, the fault gone,
there is one secret (or none, where it was to be deleted). No text of an answer is to be found anywhere.
What an answer is to the client, ping included, is the unit test's of the same name.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest

from tests.integration.history import History, history
from tests.integration.world import Object, Predicate, World, condition, ready

Way = Literal["create", "list", "adopt", "link", "look", "delete"]
WAYS: Final[Mapping[Way, str]] = {
    "create": "create",
    "list": "list",
    "adopt": "retrieve",
    "link": "retrieve",  # of an object that was deleted with Retain and applied again
    "look": "retrieve",  # before a DELETE
    "delete": "delete",
}
"""The operation of which the answer is the fault."""

OUTSIDE: Final = "text-from-outside"
FINE: Final = None
STALLED: Final = frozenset({"Rejected", "Unauthorized", "AdoptionFailed"})
ASKED_AGAIN: Final = STALLED | {"Pending"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A fault at the API, and the reason that an object gives meanwhile (FINE: nothing is to be seen).

    `final`: a create goes on with another key. `differs`: what it is on certain ways instead.
    """

    name: str
    reason: str
    fault: Mapping[str, Any]
    state: str | None
    final: bool = False
    differs: Mapping[Way, str | None] | None = None
    only: tuple[Way, ...] = tuple(WAYS)


def status(code: int, state: str, reason: str, **more: Any) -> Answer:  # noqa: ANN401 - fields of Answer
    """Return a row for an error in Method's own form."""
    name, fault = more.pop("name", str(code)), more.pop("fault", {})
    described = {"kind": "status", "status": code, "message": OUTSIDE, **fault}
    return Answer(name=name, reason=reason, fault=described, state=state, **more)


def broken(name: str, kind: str, reason: str, **more: Any) -> Answer:  # noqa: ANN401 - of a fault, and differs
    """Return a row for an answer that is none of Method's."""
    differs, state = more.pop("differs", None), more.pop("state", "MethodUnavailable")
    return Answer(name=name, reason=reason, fault={"kind": kind, **more}, state=state, differs=differs)


ANSWERS: Final = (
    status(400, "Rejected", "the API refuses this request"),
    status(401, "Unauthorized", "the key is none"),
    status(
        403,
        "Unauthorized",
        "the key may not do this; where it is to list, the keys of creates alone guard",
        differs={"list": FINE},
    ),
    status(
        404,
        "Rejected",
        "the id to adopt is not there; to link, the list says that it is; what is to be deleted is gone",
        differs={"adopt": "AdoptionFailed", "link": "Pending", "delete": FINE},
        only=("create", "list", "adopt", "link", "delete"),  # to look: tests/unit/core/test_deletion.py
    ),
    status(422, "Rejected", "the API refuses this request"),
    status(
        422,
        "Rejected",
        "an error that repeats the value",
        name="422, echo",
        fault={"echo_value": True},
        only=("create",),
    ),
    status(429, "RateLimited", "the key is blocked for a minute, which is the budget's test; another is not"),
    status(
        429,
        "RateLimited",
        "longer than that",
        name="429, Retry-After",
        fault={"headers": {"Retry-After": "90"}},
    ),
    status(500, "MethodUnavailable", "may have been done"),
    status(
        500,
        "MethodUnavailable",
        "final for this key",
        name="500, stored",
        fault={"store": True},
        final=True,
        only=("create",),
    ),
    status(
        503,
        "MethodUnavailable",
        "the store of keys is down: wait, never send without a key",
        name="503, IDEMPOTENCY_UNAVAILABLE",
        fault={"error_sub_type": "IDEMPOTENCY_UNAVAILABLE"},
    ),
    status(307, "MethodUnavailable", "never followed"),
    status(409, "MethodUnavailable", "still at work elsewhere"),
    broken("hang, not done", "hang", "silence"),
    broken("hang, done", "hang", "silence after the deed", when="after"),
    broken("slow", "slow", "an answer like any other", seconds=0.3, state=FINE),
    broken("reset before", "reset_before", "nothing was done, but who knows"),
    broken("reset after", "reset_after", "done, and nobody was told"),
    broken("truncated", "truncated", "the id was cut off"),
    broken("garbage", "garbage", "no JSON"),
    broken("huge", "huge", "read up to a bound, then dropped", size=9 * 2**20),
    broken("HTML, 200", "html", "a captive portal", status=200),
    broken("HTML, 404", "html", "a gateway's page says nothing of what is there", status=404),
    broken("HTML, 502", "html", "a gateway's page says nothing of what was done"),
    broken("empty", "empty", "a 200 without a body; a DELETE needs none", differs={"delete": FINE}),
    broken("no id", "no_id", "a secret without an id is no secret", differs={"list": FINE, "delete": FINE}),
    broken("bad id", "bad_id", "only sec_… is an id", differs={"list": FINE, "delete": FINE}),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An answer on one way, for one object: `name` is the object's, its account's and its API key's."""

    name: str
    way: Way
    answer: Answer

    @property
    def state(self) -> str | None:
        """What the object says while the fault lasts."""
        return (self.answer.differs or {}).get(self.way, self.answer.state)

    @property
    def blocked(self) -> bool:
        """Whether its API key is of no use for a while when the fault is over."""
        return self.state == "RateLimited"

    @property
    def deletes(self) -> bool:
        """Whether the object is to be gone in the end, and its secret with it."""
        return self.way in ("look", "delete")


CASES: Final = tuple(
    Case(name=f"{way}-{number:02}", way=way, answer=answer)
    for way in WAYS
    for number, answer in enumerate(ANSWERS)
    if way in answer.only
)
GONE: Final = "replayed-gone"
LATE: Final = "replayed-late"
ACCOUNTS: Final = (*(case.name for case in CASES), GONE, LATE)
KEYS: Final = {f"sk_test_{name}{more}": name for name in ACCOUNTS for more in ("", "_next")}
"""Accounts by API key. Each has two, as while a key is replaced."""


def _apply(world: World, name: str, **more: Any) -> Object:  # noqa: ANN401 - fields of the spec, annotations
    account = {"environment": "sandbox", "apiKeySecretRef": {"name": f"key-of-{name}", "key": "key"}}
    return world.method_secret(name, account=account, **more)


def _of(obj: Object, wanted: Predicate) -> Predicate:
    """Whether it is this very object, and as wanted: there may have been one before."""
    return lambda found: found["metadata"]["uid"] == obj["metadata"]["uid"] and wanted(found)


async def _through(world: World, seen: History, case: Case) -> None:
    """Bring an object to where the fault strikes, and from there to its end."""
    spec: dict[str, Any] = {"deletionPolicy": "Delete"} if case.deletes else {}
    settled = ready()
    if case.way == "adopt":
        (theirs,) = await world.control.seed(account=case.name)
        spec, settled = {"adopt": {"id": theirs}}, ready("Adopted")
    elif case.way in ("link", "look", "delete"):
        _apply(world, case.name, **spec)
        await seen.until(case.name, ready())
    if case.way == "link":
        world.delete(case.name)
        await seen.until_gone(case.name)
    await world.control.add_fault(WAYS[case.way], account=case.name, **case.answer.fault)
    if case.deletes:
        world.delete(case.name)
        obj = world.get(case.name)
    else:
        obj = _apply(world, case.name, **spec)
    if case.state is not FINE:
        said = await seen.until(case.name, _of(obj, condition("Ready", "False", case.state)))
        kind = "Stalled" if case.state in STALLED else "Reconciling"
        assert condition(kind, "True", case.state)(said), f"{case.name}: {case.answer.reason}"
        if case.blocked:
            world.secret(f"key-of-{case.name}", key=f"sk_test_{case.name}_next")
        elif case.state in ASKED_AGAIN:  # a person acts: here by asking again
            again = {"methodfi.com/reconcile-requested-at": "again"}
            _apply(world, case.name, annotations=again, **spec)
    if case.deletes:
        await seen.until_gone(case.name)
    else:
        await seen.until(case.name, _of(obj, settled))


async def _replayed_and_gone(world: World, seen: History) -> None:
    """Settle a create by a replay that names a secret which was deleted since: another one is made."""
    await world.control.add_fault("create", "reset_after", account=GONE)
    again = await world.control.add_fault("create", "hold", account=GONE)
    _apply(world, GONE)
    await world.control.wait_held(again)
    (lost,) = await world.control.secrets(account=GONE)
    await world.control.change_secret(lost["id"], status="deleted")
    await world.control.release(again)
    said = await seen.until(GONE, ready())
    assert said["status"]["id"] != lost["id"]


async def _replayed_and_late(world: World, seen: History) -> None:
    """Settle a create by a replay that names a secret which a GET does not know yet: it is waited for."""
    await world.control.add_fault("create", "reset_after", account=LATE)
    await world.control.add_fault("retrieve", "status", status=404, account=LATE)
    _apply(world, LATE)
    said = await seen.until(LATE, condition("Reconciling", "True", "Pending"))
    assert "id" not in said["status"]
    (made,) = await world.control.secrets(account=LATE)
    said = await seen.until(LATE, ready())
    assert said["status"]["id"] == made["id"]


@pytest.mark.parametrize(
    "world",
    [{"envelope": True, "api_keys": KEYS}, {"envelope": False, "api_keys": KEYS}],
    indirect=True,
    ids=["envelope", "bare"],
)
async def test_every_answer_to_every_request(world: World, request: pytest.FixtureRequest) -> None:
    # Silence takes the client's 20 s: it is begun first, and has no envelope, so that once is enough.
    silent = [case for case in CASES if case.answer.fault["kind"] == "hang"]
    cases = [case for case in CASES if case not in silent]
    if "envelope" in request.node.callspec.id:
        cases = silent + cases
    world.secret()
    for name in ACCOUNTS:
        world.secret(f"key-of-{name}", key=f"sk_test_{name}")
    await world.start_operator()
    async with history(world) as seen:
        ways = [_through(world, seen, case) for case in cases]
        await asyncio.gather(*ways, _replayed_and_gone(world, seen), _replayed_and_late(world, seen))
    await asyncio.to_thread(world.operators[0].stop)

    end = _End(
        objects={obj["metadata"]["name"]: obj for obj in world.list()},
        posts=_by_account(await world.control.requests(operation="create")),
        secrets=_by_account(await world.control.secrets()),
    )
    assert {case.name: found for case in cases if (found := _wrong(end, case))} == {}
    keys = [one["idempotency_key"] for one in end.posts[GONE]]
    assert (len(keys), len(set(keys))) == (3, 2), "the same key to settle it, then the next"
    keys = [one["idempotency_key"] for one in end.posts[LATE]]
    assert (len(keys), len(set(keys))) == (3, 1), "the same key until its secret is known"
    assert len(end.secrets[LATE]) == 1
    for where, text in (await world.text_of_everything()).items():
        assert OUTSIDE not in text, where


@dataclass(frozen=True, kw_only=True)
class _End:
    """What there is at the end: objects by name, POSTs and secrets by account."""

    objects: Mapping[str, Object]
    posts: Mapping[str, list[Any]]
    secrets: Mapping[str, list[Any]]


def _by_account(items: Iterable[Any]) -> Mapping[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for item in items:
        found[item["account"]].append(item)
    return found


def _wrong(end: _End, case: Case) -> str | None:
    """Return what is not as it must be in the end."""
    posts, secrets, obj = end.posts[case.name], end.secrets[case.name], end.objects.get(case.name)
    left = [one["id"] for one in secrets if one["status"] == "active"]
    keys = {one["idempotency_key"] for one in posts}
    found, expected = (len(posts), len(keys), len(secrets), len(left)), _expected(case)
    if found != expected:
        return f"{case.answer.name}: POSTs, keys, secrets, active are {found}, not {expected}"
    if case.deletes:
        return None if obj is None else f"{case.answer.name}: the object is {obj}"
    named = [obj["status"]["id"]] if obj is not None and "id" in obj["status"] else []
    return None if named == left else f"{case.answer.name}: {named} is named, {left} is there"


def _expected(case: Case) -> tuple[int, int, int, int]:
    """Return how many POSTs, keys, secrets ever made, and active ones there are in the end."""
    match case.way:
        case "create" if case.state is not FINE:
            return 2, 2 if case.answer.final else 1, 1, 1
        case "adopt":
            return 0, 0, 1, 1
        case "look" | "delete":
            lied = case.answer.fault.get("status") == 404 and case.state is FINE
            return 1, 1, 1, int(lied)
        case _:
            return 1, 1, 1, 1
