"""What Method documents of creating, reading, listing and deleting secrets, one test per sentence."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.contract.target import SECRET_ID, error_of, unwrapped

if TYPE_CHECKING:
    from tests.contract.target import MethodApi

UNKNOWN_ID = "sec_0000000000000"


async def test_ping_answers_200(method_api: MethodApi) -> None:
    assert (await method_api.request("GET", "/ping")).status_code == 200


async def test_create_answers_200_with_the_secret_and_not_its_value(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    assert SECRET_ID.fullmatch(secret["id"])
    assert secret["status"] == "active"
    assert secret["metadata"] == method_api.metadata()
    assert "value" not in secret
    for name in ("created_at", "updated_at"):
        assert datetime.fromisoformat(secret[name]).tzinfo is not None


async def test_metadata_comes_back_as_it_was_sent(method_api: MethodApi) -> None:
    metadata = method_api.metadata(text="ä “quoted” \\ 雪", nested={"list": [1, 2.5, True]}, empty="")
    secret = await method_api.create_ok({"value": method_api.new_value(), "metadata": metadata})
    assert secret["metadata"] == metadata
    assert unwrapped(await method_api.request("GET", f"/secrets/{secret['id']}"))["metadata"] == metadata


@pytest.mark.parametrize("extra", [{}, {"metadata": None}], ids=["absent", "null"])
async def test_metadata_is_optional(method_api: MethodApi, extra: dict[str, object]) -> None:
    secret = await method_api.create_ok({"value": method_api.new_value(), **extra})
    assert not secret["metadata"]
    method_api.observe("metadata of a secret created without", repr(secret["metadata"]))


async def test_equal_values_are_two_secrets(method_api: MethodApi) -> None:
    value = method_api.new_value()
    body = {"value": value, "metadata": method_api.metadata()}
    assert (await method_api.create_ok(body))["id"] != (await method_api.create_ok(body))["id"]


async def test_retrieve_answers_what_create_answered(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    response = await method_api.request("GET", f"/secrets/{secret['id']}")
    assert response.status_code == 200
    found = unwrapped(response)
    assert (found["id"], found["status"], found["created_at"]) == (
        secret["id"],
        "active",
        secret["created_at"],
    )


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_id_is_404(method_api: MethodApi, method: str) -> None:
    response = await method_api.request(method, f"/secrets/{UNKNOWN_ID}")
    assert response.status_code == 404
    assert error_of(response)["sub_type"].upper() == "NOT_FOUND"


async def test_an_id_that_is_none_is_refused(method_api: MethodApi) -> None:
    response = await method_api.request("GET", "/secrets/acc_123-456")
    assert response.status_code in (400, 404)
    method_api.observe("GET of an id without sec_", str(response.status_code))


async def test_delete_answers_200_without_data(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    response = await method_api.request("DELETE", f"/secrets/{secret['id']}")
    assert response.status_code == 200
    assert unwrapped(response) is None


async def test_a_deleted_secret_is_404_or_says_deleted(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    await method_api.request("DELETE", f"/secrets/{secret['id']}")
    response = await method_api.request("GET", f"/secrets/{secret['id']}")
    if response.status_code == 200:
        assert unwrapped(response)["status"] == "deleted"
    else:
        assert response.status_code == 404
    method_api.observe("GET of a deleted secret", str(response.status_code))


async def test_a_second_delete_does_no_harm(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    await method_api.request("DELETE", f"/secrets/{secret['id']}")
    response = await method_api.request("DELETE", f"/secrets/{secret['id']}")
    assert response.status_code in (200, 404)
    method_api.observe("second DELETE", str(response.status_code))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "value is required"),
        ({"value": None}, "value is a string"),
        ({"value": 12}, "value is a string"),
        ({"value": "x", "metadata": "text"}, "metadata is an object or null"),
        ({"value": "x", "metadata": {"big": "m" * 1100}}, "metadata is smaller than 1 KB"),
    ],
    ids=["no value", "null value", "number", "metadata text", "metadata too large"],
)
async def test_an_invalid_body_is_400_or_422(method_api: MethodApi, body: object, reason: str) -> None:
    response = await method_api.create(body)
    assert response.status_code in (400, 422), reason
    error = error_of(response)
    assert error["type"].upper() == "INVALID_REQUEST", reason
    method_api.observe(f"refusal where {reason}", str(response.status_code))


async def test_a_body_that_is_no_json_is_refused(method_api: MethodApi) -> None:
    response = await method_api.request(
        "POST", "/secrets", content=b'{"value": ', headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)


@pytest.mark.parametrize("authorization", ["", "Bearer sk_not_a_key_of_anybody"], ids=["none", "unknown"])
async def test_without_a_good_api_key_it_is_401(method_api: MethodApi, authorization: str) -> None:
    for path in ("/secrets", "/ping"):
        response = await method_api.request("GET", path, headers={"Authorization": authorization})
        assert response.status_code == 401, path
        assert error_of(response)["type"].upper() == "INVALID_AUTHORIZATION"


async def test_a_wrong_method_version_is_400(method_api: MethodApi) -> None:
    response = await method_api.request("GET", "/secrets", headers={"Method-Version": "1999-01-01"})
    assert response.status_code == 400


async def test_without_a_method_version(method_api: MethodApi) -> None:
    del method_api.client.headers["Method-Version"]
    response = await method_api.request("GET", "/secrets")
    assert response.status_code in (200, 400)
    method_api.observe("no Method-Version header", str(response.status_code))
    method_api.client.headers["Method-Version"] = "2026-03-30"


async def test_every_answer_names_its_request(method_api: MethodApi) -> None:
    answers = [
        await method_api.create(),
        await method_api.request("GET", "/secrets"),
        await method_api.request("GET", f"/secrets/{UNKNOWN_ID}"),
    ]
    assert all(answer.headers.get("Request-Id") for answer in answers)


async def test_large_and_unicode_values_are_taken(method_api: MethodApi) -> None:
    for size in (1_000, 65_536):
        body = {"value": method_api.new_value() + "ü" * size, "metadata": method_api.metadata()}
        status = (await method_api.create(body)).status_code
        method_api.observe(f"value of {size} characters beyond ASCII", str(status))
        assert status in (200, 400, 413, 422)
