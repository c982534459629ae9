"""The Method API's wire format: requests as bytes, answers as objects or as one of errors.MethodError.

Pure: no I/O, no clock but the one passed in, no httpx. Whatever an answer holds, reading it ends in an
object whose fields are bounded and of the declared type, or in a MethodError without a word of it.
Unknown fields and unknown values of `status` are let through: the API may add them within a version.

Facts (paths, envelopes, headers, status codes) are from Method's public documentation, version
2026-03-30, and its OpenAPI description.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal, NoReturn
from urllib.parse import urlencode

from methodsecret_operator import __version__, errors
from methodsecret_operator.core.remote import RemoteSecret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue, SecretStr

METHOD_VERSION: Final = "2026-03-30"
"""The version of the API that the operator was written for; sent with every request."""

MAX_BODY: Final = 256 * 1024
"""Bytes read of an answer about one secret; a real one has under 2 KB."""

MAX_LIST_BODY: Final = 8 * 1024 * 1024
"""Bytes read of a list; a full page of 100 secrets has under 200 KB."""

MAX_PAGE: Final = 100
"""The API's own upper bound of `page_limit`."""

MIN_BLOCK: Final = 60.0
MAX_RETRY_AFTER: Final = 3600.0
"""Seconds. Exceeding a limit blocks for 60 s; more than an hour is a mistake, not an instruction."""

Operation = Literal["create", "list", "retrieve", "delete", "ping"]

_ID = re.compile(r"sec_[A-Za-z0-9_]{1,251}")
_STATUS = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_TIME = re.compile(r"[0-9A-Za-z:.+-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9_.:=-]{1,255}")
_KEY = re.compile(r"[!-~]{1,1024}")
_MAX_METADATA: Final = 16 * 1024
_IDEM_STATUS: Final = frozenset({"stored", "bypassed", "replayed"})
_SUB_TYPES: Final = frozenset(
    {"INVALID_REQUEST", "NOT_FOUND", "TOO_MANY_REQUESTS", "IDEMPOTENCY_UNAVAILABLE", "FORBIDDEN"}
)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Its repr shows neither headers (the API key) nor body (the value)."""

    operation: Operation
    method: Literal["GET", "POST", "DELETE"]
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    max_body: int = MAX_BODY


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is None where it was not read: too long, encoded, or broken off."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a create. `replayed`: the API repeated an earlier answer to the same key."""

    secret: RemoteSecret
    replayed: bool
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    `next_cursor` is None on the last one. `unreadable` counts the entries that could not be understood:
    a list with some is not complete. `total` is what the API says all pages together hold, where it does.
    `sent_at` is the API's own time of day (the answer's Date, in whole seconds), None where it tells none.
    """

    secrets: tuple[RemoteSecret, ...]
    next_cursor: str | None
    unreadable: int
    total: int | None
    sent_at: datetime | None = None


# --- requests ---------------------------------------------------------------------------------------


def is_secret_id(text: object) -> bool:
    """Whether this can be a secret's id at Method."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_api_key(text: str) -> bool:
    """Whether this can be sent as an API key: visible ASCII only, as in every HTTP token."""
    return _KEY.fullmatch(text) is not None


def create(
    api_key: SecretStr, *, value: SecretStr, metadata: Mapping[str, JsonValue], idempotency_key: str
) -> Request:
    """Build POST /secrets. Equal arguments make equal bytes, as a repeated idempotency key demands."""
    if _TOKEN.fullmatch(idempotency_key) is None:
        raise ValueError("the idempotency key must be 1 to 255 ASCII letters, digits or _.:=-")
    body = json.dumps(
        {"value": value.get_secret_value(), "metadata": dict(metadata)},
        allow_nan=False,
        separators=(",", ":"),
        sort_keys=True,
    )
    headers = {
        **_headers(api_key),
        "Content-Type": "application/json",
        "Idempotency-Key": idempotency_key,
    }
    return Request("create", "POST", "/secrets", headers, body.encode())


def retrieve(api_key: SecretStr, secret_id: str) -> Request:
    """Build GET /secrets/{id}. Raises MethodNotFound for what cannot be an id at Method."""
    return Request("retrieve", "GET", _path_of(secret_id, "retrieve"), _headers(api_key))


def delete(api_key: SecretStr, secret_id: str) -> Request:
    """Build DELETE /secrets/{id}. Raises MethodNotFound for what cannot be an id at Method."""
    return Request("delete", "DELETE", _path_of(secret_id, "delete"), _headers(api_key))


