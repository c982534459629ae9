"""The control endpoint under /_emulator/: how tests order faults, look inside and simulate drift.

It needs no API key, because what it steers is a test tool; `--no-control` leaves it out. It takes a value
only to compare it, and gives none, since none is kept.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from method_emulator.faults import Fault, FaultError, FaultSpec
from method_emulator.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from method_emulator.api import Api
    from method_emulator.store import Secret

PREFIX: Final = "/_emulator"
_LONGEST_WAIT: Final = 300.0
_MOST_SEEDED: Final = 1_000_000


class _BadRequestError(Exception):
    """The control request makes no sense; answered with 400 (or `status`) and this text."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def add_control_routes(app: web.Application, api: Api) -> None:
    """Add every control endpoint to the application."""
    control = _Control(api)
    routes: tuple[tuple[str, str, Callable[[web.Request], Awaitable[object]]], ...] = (
        ("GET", "/health", control.health),
        ("POST", "/faults", control.add_fault),
        ("GET", "/faults", control.list_faults),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/faults/{number}", control.show_fault),
        ("DELETE", "/faults/{number}", control.remove_fault),
        ("GET", "/faults/{number}/held", control.wait_held),
        ("POST", "/faults/{number}/release", control.release),
        ("GET", "/secrets", control.list_secrets),
        ("POST", "/secrets", control.seed),
        ("DELETE", "/secrets", control.vanish_all),
        ("PATCH", "/secrets/{id}", control.change),
        ("DELETE", "/secrets/{id}", control.vanish),
        ("POST", "/has-value", control.has_value),
        ("GET", "/requests", control.list_requests),
        ("GET", "/counters", control.counters),
        ("GET", "/settings", control.show_settings),
        ("PATCH", "/settings", control.change_settings),
        ("POST", "/forget-idempotency", control.forget_idempotency),
        ("POST", "/reset", control.reset),
    )
    for method, path, work in routes:
        app.router.add_route(method, PREFIX + path, _handler(work))


