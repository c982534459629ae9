"""What Method documents of listing: pages, cursors and their headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.target import unwrapped

if TYPE_CHECKING:
    from tests.contract.target import MethodApi

_MOST_PAGES = 2_000


async def test_a_new_secret_is_listed_first(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    response = await method_api.request("GET", "/secrets")
    assert response.status_code == 200
    assert unwrapped(response)[0]["id"] == secret["id"]


async def test_the_headers_describe_the_page(method_api: MethodApi) -> None:
    for _ in range(3):
        await method_api.create_ok()
    response = await method_api.request("GET", "/secrets", params={"page_limit": 2})
    headers = response.headers
    total, count = int(headers["Pagination-Total-Count"]), int(headers["Pagination-Page-Count"])
    assert len(unwrapped(response)) == 2
    assert (headers["Pagination-Page"], headers["Pagination-Page-Limit"]) == ("1", "2")
    assert total >= 3
    assert count == -(-total // 2)


async def test_ten_are_listed_where_no_limit_is_asked_for(method_api: MethodApi) -> None:
    for _ in range(11):
        await method_api.create_ok()
    response = await method_api.request("GET", "/secrets")
    assert len(unwrapped(response)) == 10
    assert response.headers["Pagination-Page-Limit"] == "10"


async def test_numbered_pages_follow_each_other(method_api: MethodApi) -> None:
    made = [(await method_api.create_ok())["id"] for _ in range(4)]
    seen = []
    for page in (1, 2):
        response = await method_api.request("GET", "/secrets", params={"page": page, "page_limit": 2})
        assert response.headers["Pagination-Page"] == str(page)
        seen += [secret["id"] for secret in unwrapped(response)]
    assert seen == made[::-1]


async def test_cursors_visit_every_secret_once(method_api: MethodApi) -> None:
    made = {(await method_api.create_ok())["id"] for _ in range(5)}
    seen: list[str] = []
    cursor = None
    for _ in range(_MOST_PAGES):
        query = {"page_limit": 2} | ({"page_cursor": cursor} if cursor else {})
        response = await method_api.request("GET", "/secrets", params=query)
        assert response.status_code == 200
        seen += [secret["id"] for secret in unwrapped(response)]
        cursor = response.headers.get("Pagination-Page-Cursor-Next")
        if made <= set(seen) or not cursor:
            break
    assert len(seen) == len(set(seen))
    assert made <= set(seen)


async def test_the_last_page_has_no_next_cursor(method_api: MethodApi) -> None:
    await method_api.create_ok()
    response = await method_api.request("GET", "/secrets", params={"page_limit": 100})
    if int(response.headers["Pagination-Page-Count"]) == 1:
        cursor = response.headers.get("Pagination-Page-Cursor-Next")
        assert not cursor or cursor == "null"
        method_api.observe("next cursor on the last page", repr(cursor))


async def test_a_cursor_survives_the_deletion_of_its_secret(method_api: MethodApi) -> None:
    made = [(await method_api.create_ok())["id"] for _ in range(5)]
    first = await method_api.request("GET", "/secrets", params={"page_limit": 2})
    cursor = first.headers["Pagination-Page-Cursor-Next"]
    await method_api.request("DELETE", f"/secrets/{cursor}")
    response = await method_api.request("GET", "/secrets", params={"page_limit": 2, "page_cursor": cursor})
    method_api.observe("page_cursor of a deleted secret", str(response.status_code))
    if not method_api.live:
        rest = [secret["id"] for secret in unwrapped(response)]
        assert rest == [i for i in made[::-1] if i not in {s["id"] for s in unwrapped(first)} | {cursor}][:2]


async def test_page_and_cursor_exclude_each_other(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    response = await method_api.request("GET", "/secrets", params={"page": 1, "page_cursor": secret["id"]})
    assert response.status_code == 400


@pytest.mark.parametrize(
    "query", [{"page_limit": "101"}, {"page_limit": "0"}, {"page": "0"}, {"page": "x"}], ids=str
)
async def test_numbers_out_of_range(method_api: MethodApi, query: dict[str, str]) -> None:
    response = await method_api.request("GET", "/secrets", params=query)
    assert response.status_code in (200, 400, 422)
    method_api.observe(f"list with {query}", str(response.status_code))


async def test_whether_deleted_secrets_are_listed(method_api: MethodApi) -> None:
    secret = await method_api.create_ok()
    await method_api.request("DELETE", f"/secrets/{secret['id']}")
    listed = {
        s["id"]: s for s in unwrapped(await method_api.request("GET", "/secrets", params={"page_limit": 100}))
    }
    if secret["id"] in listed:
        assert listed[secret["id"]]["status"] == "deleted"
    method_api.observe("deleted secrets are listed", str(secret["id"] in listed))