def list_page(api_key: SecretStr, *, cursor: str | None, limit: int) -> Request:
    """Build GET /secrets for the page at `cursor`, None for the first."""
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"a page has 1 to {MAX_PAGE} entries, not {limit}")
    query = {"page_limit": str(limit)} | ({} if cursor is None else {"page_cursor": cursor})
    return Request("list", "GET", f"/secrets?{urlencode(query)}", _headers(api_key), max_body=MAX_LIST_BODY)


def ping(api_key: SecretStr) -> Request:
    """Build GET /ping, which asks for nothing but tells whether API and key work."""
    return Request("ping", "GET", "/ping", _headers(api_key))


def _headers(api_key: SecretStr) -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # an answer that unpacks to gigabytes cannot come
        "Authorization": f"Bearer {api_key.get_secret_value()}",
        "Method-Version": METHOD_VERSION,
        "User-Agent": f"methodsecret-operator/{__version__}",
    }


def _path_of(secret_id: str, operation: Operation) -> str:
    # An id may come from a status that was edited by hand; it must not reach another path.
    if not is_secret_id(secret_id):
        raise errors.MethodNotFound(operation=operation, kind="invalid-id")
    return f"/secrets/{secret_id}"


# --- answers ----------------------------------------------------------------------------------------


def created(answer: Answer) -> Created:
    """Read the answer to a create; raises MethodError."""
    secret = _secret(_data("create", answer), "create", answer)
    return Created(
        secret=secret,
        replayed=_idem_status(answer) == "replayed",
        request_id=_request_id(answer),
    )


def retrieved(answer: Answer, secret_id: str) -> RemoteSecret:
    """Read the answer to a retrieve; raises MethodError, also where it is about another secret."""
    secret = _secret(_data("retrieve", answer), "retrieve", answer)
    if secret.id != secret_id:
        _unreadable("retrieve", answer)
    return secret


def deleted(answer: Answer) -> None:
    """Read the answer to a delete; raises MethodError. What a success carries does not matter."""
    if answer.body == b"" and _succeeded(answer):
        return
    _data("delete", answer)


def pinged(answer: Answer) -> None:
    """Read the answer to a ping; raises MethodError."""
    _data("ping", answer)


def listed(answer: Answer) -> Page:
    """Read a page of the list; raises MethodError."""
    entries = _data("list", answer)
    if not isinstance(entries, list):
        _unreadable("list", answer)
    secrets = tuple(found for entry in entries if (found := _read_secret(entry)) is not None)
    # A cursor that cannot be followed must not end the list: what was not seen would count as gone.
    cursor = answer.headers.get("pagination-page-cursor-next") or None
    if cursor is not None and _TOKEN.fullmatch(cursor) is None:
        _unreadable("list", answer)
    total = answer.headers.get("pagination-total-count", "")
    return Page(
        secrets=secrets,
        next_cursor=cursor,
        unreadable=len(entries) - len(secrets),
        total=int(total) if re.fullmatch(r"[0-9]{1,9}", total) else None,
        sent_at=_http_date(answer.headers.get("date", "")),
    )


