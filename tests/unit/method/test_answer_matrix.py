"""Every call of the client against every class of answer, in both envelopes, over sockets: a table.

What each answer is to the caller (the error's class, its kind, whether the request may have been done), that
it cost one request, and that no word of it is in the error. What the operator makes of it is the integration
test's of the same name.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator.errors import (
    MethodError,
    MethodNotFound,
    MethodRateLimited,
    MethodRejected,
    MethodUnauthorized,
    MethodUnavailable,
)
from methodsecret_operator.method.client import Deadlines, MethodClient
from tests.unit.method.servers import API_KEY, VALUE, everything_in, method_client

KEY: Final = "5f0e1c52-6b1d-4d2e-9b56-6a5f2f2a7a11"
OUTSIDE: Final = "canary-of-the-message"
OPERATIONS: Final = ("create", "list", "retrieve", "ping", "delete")
SUCCESS: Final = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """An answer, and what it is: `error` of that `kind`, or a success (`fine`: for these operations only).

    `final`: it is sure that nothing was done (`final_create`: for a create, where that differs).
    """

    name: str
    reason: str
    fault: Mapping[str, Any]
    error: type[MethodError] | None
    kind: str = "http"
    final: bool = False
    final_create: bool | None = None
    retry_after: float | None = None
    sub_type: str | None = None
    fine: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return self.name


def status(
    code: int,
    error: type[MethodError],
    reason: str,
    *,
    name: str = "",
    final: bool = False,
    **more: Any,  # noqa: ANN401 - fields of Row
) -> Row:
    """Return a row for an error in Method's own form."""
    answer = {"kind": "status", "status": code, "message": OUTSIDE, **more.pop("fault", {})}
    return Row(name=name or str(code), reason=reason, fault=answer, error=error, final=final, **more)


def broken(
    name: str,
    fault: str,
    reason: str,
    *,
    kind: str = "unreadable",
    fine: str = "",
    **more: Any,  # noqa: ANN401 - fields of a fault
) -> Row:
    """Return a row for an answer that is none of Method's."""
    lenient = frozenset(fine.split())
    described = {"kind": fault, **more}
    return Row(name=name, reason=reason, fault=described, error=MethodUnavailable, kind=kind, fine=lenient)


ROWS: Final = (
    # documented, for one operation or another
    status(400, MethodRejected, "the request is wrong as it is", final=True),
    status(401, MethodUnauthorized, "the key is none", final=True),
    status(403, MethodUnauthorized, "the key may not", final=True, sub_type="FORBIDDEN"),
    status(404, MethodNotFound, "said by Method itself", final=True, sub_type="NOT_FOUND"),
    status(422, MethodRejected, "the value or the metadata is refused", final=True),
    status(429, MethodRateLimited, "no Retry-After: the API blocks for 60 s", retry_after=60.0),
    status(
        429,
        MethodRateLimited,
        "less than the block is not believed",
        name="429, Retry-After 5",
        fault={"headers": {"Retry-After": "5"}},
        retry_after=60.0,
    ),
    status(
        429,
        MethodRateLimited,
        "more than the block is",
        name="429, Retry-After 90",
        fault={"headers": {"Retry-After": "90"}},
        retry_after=90.0,
    ),
    status(
        429,
        MethodRateLimited,
        "no instruction at all",
        name="429, Retry-After garbage",
        fault={"headers": {"Retry-After": OUTSIDE}},
        retry_after=60.0,
    ),
    status(500, MethodUnavailable, "may have been done"),
    status(
        500,
        MethodUnavailable,
        "what the key will give from now on; only a create has a key",
        name="500, stored",
        fault={"store": True},
        final_create=True,
    ),
    status(
        503,
        MethodUnavailable,
        "the store of keys is down: not done, but not final for the key either",
        name="503, IDEMPOTENCY_UNAVAILABLE",
        fault={"error_sub_type": "IDEMPOTENCY_UNAVAILABLE"},
        sub_type="IDEMPOTENCY_UNAVAILABLE",
    ),
    # not documented, and sent by somebody all the same
    status(307, MethodUnavailable, "never followed"),
    status(408, MethodUnavailable, "a gateway gave up waiting"),
    status(409, MethodUnavailable, "the first request with this key is still at work"),
    status(418, MethodRejected, "a 4xx nobody knows is a refusal", final=True),
    status(425, MethodUnavailable, "not now"),
    status(502, MethodUnavailable, "a gateway lost it on the way"),
    status(504, MethodUnavailable, "a gateway gave up waiting"),
    status(
        422,
        MethodRejected,
        "a sub type that is none of Method's words is no word to pass on",
        name="422, sub type from outside",
        fault={"error_sub_type": OUTSIDE},
        final=True,
    ),
    status(200, MethodUnavailable, "a success that says it is none", kind="refused"),
    Row(
        name="404, no body",
        reason="a refusal needs no words",
        fault={"kind": "empty", "status": 404},
        error=MethodNotFound,
        final=True,
    ),
    # no answer
    broken("hangs, not done", "hang", "silence", kind="timeout"),
    broken("hangs, done", "hang", "silence after the deed", kind="timeout", when="after"),
    broken("reset before", "reset_before", "nothing was done, but who knows", kind="connection"),
    broken("reset after", "reset_after", "done, and nobody was told", kind="connection"),
    Row(
        name="slow",
        reason="within the deadline it is an answer like any other",
        fault={"kind": "slow", "seconds": 0.02},
        error=SUCCESS,
    ),
    # no answer of Method's
    broken("truncated", "truncated", "the id was cut off"),
    broken("garbage", "garbage", "no JSON"),
    broken("garbage, 404", "garbage", "whoever says so is not Method", status=404),
    broken("huge", "huge", "read up to a bound, then dropped", size=9 * 2**20),
    broken("HTML, 200", "html", "a captive portal", status=200),
    broken("HTML, 403", "html", "a gateway's page: the key may be right", status=403),
    broken("HTML, 404", "html", "a gateway's page: the secret may be there", status=404),
    Row(
        name="HTML, 429",
        reason="a gateway's limit is a limit too",
        fault={"kind": "html", "status": 429},
        error=MethodRateLimited,
        retry_after=60.0,
    ),
    broken("HTML, 502", "html", "a gateway's page", kind="http"),
    broken("empty", "empty", "a 200 without a body; a DELETE needs none", fine="delete"),
    broken("no id", "no_id", "a secret without an id is no secret", fine="list delete ping"),
    broken("bad id", "bad_id", "only sec_… is an id", fine="list delete ping"),
)

