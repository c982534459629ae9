"""The HTTP face of the emulator: `/secrets` and `/ping` over aiohttp.

One request goes: API key (401), rate limit (429), Method-Version (400), fault, Idempotency-Key, work,
fault, answer. What the work means is in `api.py`; this file knows connections and order, no rules of
secrets. It logs operations, statuses and ids; never a body, a header or an API key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import web

from method_emulator import answers
from method_emulator.api import Api, Call, RefusedError, parse_body
from method_emulator.control import add_control_routes
from method_emulator.faults import PAUSES, DroppedError, Fault, Kind, Operation, When
from method_emulator.limits import Tier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from method_emulator.answers import Answer
    from method_emulator.records import Record
    from method_emulator.settings import Settings

logger = logging.getLogger(__name__)

_MAX_BODY: Final = 8 * 1024 * 1024
_CHUNK: Final = 64 * 1024
API: Final = web.AppKey("api", Api)


def build_app(settings: Settings, *, control: bool = True) -> web.Application:
    """Return the application; `control` adds the endpoints under /_emulator/."""
    app = web.Application(client_max_size=_MAX_BODY)
    api = app[API] = Api(settings)
    routes: tuple[tuple[str, str, Operation], ...] = (
        ("POST", "/secrets", Operation.CREATE),
        ("GET", "/secrets", Operation.LIST),
        ("GET", "/secrets/{id}", Operation.RETRIEVE),
        ("DELETE", "/secrets/{id}", Operation.DELETE),
        ("GET", "/ping", Operation.PING),
    )
    for method, path, operation in routes:
        app.router.add_route(method, path, _handler(api, operation))
    if control:
        add_control_routes(app, api)
    app.router.add_route("*", "/{anything:.*}", _not_found(api))
    app.on_shutdown.append(_stop)
    return app


async def _stop(app: web.Application) -> None:
    """Drop what is paused, so that the server ends at once."""
    app[API].stop()


def _handler(api: Api, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        record = api.records.open(operation, at=api.wall_clock())
        status: int | None = None
        try:
            answer = await _answer(api, operation, request, record)
            status = answer.status
            record.id = record.id or answer.secret_id
            return await _send(request, answer)
        except DroppedError:
            _reset(request)
            return web.Response()
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer and the log a line
            # The error's text may hold what the client sent, so only its type is told.
            logger.error("%s failed inside the emulator: %s", operation, type(error).__name__)  # noqa: TRY400
            status = 500
            return _whole(
                answers.error(500, "the emulator failed; see its log", envelope=api.settings.envelope)
            )
        finally:
            api.records.close(record, status)
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("%s", _line(record))

    return handle


async def _answer(api: Api, operation: Operation, request: web.Request, record: Record) -> Answer:
    """Take one request through every stage; raise DroppedError where it gets no answer."""
    request_id = api.request_id()
    envelope = api.settings.envelope
    try:
        call = await _admit(api, operation, request, record, request_id)
    except RefusedError as refused:
        answer = refused.answer(envelope=envelope)
        answer.headers["Request-Id"] = request_id
        return answer
    fault = api.choose_fault(call) if api.faults else None
    if fault is None:
        answer = await api.once(call)
    else:
        record.fault = fault.number
        answer = await _with_fault(api, call, fault)
    record.idem_status = answer.headers.get("idem-status")
    if "Request-Id" not in answer.headers:
        answer.headers["Request-Id"] = request_id
    return answer


async def _admit(
    api: Api, operation: Operation, request: web.Request, record: Record, request_id: str
) -> Call:
    """Check the key, the limits and the version, and read what the request asks for."""
    headers = request.headers
    principal = api.authenticate(headers.get("Authorization", ""))
    record.api_key, record.account = principal.fingerprint, principal.account
    tier = Tier.WRITE if operation in (Operation.CREATE, Operation.DELETE) else Tier.READ
    if blocked := api.admit(principal, tier):
        retry_after = {"Retry-After": str(math.ceil(blocked))} if api.settings.retry_after else {}
        raise RefusedError(429, "too many requests with this API key", headers=retry_after)
    api.check_version(headers.get("Method-Version"))
    body: bytes | None = None
    if operation is Operation.CREATE:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise RefusedError(413, "the body is too large") from None
    secret_id = request.match_info.get("id")
    key = headers.get("Idempotency-Key") if operation is Operation.CREATE else None
    call = Call(
        operation=operation, account=principal.account, request_id=request_id, secret_id=secret_id,
        query=request.query, body=parse_body(body), raw_body=body or b"", idempotency_key=key,
    )  # fmt: skip
    record.id, record.idempotency_key = secret_id, key
    owner = (api.metadata_of(call) or {}).get("k8s_owner")
    record.owner = owner if isinstance(owner, str) else None
    return call


async def _with_fault(api: Api, call: Call, fault: Fault) -> Answer:
    """Let a request meet its fault; raise DroppedError where it gets no answer."""
    spec = fault.spec
    if spec.when is When.BEFORE:
        if spec.kind in PAUSES:
            await _pause(api, fault)
        elif spec.kind is Kind.RESET_BEFORE:
            raise DroppedError
        elif not spec.store:
            return api.damaged(call, fault, None)

    async def pause() -> None:
        if spec.when is When.DURING:
            await _pause(api, fault)

    answer = await api.once(call, pause=pause, stored_fault=fault if spec.store else None)
    if spec.when is When.AFTER and not spec.store:
        if spec.kind in PAUSES:
            await _pause(api, fault)
        elif spec.kind is Kind.RESET_AFTER:
            raise DroppedError
        else:
            return api.damaged(call, fault, answer)
    return answer


async def _pause(api: Api, fault: Fault) -> None:
    if fault.spec.kind is Kind.SLOW:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(api.stopping.wait(), fault.spec.seconds)
            raise DroppedError
    else:
        if api.stopping.is_set():
            raise DroppedError
        await fault.gate.hold()
        if fault.spec.kind is Kind.HANG:
            raise DroppedError


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Put an answer on the wire, whole or damaged."""
    if answer.wire is answers.Wire.WHOLE:
        return _whole(answer)
    length = answer.size if answer.wire is answers.Wire.HUGE else len(answer.body)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = length
    with contextlib.suppress(ConnectionError):  # the client may have had enough: that is what it should do
        await response.prepare(request)
        if answer.wire is answers.Wire.HUGE:
            sent = 0
            while sent < length:
                chunk = b'{"data":"' if sent == 0 else b"A" * min(_CHUNK, length - sent)
                await response.write(chunk[: length - sent])
                sent += len(chunk)
            await response.write_eof()
        else:
            await response.write(answer.body[: len(answer.body) // 2])
            if request.transport is not None:
                request.transport.close()
    return response


def _whole(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers={**answer.headers, "Content-Type": answer.content_type},
    )


def _reset(request: web.Request) -> None:
    """End the connection with a TCP reset, as a crashed server or a firewall does."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _not_found(api: Api) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return _whole(answers.error(404, "no such path or method", envelope=api.settings.envelope))

    return handle


def _line(record: Record) -> str:
    parts = (
        f"{name}={value}" for name, value in record.shown().items() if value is not None and name != "at"
    )
    return "request " + " ".join(parts)
