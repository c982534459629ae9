"""What the API answers: bodies in the envelope or bare, errors, and damaged answers. Pure.

Texts are fixed sentences plus names of fields and numbers: nothing that a client sent is repeated.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any, Final

JSON: Final = "application/json"


class Wire(enum.Enum):
    """How an answer's body is put on the wire."""

    WHOLE = "whole"
    TRUNCATED = "truncated"  # the promised length, half of the bytes, then the end of the connection
    HUGE = "huge"  # far more bytes than any client should read


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready to send and to be stored for replays."""

    status: int
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    secret_id: str | None = None  # for the request log
    wire: Wire = Wire.WHOLE
    size: int = 0  # bytes of a huge body


def success(
    data: object, *, envelope: bool, headers: dict[str, str] | None = None, secret_id: str | None = None
) -> Answer:
    """Return a 200 with `data`."""
    body = {"success": True, "data": data, "message": None} if envelope else data
    return Answer(200, _dumps(body), headers or {}, secret_id=secret_id)


def error(
    status: int,
    message: str,
    *,
    envelope: bool,
    kind: str | None = None,
    sub_type: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Return an error in Method's shape; type and sub_type follow from the status where not given."""
    default_kind, default_sub_type = _ERRORS.get(status, ("API_ERROR", "API_ERROR"))
    if status < 500 and status not in _ERRORS:  # noqa: PLR2004 - the first server error
        default_kind, default_sub_type = "INVALID_REQUEST", "INVALID_REQUEST"
    found = {
        "type": kind or default_kind,
        "code": status,
        "sub_type": sub_type or default_sub_type,
        "message": message,
    }
    body = {"success": False, "data": {"error": found}, "message": message} if envelope else {"error": found}
    return Answer(status, _dumps(body), headers or {})


_ERRORS: Final = {
    400: ("INVALID_REQUEST", "INVALID_REQUEST"),
    401: ("INVALID_AUTHORIZATION", "INVALID_AUTHORIZATION"),
    403: ("INVALID_AUTHORIZATION", "FORBIDDEN"),
    404: ("INVALID_REQUEST", "NOT_FOUND"),
    422: ("INVALID_REQUEST", "INVALID_REQUEST"),
    429: ("INVALID_REQUEST", "TOO_MANY_REQUESTS"),
}


def with_ids(answer: Answer | None, secret_id: str | None, *, envelope: bool) -> Answer:
    """Return a 200 whose secrets have `secret_id` in place of their ids, or no id at all (None)."""
    data: Any = {"metadata": None, "status": "active", "created_at": None, "updated_at": None}
    headers: dict[str, str] = {}
    if answer is not None and answer.status == 200:  # noqa: PLR2004 - the one success of this API
        data = json.loads(answer.body)
        data = data["data"] if envelope else data
        headers = answer.headers
    for secret in data if isinstance(data, list) else [data]:
        if isinstance(secret, dict):
            secret.pop("id", None)
            if secret_id is not None:
                secret["id"] = secret_id
    return success(data, envelope=envelope, headers=headers)


def html(status: int) -> Answer:
    """Return the page of a proxy that does not know what API it stands before."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
    )
    return Answer(status, page.encode(), content_type="text/html")


def garbage(status: int) -> Answer:
    """Return bytes that claim to be JSON and are neither JSON nor UTF-8."""
    return Answer(status, b'\x00\xff\xfe{"success":tr\x80ue,"data":[[[')


def empty(status: int) -> Answer:
    """Return an answer without a body."""
    return Answer(status, b"")


def _dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