Calls = Mapping[str, Callable[[], Awaitable[object]]]


def _calls(client: MethodClient, secret_id: str) -> Calls:
    return {
        "create": lambda: client.create(value=VALUE, metadata={}, idempotency_key=KEY),
        "list": client.list_page,
        "retrieve": lambda: client.retrieve(secret_id),
        "delete": lambda: client.delete(secret_id),
        "ping": client.ping,
    }


@pytest.fixture(params=[True, False], ids=["envelope", "bare"])
async def emulator(request: pytest.FixtureRequest) -> AsyncIterator[RunningEmulator]:
    """Serve an emulator with the one envelope or the other."""
    async with running_emulator(envelope=request.param) as running:
        yield running


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_an_answer_is_what_the_table_says(row: Row, emulator: RunningEmulator) -> None:
    # Time enough for a real answer on a busy machine, and little where none is to come.
    read = 0.05 if row.kind == "timeout" else 20.0
    (secret_id,) = await emulator.control.seed(api_key=API_KEY.get_secret_value())
    for operation in OPERATIONS:
        await emulator.control.add_fault(operation, **row.fault)
        # A client each: one that was told to wait, waits.
        async with method_client(emulator.url, deadlines=Deadlines(read=read)) as client:
            error = await _outcome(_calls(client, secret_id)[operation])
        where = f"{operation}: {row.reason}"
        if row.error is SUCCESS or operation in row.fine:
            assert error is None, where
        else:
            assert error is not None, where
            final = row.final_create if operation == "create" and row.final_create is not None else row.final
            assert (type(error), error.kind, error.definite) == (row.error, row.kind, final), where
            assert error.retry_after == row.retry_after, where
            assert row.sub_type in (None, error.sub_type), where
            assert error.operation == operation
            assert "canary" not in everything_in(error), where
        await emulator.control.clear_faults()
        assert len(await emulator.control.requests(operation=operation)) == 1, f"sent again: {where}"


async def _outcome(call: Callable[[], Awaitable[object]]) -> MethodError | None:
    try:
        await call()
    except MethodError as error:
        return error
    return None


async def test_entries_without_an_id_are_counted_in_a_list(emulator: RunningEmulator) -> None:
    await emulator.control.seed(3, api_key=API_KEY.get_secret_value())
    await emulator.control.add_fault("list", "no_id")
    async with method_client(emulator.url) as client:
        page = await client.list_page()
    assert (page.secrets, page.unreadable) == ((), 3)


async def test_a_stored_failure_is_replayed_and_stays_final(emulator: RunningEmulator) -> None:
    await emulator.control.add_fault("create", "status", status=500, store=True, message=OUTSIDE)
    async with method_client(emulator.url) as client:
        for said in ("stored", "replayed"):
            error = await _outcome(_calls(client, "sec_a")["create"])
            assert isinstance(error, MethodUnavailable)
            assert (error.idem_status, error.definite) == (said, True)


@pytest.mark.parametrize(("retrieve_deleted", "there"), [("deleted", True), ("not_found", False)])
async def test_a_replayed_success_may_name_a_secret_that_is_gone(
    retrieve_deleted: str,
    there: bool,  # noqa: FBT001 - a parameter of the table
    emulator: RunningEmulator,
) -> None:
    await emulator.control.change_settings(retrieve_deleted=retrieve_deleted)
    async with method_client(emulator.url) as client:
        first = await client.create(value=VALUE, metadata={}, idempotency_key=KEY)
        await client.delete(first.secret.id)
        again = await client.create(value=VALUE, metadata={}, idempotency_key=KEY)
        assert (again.replayed, again.secret) == (True, first.secret), "as it was when it was stored"
        with contextlib.nullcontext() if there else pytest.raises(MethodNotFound):
            assert (await client.retrieve(first.secret.id)).status == "deleted"


async def test_an_error_that_repeats_the_value_is_not_repeated(emulator: RunningEmulator) -> None:
    await emulator.control.add_fault("create", "status", status=422, echo_value=True, message=OUTSIDE)
    async with method_client(emulator.url) as client:
        error = await _outcome(_calls(client, "sec_a")["create"])
    assert isinstance(error, MethodRejected)
    assert "canary" not in everything_in(error)