def _handler(
    work: Callable[[web.Request], Awaitable[object]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await work(request))
        except _BadRequestError as error:
            return web.json_response({"error": str(error)}, status=error.status)
        except (FaultError, SettingsError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handle


class _Control:
    def __init__(self, api: Api) -> None:
        self._api = api

    async def health(self, _request: web.Request) -> object:
        return {"ok": True}

    # --- faults --------------------------------------------------------------------------------

    async def add_fault(self, request: web.Request) -> object:
        return self._api.faults.add(FaultSpec.parse(await _body(request))).shown()

    async def list_faults(self, _request: web.Request) -> object:
        return {"faults": [fault.shown() for fault in self._api.faults]}

    async def clear_faults(self, _request: web.Request) -> object:
        self._api.faults.clear()
        return {}

    async def show_fault(self, request: web.Request) -> object:
        return self._fault(request).shown()

    async def remove_fault(self, request: web.Request) -> object:
        shown = self._fault(request).shown()
        self._api.faults.remove(int(request.match_info["number"]))
        return shown

    async def wait_held(self, request: web.Request) -> object:
        fault = self._fault(request)
        count = _whole_number(request.query, "at_least", 1)
        await _within(request, fault.gate.wait_held(count), f"{count} requests were not held in time")
        return fault.shown()

    async def release(self, request: web.Request) -> object:
        count = (await _body(request)).get("count")
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise _BadRequestError("count must be a number from 1, or null for all")
        return {"released": self._fault(request).gate.release(count)}

    def _fault(self, request: web.Request) -> Fault:
        number = request.match_info["number"]
        fault = self._api.faults.get(int(number)) if number.isdigit() else None
        if fault is None:
            raise _BadRequestError("no such fault, or it was removed", 404)
        return fault

    # --- secrets -------------------------------------------------------------------------------

    async def list_secrets(self, request: web.Request) -> object:
        account = self._account(request.query, default=None)
        return {"secrets": [_shown(secret) for secret in self._api.store.secrets(account)]}

    async def seed(self, request: web.Request) -> object:
        body = await _body(request)
        count = body.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_SEEDED:
            raise _BadRequestError(f"count must be a number from 1 to {_MOST_SEEDED}")
        metadata, value = body.get("metadata"), body.get("value", "")
        if not isinstance(metadata, dict | None) or not isinstance(value, str):
            raise _BadRequestError("metadata must be an object or null, value a string")
        secret_id, created_at = body.get("id"), body.get("created_at")
        if not isinstance(secret_id, str | None) or not isinstance(created_at, str | None):
            raise _BadRequestError("id and created_at must be strings")
        if secret_id is not None and (count != 1 or self._api.store.find(secret_id) is not None):
            raise _BadRequestError("an id is for one secret, and only once")
        status = _status(body, default="active")
        account = self._account(body, default=self._only_account())
        if account is None:
            raise _BadRequestError("say whose secrets these are: account or api_key")
        store, ids = self._api.store, []
        digest = store.digest(value)
        for number in range(count):
            secret = store.create(
                account=account, digest=digest, metadata=_numbered(metadata, number), status=status,
                secret_id=secret_id, created_at=created_at,
            )  # fmt: skip
            ids.append(secret.id)
        return {"ids": ids}

    async def change(self, request: web.Request) -> object:
        secret, body = self._secret(request), await _body(request)
        if unknown := set(body) - {"status", "metadata"}:
            raise _BadRequestError(
                f"only status and metadata can be changed, not {', '.join(sorted(unknown))}"
            )
        if "metadata" in body:
            if not isinstance(body["metadata"], dict | None):
                raise _BadRequestError("metadata must be an object or null")
            self._api.store.set_metadata(secret, body["metadata"])
        if "status" in body:
            self._api.store.set_status(secret, _status(body, default="active"))
        return _shown(secret)

    async def vanish(self, request: web.Request) -> object:
        secret = self._secret(request)
        self._api.store.vanish(secret)
        return _shown(secret)

    async def vanish_all(self, request: web.Request) -> object:
        found = list(self._api.store.secrets(self._account(request.query, default=None)))
        for secret in found:
            self._api.store.vanish(secret)
        return {"vanished": len(found)}

    async def has_value(self, request: web.Request) -> object:
        value = (await _body(request)).get("value")
        if not isinstance(value, str):
            raise _BadRequestError("value must be a string")
        wanted = self._api.store.digest(value)
        return {"ids": [secret.id for secret in self._api.store.secrets() if secret.digest == wanted]}

    def _secret(self, request: web.Request) -> Secret:
        secret = self._api.store.find(request.match_info["id"])
        if secret is None:
            raise _BadRequestError("no such secret", 404)
        return secret

    def _account(self, given: Mapping[str, Any], *, default: str | None) -> str | None:
        account, api_key = given.get("account"), given.get("api_key")
        if isinstance(account, str):
            return account
        if isinstance(api_key, str):
            principal = self._api.principal(api_key)
            if principal is None:
                raise _BadRequestError("this API key is not accepted")
            return principal.account
        return default

    def _only_account(self) -> str | None:
        accounts = set(self._api.settings.api_keys.values()) or set(self._api.store.accounts())
        return accounts.pop() if len(accounts) == 1 else None

    # --- records, settings ---------------------------------------------------------------------

    async def list_requests(self, request: web.Request) -> object:
        query = request.query
        after, at_least = _whole_number(query, "after", 0), _whole_number(query, "at_least", 0)
        operation, owner = query.get("operation"), query.get("owner")
        records = self._api.records
        if at_least:
            waiting = records.wait(at_least=at_least, after=after, operation=operation, owner=owner)
            await _within(request, waiting, f"{at_least} such requests were not done in time")
        found = records.select(after=after, operation=operation, owner=owner)
        return {"requests": [record.shown() for record in found]}

    async def counters(self, _request: web.Request) -> object:
        api = self._api
        return {**api.records.counters(), "creates": api.creates, "idempotency_keys": len(api.idempotency)}

    async def show_settings(self, _request: web.Request) -> object:
        return self._api.settings.shown()

    async def change_settings(self, request: web.Request) -> object:
        body = await _body(request)
        if "request_log_size" in body:
            raise _BadRequestError("request_log_size is fixed at the start")
        self._api.settings = self._api.settings.changed(body)
        return self._api.settings.shown()

    async def forget_idempotency(self, _request: web.Request) -> object:
        return {"forgotten": self._api.idempotency.forget()}

    async def reset(self, _request: web.Request) -> object:
        self._api.reset()
        return {}


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _BadRequestError("the body must be a JSON object")
    return body


async def _within(request: web.Request, waiting: Awaitable[None], complaint: str) -> None:
    """Wait for at most the request's `timeout` seconds (30 where absent); 408 afterwards."""
    try:
        seconds = min(float(request.query.get("timeout", "30")), _LONGEST_WAIT)
    except ValueError:
        raise _BadRequestError("timeout must be a number of seconds") from None
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        raise _BadRequestError(complaint, 408) from None


def _whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise _BadRequestError(f"{name} must be a whole number")
    return int(text)


def _status(body: Mapping[str, Any], *, default: str) -> str:
    status = body.get("status", default)
    if not isinstance(status, str) or not status:
        raise _BadRequestError("status must be a string")
    return status


def _numbered(metadata: dict[str, Any] | None, number: int) -> dict[str, Any] | None:
    """Put the number in place of `{n}` in the texts of the metadata."""
    if metadata is None:
        return None
    return {
        key: value.replace("{n}", str(number)) if isinstance(value, str) else value
        for key, value in metadata.items()
    }


def _shown(secret: Secret) -> dict[str, Any]:
    return {**secret.shown(), "account": secret.account}
