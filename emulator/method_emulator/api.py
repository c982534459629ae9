"""The rules of `/secrets` and `/ping`: what is valid, what is done, what is answered. No connections.

Facts are from Method's public documentation of 2026-03-30 and its OpenAPI of 2025-12-01; what they leave
open is a setting. The value of a create lives in its Call and nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import re
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from method_emulator import answers
from method_emulator.answers import Answer, Wire
from method_emulator.faults import Fault, FaultTable, Kind, Operation, When
from method_emulator.idempotency import IdempotencyStore, Slot
from method_emulator.limits import RateLimits, Tier
from method_emulator.records import Records
from method_emulator.store import DELETED, Page, Secret, SecretStore, UnknownCursorError, serialised

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from method_emulator.settings import Settings

    Pause = Callable[[], Awaitable[None]]

_ID: Final = re.compile(r"sec_\w+", re.ASCII)
_KEY_LENGTH: Final = 255
_PAGE_LIMIT: Final = 100
_DEFAULT_PAGE_LIMIT: Final = 10
_NO_JSON: Final = object()


class RefusedError(Exception):
    """The request is refused with this status; the message holds nothing that was sent."""

    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self._status, self._message, self._headers = status, message, headers or {}

    def answer(self, *, envelope: bool) -> Answer:
        """Return the error as an answer."""
        return answers.error(self._status, self._message, envelope=envelope, headers=dict(self._headers))


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: an account, and a fingerprint of the API key that tells keys apart in logs."""

    account: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted request."""

    operation: Operation
    account: str
    request_id: str
    secret_id: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = field(default=_NO_JSON, repr=False)
    raw_body: bytes = field(default=b"", repr=False)
    idempotency_key: str | None = None


def parse_body(raw: bytes | None) -> object:
    """Read JSON strictly; a sentinel stands for what is none, to be refused where the body matters."""
    if raw is None:
        return _NO_JSON
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _NO_JSON


class Api:
    """The emulated API with all it remembers."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.wall_clock = wall_clock
        self._clock = clock
        self._digest_key = secrets.token_bytes(32)
        self.store = SecretStore(
            digest_key=self._digest_key, rng=rng or random.SystemRandom(), wall_clock=wall_clock
        )
        self.idempotency = IdempotencyStore()
        self.limits = RateLimits()
        self.faults = FaultTable()
        self.records = Records(size=settings.request_log_size)
        self.stopping = asyncio.Event()
        self.creates = 0
        self._request_ids = f"req_{secrets.token_hex(4)}"
        self._requests = 0

    def reset(self) -> None:
        """Forget secrets, keys, limits, faults and records; settings stay."""
        self.faults.clear(drop=True)
        self.store.clear()
        self.idempotency = IdempotencyStore()
        self.limits.reset()
        self.records.reset()
        self.creates = 0

    def stop(self) -> None:
        """Drop every paused request."""
        self.stopping.set()
        self.faults.clear(drop=True)

    def request_id(self) -> str:
        """Return a new request id."""
        self._requests += 1
        return f"{self._request_ids}_{self._requests}"

    # --- admission -----------------------------------------------------------------------------

    def authenticate(self, authorization: str) -> Principal:
        """Return whose API key this is.

        Raises RefusedError (401).
        """
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() == "bearer" and key:
            principal = self.principal(key)
            if principal is not None:
                return principal
        raise RefusedError(401, "the API key is missing or not accepted")

    def principal(self, api_key: str) -> Principal | None:
        """Return the account of an API key; None where the key is not accepted."""
        digest = hmac.digest(self._digest_key, api_key.encode("utf-8", "surrogateescape"), hashlib.sha256)
        accepted = self.settings.api_keys
        account = accepted.get(api_key) if accepted else None
        if accepted and account is None:
            return None
        if not accepted and not (api_key.startswith("sk_") and len(api_key) > len("sk_")):
            return None
        fingerprint = digest.hex()[:8]
        return Principal(account or f"account-{fingerprint}", fingerprint)

    def admit(self, principal: Principal, tier: Tier) -> float:
        """Count the call; return 0, or for how many seconds the key is blocked."""
        settings = self.settings
        limit = settings.writes_per_minute if tier is Tier.WRITE else settings.reads_per_minute
        return self.limits.admit(
            principal.fingerprint, tier, limit=limit, block_seconds=settings.block_seconds, now=self._clock()
        )

    def check_version(self, version: str | None) -> None:
        """Refuse a missing or unknown Method-Version.

        Raises RefusedError (400).
        """
        if version not in self.settings.accepted_versions():
            raise RefusedError(400, "the Method-Version header is missing or names no known version")

    def metadata_of(self, call: Call) -> dict[str, Any] | None:
        """Return the metadata that the call sends, or that its secret has."""
        if call.operation is Operation.CREATE:
            metadata = call.body.get("metadata") if isinstance(call.body, dict) else None
            return metadata if isinstance(metadata, dict) else None
        secret = self.store.get(call.account, call.secret_id) if call.secret_id else None
        return secret.metadata if secret else None

    # --- faults --------------------------------------------------------------------------------

    def choose_fault(self, call: Call) -> Fault | None:
        """Return the fault that this call meets."""
        slot = self.idempotency.find(call.account, call.idempotency_key) if call.idempotency_key else None
        return self.faults.select(
            call.operation,
            metadata=self.metadata_of(call),
            account=call.account,
            answered=slot is not None and slot.answer is not None,
        )

    def damaged(self, call: Call, fault: Fault, answer: Answer | None) -> Answer:
        """Return what the fault makes of the right answer; None: there is none yet."""
        spec, envelope = fault.spec, self.settings.envelope
        status = spec.status or 200
        match spec.kind:
            case Kind.STATUS:
                message = spec.message
                if spec.echo_value and isinstance(call.body, dict):
                    message = f"{message}: {call.body.get('value')}"
                made = answers.error(
                    status, message, envelope=envelope, kind=spec.error_type, sub_type=spec.error_sub_type
                )
            case Kind.HTML:
                made = answers.html(status)
            case Kind.GARBAGE:
                made = answers.garbage(status)
            case Kind.EMPTY:
                made = answers.empty(status)
            case Kind.NO_ID:
                made = answers.with_ids(answer, None, envelope=envelope)
            case Kind.BAD_ID:
                made = answers.with_ids(answer, "../sec bad\n", envelope=envelope)
            case Kind.TRUNCATED:
                whole = answer or answers.success(None, envelope=envelope)
                made = replace(whole, headers=dict(whole.headers), wire=Wire.TRUNCATED)
            case Kind.HUGE:
                made = Answer(status, b"", wire=Wire.HUGE, size=spec.size)
            case _:
                raise AssertionError(spec.kind)
        made.headers.update(spec.headers)
        return made

    # --- idempotency ---------------------------------------------------------------------------

    async def once(
        self, call: Call, *, pause: Pause | None = None, stored_fault: Fault | None = None
    ) -> Answer:
        """Do the work, or replay what it once answered to the same Idempotency-Key.

        `pause` is awaited with the key taken; `stored_fault` takes the answer's place in the store.
        Raises what `pause` raises, and gives the key back.
        """
        key = call.idempotency_key
        if call.operation is not Operation.CREATE or not key:
            if pause is not None:
                await pause()
            answer = self._fault_or_work(call, stored_fault)
            bypassed = {"idem-status": "bypassed"} if call.operation is Operation.CREATE else {}
            return _with_headers(answer, bypassed)
        if len(key) > _KEY_LENGTH:
            return self._error(400, "the Idempotency-Key is longer than 255 characters")
        fingerprint = self._fingerprint(call)
        while (slot := self.idempotency.find(call.account, key)) is not None:
            if slot.answer is not None:
                return self._replay(slot, fingerprint)
            if self.settings.same_key_at_once == "conflict":
                return self._error(409, "a request with this Idempotency-Key is still at work")
            await slot.settled.wait()
        slot = self.idempotency.begin(call.account, key, fingerprint=fingerprint, request_id=call.request_id)
        return await self._first(call, slot, key, pause=pause, stored_fault=stored_fault)

    async def _first(
        self, call: Call, slot: Slot, key: str, *, pause: Pause | None, stored_fault: Fault | None
    ) -> Answer:
        try:
            if pause is not None:
                await pause()
            answer = self._fault_or_work(call, stored_fault)
        except BaseException:
            self.idempotency.drop(call.account, key, slot)
            raise
        self.idempotency.keep(slot, answer)
        return _with_headers(answer, {"idem-status": "stored", "idem-request-id": call.request_id})

    def _replay(self, slot: Slot, fingerprint: bytes) -> Answer:
        if not hmac.compare_digest(slot.fingerprint, fingerprint):
            if self.settings.same_key_other_body == "conflict":
                return self._error(409, "this Idempotency-Key was used with another body")
            if self.settings.same_key_other_body == "unprocessable":
                return self._error(422, "this Idempotency-Key was used with another body")
        assert slot.answer is not None  # noqa: S101 - the caller looked
        return _with_headers(slot.answer, {"idem-status": "replayed", "idem-request-id": slot.request_id})

    def _fingerprint(self, call: Call) -> bytes:
        """Return a digest of what was asked, the same however the JSON was written."""
        body = call.raw_body
        if call.body is not _NO_JSON:
            body = json.dumps(call.body, sort_keys=True, separators=(",", ":")).encode()
        return hmac.digest(self._digest_key, body, hashlib.sha256)

    def _fault_or_work(self, call: Call, fault: Fault | None) -> Answer:
        if fault is not None and fault.spec.when is When.BEFORE:
            return self.damaged(call, fault, None)
        try:
            answer = self._work(call)
        except RefusedError as refused:
            answer = refused.answer(envelope=self.settings.envelope)
        return answer if fault is None else self.damaged(call, fault, answer)

    # --- operations ----------------------------------------------------------------------------

    def _work(self, call: Call) -> Answer:
        match call.operation:
            case Operation.CREATE:
                return self._create(call)
            case Operation.LIST:
                return self._list(call)
            case Operation.RETRIEVE:
                return self._retrieve(call)
            case Operation.DELETE:
                return self._delete(call)
            case _:
                return answers.success("pong", envelope=self.settings.envelope)

    def _create(self, call: Call) -> Answer:
        body = call.body
        if not isinstance(body, dict):
            raise RefusedError(400, "the body is not a JSON object")
        value, metadata = body.get("value"), body.get("metadata")
        if not isinstance(value, str) or not value:
            raise RefusedError(422, "value must be a string that is not empty")
        limit = self.settings.value_limit
        if limit and len(value.encode("utf-8", "surrogatepass")) > limit:
            raise RefusedError(422, "value is too long")
        if metadata is not None and not isinstance(metadata, dict):
            raise RefusedError(422, "metadata must be an object or null")
        limit = self.settings.metadata_limit
        if metadata and limit and len(serialised(metadata)) >= limit:
            raise RefusedError(422, f"metadata must be smaller than {limit} bytes")
        secret = self.store.create(account=call.account, digest=self.store.digest(value), metadata=metadata)
        self.creates += 1
        return self._secret(secret)

    def _retrieve(self, call: Call) -> Answer:
        secret = self._found(call)
        if secret.status == DELETED and self.settings.retrieve_deleted == "not_found":
            raise RefusedError(404, "no such secret")
        return self._secret(secret)

    def _delete(self, call: Call) -> Answer:
        secret = self._found(call)
        if secret.status != DELETED:
            self.store.delete(secret)
        elif self.settings.delete_deleted == "not_found":
            raise RefusedError(404, "no such secret")
        return answers.success(None, envelope=self.settings.envelope, secret_id=secret.id)

    def _found(self, call: Call) -> Secret:
        secret_id = call.secret_id or ""
        if not _ID.fullmatch(secret_id):
            raise RefusedError(400, "a secret's id is sec_ and letters, digits or underscores")
        secret = self.store.get(call.account, secret_id)
        if secret is None:
            raise RefusedError(404, "no such secret")
        return secret

    def _list(self, call: Call) -> Answer:
        query = call.query
        cursor = query.get("page_cursor")
        if cursor is not None and "page" in query:
            raise RefusedError(400, "page and page_cursor exclude each other")
        limit = _number(query, "page_limit", _DEFAULT_PAGE_LIMIT, maximum=_PAGE_LIMIT)
        page = _number(query, "page", 1, maximum=None)
        try:
            found = self.store.page(
                call.account, limit=limit, page=page, cursor=cursor, with_deleted=self.settings.list_deleted
            )
        except UnknownCursorError:
            raise RefusedError(400, "page_cursor is no secret's id") from None
        shown = [secret.shown() for secret in found.secrets]
        return answers.success(shown, envelope=self.settings.envelope, headers=_page_headers(found))

    def _secret(self, secret: Secret) -> Answer:
        return answers.success(secret.shown(), envelope=self.settings.envelope, secret_id=secret.id)

    def _error(self, status: int, message: str) -> Answer:
        return answers.error(status, message, envelope=self.settings.envelope)


def _with_headers(answer: Answer, headers: dict[str, str]) -> Answer:
    """Return a copy with more headers: a stored answer must not collect those of each replay."""
    return replace(answer, headers={**answer.headers, **headers})


def _page_headers(page: Page) -> dict[str, str]:
    headers = {
        "Pagination-Page": str(page.page),
        "Pagination-Page-Count": str(page.page_count),
        "Pagination-Page-Limit": str(page.limit),
        "Pagination-Total-Count": str(page.total),
    }
    if page.previous_cursor is not None:
        headers["Pagination-Page-Cursor-Prev"] = page.previous_cursor
    if page.next_cursor is not None:
        headers["Pagination-Page-Cursor-Next"] = page.next_cursor
    return headers


def _number(query: Mapping[str, str], name: str, default: int, *, maximum: int | None) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) < 1:  # noqa: PLR2004 - sane
        raise RefusedError(400, f"{name} must be a number from 1")
    if maximum is not None and int(text) > maximum:
        raise RefusedError(400, f"{name} must not be above {maximum}")
    return int(text)


def _no_constant(_text: str) -> NoReturn:
    raise ValueError