def retry_after(header: str | None, *, now: float) -> float | None:
    """Return the seconds that a Retry-After asks for (a number or an HTTP date), None where it says nothing.

    `now` is the time of day in seconds since 1970. Clamped to 0 … 3600.
    """
    if header is None:
        return None
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", header, re.ASCII):
        seconds = float(header)
    else:
        moment = _http_date(header)
        if moment is None:
            return None
        seconds = moment.timestamp() - now
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _http_date(header: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" makes a naive time; HTTP dates are UTC in any case.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fail(operation: Operation, answer: Answer, *, now: float) -> None:
    """Raise the MethodError that an answer's HTTP status stands for; return if it is a success.

    `now` is the time of day in seconds since 1970, for a Retry-After that is a date.
    """
    if _succeeded(answer):
        return
    status = answer.status
    wait = retry_after(answer.headers.get("retry-after"), now=now)
    body = _json_object(answer)
    # Only the API itself can refuse a request or say that a secret is not there. A gateway's own page
    # says nothing: a secret would be taken for lost, a finalizer released, another key be used.
    refused = 400 <= status < 500 and status != 429  # noqa: PLR2004 - HTTP's own borders
    if refused and body is None and answer.body != b"":
        _unreadable(operation, answer, wait)
    kind: type[errors.MethodError]
    match status:
        case 401 | 403:
            kind = errors.MethodUnauthorized
        case 404:
            kind = errors.MethodNotFound
        case 429:
            kind = errors.MethodRateLimited
            wait = max(wait or 0.0, MIN_BLOCK)
        case 407 | 408 | 409 | 425:  # the proxy wants a password; or: not now
            kind = errors.MethodUnavailable
        case _ if 400 <= status < 500:  # noqa: PLR2004 - HTTP's own borders
            kind = errors.MethodRejected
        case _:
            kind = errors.MethodUnavailable
    raise kind(
        operation=operation,
        kind="http",
        status=status,
        request_id=_request_id(answer),
        idem_status=_idem_status(answer),
        retry_after=wait,
        sub_type=_sub_type(body),
    )


def _succeeded(answer: Answer) -> bool:
    return 200 <= answer.status < 300  # noqa: PLR2004 - HTTP's own borders


def _parse(answer: Answer) -> JsonValue:
    """Return the body as JSON; raises ValueError or RecursionError."""
    if answer.body is None:
        raise ValueError("not read")
    parsed: JsonValue = json.loads(answer.body.decode("utf-8"), parse_constant=_no_constant)
    return parsed


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _json_object(answer: Answer) -> dict[str, JsonValue] | None:
    try:
        body = _parse(answer)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _data(operation: Operation, answer: Answer) -> JsonValue:
    """Return what a success carries, out of its envelope where it has one.

    The documentation shows bare objects, the OpenAPI description {success, data, message}: both are read.
    """
    data: JsonValue = None
    readable = True
    try:
        data = _parse(answer)
    except (ValueError, RecursionError):
        readable = False
    if not readable:  # raised out here: no error of the parser, which quotes the body, hangs on it
        _unreadable(operation, answer)
    if not isinstance(data, dict):
        return data
    if data.get("success") is False or ("error" in data and "id" not in data):
        raise errors.MethodUnavailable(
            operation=operation,
            kind="refused",
            status=answer.status,
            request_id=_request_id(answer),
            idem_status=_idem_status(answer),
            sub_type=_sub_type(data),
        )
    return data.get("data") if "success" in data and "data" in data else data


def _secret(data: JsonValue, operation: Operation, answer: Answer) -> RemoteSecret:
    secret = _read_secret(data)
    if secret is None:
        _unreadable(operation, answer)
    return secret


def _read_secret(data: JsonValue) -> RemoteSecret | None:
    if not isinstance(data, dict):
        return None
    secret_id, status = data.get("id"), data.get("status")
    if not (isinstance(secret_id, str) and _ID.fullmatch(secret_id)):
        return None
    if not (isinstance(status, str) and _STATUS.fullmatch(status)):
        return None
    return RemoteSecret(
        id=secret_id,
        status=status,
        created_at=_time(data.get("created_at")),
        updated_at=_time(data.get("updated_at")),
        metadata=_metadata(data.get("metadata")),
    )


def _time(data: JsonValue) -> str | None:
    return data if isinstance(data, str) and _TIME.fullmatch(data) else None


def _metadata(data: JsonValue) -> Mapping[str, JsonValue] | None:
    if not isinstance(data, dict):
        return None
    try:
        # Lone surrogates cannot be written anywhere later; nor is there use for more than 16 KB.
        size = len(json.dumps(data, ensure_ascii=False).encode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return data if size <= _MAX_METADATA else None


def _request_id(answer: Answer) -> str | None:
    for name in ("request-id", "idem-request-id"):
        text = answer.headers.get(name, "")
        if len(text) <= 128 and _TOKEN.fullmatch(text):  # noqa: PLR2004 - longer than any kind of id
            return text
    return None


def _idem_status(answer: Answer) -> str | None:
    text = answer.headers.get("idem-status", "").lower()
    return text if text in _IDEM_STATUS else None


def _sub_type(body: dict[str, JsonValue] | None) -> str | None:
    """Return the API's own word for an error where it is one we know; both envelopes."""
    data = (body or {}).get("data")
    for holder in (data, body):
        error = holder.get("error") if isinstance(holder, dict) else None
        word = error.get("sub_type") if isinstance(error, dict) else None
        if isinstance(word, str) and word.upper() in _SUB_TYPES:
            return word.upper()
    return None


def _unreadable(operation: Operation, answer: Answer, wait: float | None = None) -> NoReturn:
    raise errors.MethodUnavailable(
        operation=operation,
        kind="unreadable",
        status=answer.status,
        request_id=_request_id(answer),
        idem_status=_idem_status(answer),
        retry_after=wait,
    )
