"""The wire format: what is sent byte for byte, and what becomes of every kind of answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, SecretStr

from methodsecret_operator import errors
from methodsecret_operator.core.remote import RemoteSecret
from methodsecret_operator.method import wire

KEY = SecretStr("sk_canary_key")
VALUE = SecretStr("canary-value")
SECRET = {
    "id": "sec_au22b1fbFrmfp",
    "status": "active",
    "metadata": {"team": "payments"},
    "created_at": "2025-12-04T18:50:54.024Z",
    "updated_at": "2025-12-04T18:50:54.024Z",
}
NOW = 1_800_000_000.0


def answer(body: object = b"", *, status: int = 200, **headers: str) -> wire.Answer:
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return wire.Answer(status, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}), raw)


def enveloped(data: object, *, success: bool = True) -> dict[str, object]:
    return {"success": success, "data": data, "message": None}


# --- requests ---------------------------------------------------------------------------------------


def test_create_is_these_bytes() -> None:
    request = wire.create(KEY, value=SecretStr('p"ä'), metadata={"b": 1, "a": None}, idempotency_key="0f6c-1")
    assert (request.method, request.path) == ("POST", "/secrets")
    assert request.body == b'{"metadata":{"a":null,"b":1},"value":"p\\"\\u00e4"}'
    assert request.headers["Authorization"] == "Bearer sk_canary_key"
    assert request.headers["Idempotency-Key"] == "0f6c-1"
    assert request.headers["Method-Version"] == "2026-03-30"
    assert request.headers["Accept-Encoding"] == "identity"


def test_a_repeated_create_is_the_same_bytes_whatever_the_order_of_metadata() -> None:
    orders: tuple[dict[str, JsonValue], ...] = (
        {"a": 1, "b": {"c": 2, "d": 3}},
        {"b": {"d": 3, "c": 2}, "a": 1},
    )
    one, other = (
        wire.create(KEY, value=VALUE, metadata=metadata, idempotency_key="k") for metadata in orders
    )
    assert one == other


def test_a_request_does_not_show_what_it_carries() -> None:
    request = wire.create(KEY, value=VALUE, metadata={}, idempotency_key="k")
    assert "canary" not in repr(request)


@pytest.mark.parametrize(
    ("cursor", "path"),
    [(None, "/secrets?page_limit=50"), ("sec_a&b", "/secrets?page_limit=50&page_cursor=sec_a%26b")],
)
def test_a_page_is_asked_for_by_cursor(cursor: str | None, path: str) -> None:
    assert wire.list_page(KEY, cursor=cursor, limit=50).path == path


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_has_at_most_what_the_api_allows(limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        wire.list_page(KEY, cursor=None, limit=limit)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "ä", "k" * 256])
def test_an_idempotency_key_that_cannot_be_one_is_a_mistake_of_ours(key: str) -> None:
    with pytest.raises(ValueError, match="idempotency key"):
        wire.create(KEY, value=VALUE, metadata={}, idempotency_key=key)


@pytest.mark.parametrize(
    ("secret_id", "reason"),
    [
        ("", "empty"),
        ("sec_", "nothing after the prefix"),
        ("sec_a/../../ping", "another path"),
        ("sec_a?x=1", "a query"),
        ("sec_ä", "a letter, but not ASCII"),
        ("sec_a\n", "a newline at the end, which `$` would let through"),
        ("acc_a", "another kind of thing"),
        ("sec_" + "a" * 252, "longer than any id"),
    ],
)
def test_what_cannot_be_an_id_is_not_found_without_asking(secret_id: str, reason: str) -> None:
    for build in (wire.retrieve, wire.delete):
        with pytest.raises(errors.MethodNotFound) as caught:
            build(KEY, secret_id)
        assert (caught.value.kind, caught.value.status) == ("invalid-id", None), reason


# --- answers that are a success ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (SECRET, "bare, as in the documentation's examples"),
        (enveloped(SECRET), "in the envelope of the OpenAPI description"),
        ({**SECRET, "colour": "blue", "success": True}, "fields that were added since"),
    ],
)
def test_a_secret_is_read_in_both_envelopes(body: object, reason: str) -> None:
    created = wire.created(answer(body, idem_status="Replayed", request_id="req-1"))
    assert created.secret == RemoteSecret(
        "sec_au22b1fbFrmfp",
        "active",
        "2025-12-04T18:50:54.024Z",
        "2025-12-04T18:50:54.024Z",
        {"team": "payments"},
    ), reason
    assert (created.replayed, created.request_id) == (True, "req-1")
    assert wire.retrieved(answer(body), "sec_au22b1fbFrmfp") == created.secret


@pytest.mark.parametrize(
    ("change", "attribute", "expected", "reason"),
    [
        ({"status": "quarantined"}, "status", "quarantined", "a status that was added since"),
        ({"created_at": 17}, "created_at", None, "a time that is no text is left out"),
        ({"updated_at": "x" * 65}, "updated_at", None, "a time that is no time is left out"),
        ({"metadata": None}, "metadata", None, "no metadata"),
        ({"metadata": ["a"]}, "metadata", None, "metadata that is no object"),
        ({"metadata": {"a": "\ud800"}}, "metadata", None, "metadata that cannot be written as UTF-8"),
        ({"metadata": {"a": "x" * 20_000}}, "metadata", None, "metadata longer than any"),
    ],
)
def test_odd_fields_do_not_hide_the_secret(
    change: dict[str, object], attribute: str, expected: object, reason: str
) -> None:
    secret = wire.created(answer(SECRET | change)).secret
    assert getattr(secret, attribute) == expected, reason


UNREADABLE: list[tuple[object, str]] = [
    (b"", "empty"),
    (None, "too long, or encoded: not read"),
    (b"<html>canary-value</html>", "HTML"),
    (b'{"id": "sec_a", "stat', "broken off"),
    (b'{"id": "sec_a", "status": "act\xff"}', "not UTF-8"),
    (b'{"id": "sec_a", "status": "active", "metadata": {"a": NaN}}', "not JSON"),
    (b"[" * 100_000, "nested without end"),
    (b"9" * 10_000, "a number without end"),
    ([], "a list"),
    ("sec_a", "a string"),
    (None, "null"),
    ({"status": "active"}, "no id"),
    ({"id": None, "status": "active"}, "an id that is null"),
    ({"id": ["sec_a"], "status": "active"}, "an id that is a list"),
    ({"id": "canary-value", "status": "active"}, "an id of another kind"),
    ({"id": "sec_a\u0660", "status": "active"}, "an id with a digit that is not ASCII"),
    ({"id": "sec_a\n", "status": "active"}, "an id with a newline"),
    ({"id": "sec_" + "a" * 300, "status": "active"}, "an id too long"),
    ({"id": "sec_a"}, "no status"),
    ({"id": "sec_a", "status": 1}, "a status that is no text"),
    ({"id": "sec_a", "status": "canary value\n"}, "a status that is no word"),
    (enveloped(None), "an envelope around nothing"),
    (enveloped([SECRET]), "an envelope around a list"),
]


@pytest.mark.parametrize(("body", "reason"), UNREADABLE)
def test_an_answer_that_is_no_secret_is_unreadable(body: object, reason: str) -> None:
    for read in (wire.created, lambda a: wire.retrieved(a, "sec_a")):
        with pytest.raises(errors.MethodUnavailable) as caught:
            read(answer(body))
        assert (caught.value.kind, caught.value.status) == ("unreadable", 200), reason
        assert not caught.value.definite, reason
        assert caught.value.__context__ is None, reason


def test_a_retrieve_that_answers_with_another_secret_is_unreadable() -> None:
    with pytest.raises(errors.MethodUnavailable, match="unreadable"):
        wire.retrieved(answer(SECRET), "sec_other")


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "data": {"error": {"sub_type": "INVALID_REQUEST", "message": "canary-value"}}},
        {"success": False, "data": SECRET, "message": "canary-value"},
        {"error": {"sub_type": "invalid_request", "message": "canary-value"}},
    ],
)
def test_a_2xx_that_says_no_is_no_success(body: object) -> None:
    for read in (wire.created, wire.deleted, wire.pinged, wire.listed):
        with pytest.raises(errors.MethodUnavailable) as caught:
            read(answer(body, idem_status="stored"))
        assert caught.value.kind == "refused"
        assert caught.value.definite, "stored under the key: it will never become a success"
        assert "canary" not in repr(vars(caught.value)) + str(caught.value)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", enveloped(None), enveloped({"anything": 1}), SECRET])
def test_a_delete_succeeds_whatever_a_200_carries(body: object) -> None:
    wire.deleted(answer(body))


def test_a_page_of_html_is_no_delete() -> None:
    with pytest.raises(errors.MethodUnavailable):
        wire.deleted(answer(b"<html>Sign in to the network</html>"))


# --- lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [enveloped, lambda data: data])
def test_a_page_skips_and_counts_what_cannot_be_read(wrap: Any) -> None:  # noqa: ANN401 - two ways to wrap
    page = wire.listed(
        answer(
            wrap([SECRET, {"id": "acc_1"}, None, SECRET | {"id": "sec_b", "status": "deleted"}]),
            Pagination_Page_Cursor_Next="sec_b",
            Pagination_Total_Count="240",
        )
    )
    assert [s.id for s in page.secrets] == ["sec_au22b1fbFrmfp", "sec_b"]
    assert (page.next_cursor, page.unreadable, page.total) == ("sec_b", 2, 240)


@pytest.mark.parametrize(
    ("date", "seconds", "reason"),
    [
        ("Mon, 04 May 2026 07:00:00 GMT", 1777878000, "as HTTP writes it"),
        ("Mon, 04 May 2026 07:00:00 -0000", 1777878000, "no zone: HTTP dates are UTC"),
        ("today", None, "no date"),
        ("", None, "none"),
    ],
)
def test_a_page_tells_the_apis_time_of_day(date: str, seconds: int | None, reason: str) -> None:
    sent_at = wire.listed(answer([], Date=date)).sent_at
    assert (None if sent_at is None else sent_at.timestamp()) == seconds, reason


def test_a_page_without_headers_is_the_last() -> None:
    assert wire.listed(answer([])) == wire.Page((), None, 0, None)


def test_a_cursor_that_cannot_be_followed_does_not_end_the_list() -> None:
    with pytest.raises(errors.MethodUnavailable, match="unreadable"):
        wire.listed(answer([SECRET], Pagination_Page_Cursor_Next="two words"))


# --- answers that are errors ------------------------------------------------------------------------

ERROR = {
    "success": False,
    "data": {"error": {"type": "invalid_request", "sub_type": "forbidden", "message": "canary-value"}},
}


@pytest.mark.parametrize(
    ("status", "error", "definite", "reason"),
    [
        (400, errors.MethodRejected, True, "the request is wrong"),
        (401, errors.MethodUnauthorized, True, "the key is wrong"),
        (403, errors.MethodUnauthorized, True, "the key may not"),
        (404, errors.MethodNotFound, True, "not there"),
        (405, errors.MethodRejected, True, "any other 4xx"),
        (407, errors.MethodUnavailable, True, "the proxy wants a password: says nothing of the object"),
        (408, errors.MethodUnavailable, False, "it waited for the request too long"),
        (409, errors.MethodUnavailable, False, "the same key is being worked on"),
        (413, errors.MethodRejected, True, "too large"),
        (422, errors.MethodRejected, True, "the request is wrong"),
        (425, errors.MethodUnavailable, False, "too early"),
        (429, errors.MethodRateLimited, False, "too many"),
        (301, errors.MethodUnavailable, False, "redirects are not followed"),
        (304, errors.MethodUnavailable, False, "nothing was cached"),
        (500, errors.MethodUnavailable, False, "may have been done"),
        (503, errors.MethodUnavailable, False, "may have been done"),
        (599, errors.MethodUnavailable, False, "unknown"),
    ],
)
@pytest.mark.parametrize("body", [ERROR, ERROR["data"]])
def test_each_status_is_one_error(
    status: int, error: type[errors.MethodError], reason: str, body: object, *, definite: bool
) -> None:
    with pytest.raises(errors.MethodError) as caught:
        wire.fail("create", answer(body, status=status, request_id="req-1"), now=NOW)
    failure = caught.value
    assert type(failure) is error, reason
    assert (failure.kind, failure.status, failure.request_id) == ("http", status, "req-1")
    assert failure.definite is definite, reason
    assert failure.sub_type == "FORBIDDEN"
    assert "canary" not in f"{vars(failure)!r}{failure}"


@pytest.mark.parametrize("status", [400, 422, 500, 503])
def test_an_error_stored_under_the_key_is_definite(status: int) -> None:
    with pytest.raises(errors.MethodError) as caught:
        wire.fail("create", answer(ERROR, status=status, idem_status="stored"), now=NOW)
    assert caught.value.definite


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("body", [b"<html>Blocked by the firewall</html>", None, b"[1]", b'"no"'])
def test_only_the_api_itself_can_say_that_a_key_is_refused_or_a_secret_gone(
    status: int, body: object
) -> None:
    with pytest.raises(errors.MethodUnavailable) as caught:
        wire.fail("retrieve", answer(body, status=status), now=NOW)
    assert (caught.value.kind, caught.value.status) == ("unreadable", status)
    assert not caught.value.definite


@pytest.mark.parametrize(
    ("sub_type", "expected"),
    [("IDEMPOTENCY_UNAVAILABLE", "IDEMPOTENCY_UNAVAILABLE"), ("canary-value", None), (7, None)],
)
def test_only_documented_words_are_passed_on(sub_type: object, expected: str | None) -> None:
    with pytest.raises(errors.MethodUnavailable) as caught:
        wire.fail("create", answer({"error": {"sub_type": sub_type}}, status=503), now=NOW)
    assert caught.value.sub_type == expected


@pytest.mark.parametrize(
    ("headers", "request_id", "idem_status"),
    [
        ({"Request_Id": "a b"}, None, None),
        ({"Request_Id": "x" * 129, "idem_request_id": "req-2"}, "req-2", None),
        ({"idem_status": "canary"}, None, None),
        ({"idem_status": "Bypassed"}, None, "bypassed"),
    ],
)
def test_headers_for_logs_are_ids_and_known_words(
    headers: dict[str, str], request_id: str | None, idem_status: str | None
) -> None:
    with pytest.raises(errors.MethodUnavailable) as caught:
        wire.fail("create", answer(status=500, **headers), now=NOW)
    assert (caught.value.request_id, caught.value.idem_status) == (request_id, idem_status)


@pytest.mark.parametrize(
    ("header", "seconds", "reason"),
    [
        (None, None, "not sent"),
        ("90", 90.0, "seconds"),
        (" 90 ", 90.0, "white space"),
        ("0", 0.0, "at once"),
        ("-5", None, "no number of seconds"),
        ("1e9", None, "no number of seconds"),
        ("999999", 3600.0, "more than an hour is a mistake"),
        ("9" * 5000, None, "a number without end"),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0, "a date"),
        ("Fri, 15 Jan 2027 08:02:00 -0000", 120.0, "a date in UTC, written without a zone"),
        ("Fri, 15 Jan 2021 08:02:00 GMT", 0.0, "a date that is past"),
        ("Fri, 15 Jan 2100 08:02:00 GMT", 3600.0, "a date too far away"),
        ("Fri, 99 Foo 2027", None, "no date"),
        ("soon", None, "a word"),
    ],
)
def test_retry_after_in_both_forms(header: str | None, seconds: float | None, reason: str) -> None:
    assert wire.retry_after(header, now=NOW) == seconds, reason


@pytest.mark.parametrize(
    ("header", "seconds", "reason"),
    [
        ("5", 60.0, "the API blocks for 60 s, whatever it says"),
        ("90", 90.0, "longer"),
        ("?", 60.0, "unreadable"),
    ],
)
def test_a_429_is_waited_out_for_a_minute_at_least(header: str, seconds: float, reason: str) -> None:
    with pytest.raises(errors.MethodRateLimited) as caught:
        wire.fail("create", answer(b"<html>", status=429, Retry_After=header), now=NOW)
    assert caught.value.retry_after == seconds, reason


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "status", "metadata", "success", "data", "error", "created_at", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(
    body=st.binary(max_size=200) | _JSON.map(lambda data: json.dumps(data).encode()),
    status=st.integers(100, 599),
)
def test_whatever_comes_is_an_object_of_ours_or_an_error_of_ours(body: bytes, status: int) -> None:
    got = answer(body, status=status)
    for read in (wire.created, wire.listed, wire.deleted, wire.pinged):
        try:
            wire.fail("create", got, now=NOW)
            found = read(got)
        except errors.MethodError:
            continue
        if isinstance(found, wire.Created):
            assert wire.is_secret_id(found.secret.id)
