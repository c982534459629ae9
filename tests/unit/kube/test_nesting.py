"""Nothing that the kube-apiserver stores is too deep to be read, and what is cut is refused by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from methodsecret_operator.errors import SchemaError
from methodsecret_operator.kube import nesting
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime.cache import ObjectCache
from tests.unit import gen
from tests.unit.runtime.kube_server import connected

DEEPEST = 9_990
"""Levels of `spec.metadata` that a kube-apiserver 1.37.2 stores; at 10,000 its own parser refuses."""


def nested(levels: int, *, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


def depth(value: object) -> int:
    levels = 0
    while isinstance(value, dict | list) and value:
        value = next(iter(value.values() if isinstance(value, dict) else value))
        levels += 1
    return levels


class Row(NamedTuple):
    """A text, and how deep its JSON is read."""

    reason: str
    text: str
    levels: int


TABLE = [
    Row("flat", '{"a": 1}', 1),
    Row("as deep as is read", nested(nesting.DEPTH), nesting.DEPTH),
    Row("one level more is null", nested(nesting.DEPTH + 1), nesting.DEPTH),
    Row("as deep as can be stored", nested(DEEPEST), nesting.DEPTH),
    Row("arrays count as well", nested(DEEPEST, opening="[", closing="]"), nesting.DEPTH),
    Row("brackets in a text are text", json.dumps({"a": "[" * 2 * nesting.DEPTH}), 1),
    Row("so they are beside quotes and backslashes", json.dumps({"a": '"\\"[{' * 2 * nesting.DEPTH}), 1),
    Row("and a text that ends in a backslash ends", json.dumps(["\\", *["{"] * 2 * nesting.DEPTH]), 1),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_how_deep_is_read(row: Row) -> None:
    assert depth(nesting.loads(row.text)) == row.levels


def test_what_is_beside_the_deep_part_is_kept() -> None:
    deep = nested(DEEPEST)
    read = nesting.loads(f'{{"before": "]}}", "deep": {deep}, "also": [{deep}, 2], "after": {{"b": "{{"}}}}')
    assert depth(read.pop("deep")) == nesting.DEPTH - 1
    assert depth(read["also"].pop(0)) == nesting.DEPTH - 2
    assert read == {"before": "]}", "also": [2], "after": {"b": "{"}}


JSON = st.recursive(
    st.none() | st.booleans() | st.text('{}[]"\\a\n\u00e4') | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('{}[]"\\', max_size=3), inner),
    max_leaves=20,
)


@gen.EXAMPLES
@given(JSON)
def test_what_is_not_deep_is_read_as_it_is(value: object) -> None:
    # Many in one list, so that they are looked at more closely than by counting brackets.
    many = [value] * (nesting.DEPTH + 1)
    text = json.dumps(many)
    assert nesting.loads(text) == many
    assert nesting.cut(text) == text


@pytest.mark.parametrize("text", ["", "{", "[" * 500, "]" * 500, '{"a' * 500, '"\\' * 500])
def test_what_is_no_json_stays_none(text: str) -> None:
    with pytest.raises(ValueError, match="line 1 column"):
        nesting.loads(text)


def test_what_is_cut_is_refused_by_the_model_by_name() -> None:
    cache = ObjectCache(wake=lambda _: None)
    text = json.dumps(gen.raw_object(spec=gen.raw_spec(metadata={"deep": "HERE"})))
    cache.observe(nesting.loads(text.replace('"HERE"', nested(DEEPEST))))
    cache.observe(gen.raw_object(name="beside"))
    with pytest.raises(SchemaError, match=f"{gen.NAMESPACE}/{gen.NAME} .* in spec.metadata"):
        cache.get(f"{gen.NAMESPACE}/{gen.NAME}")
    assert cache.get(f"{gen.NAMESPACE}/beside") is not None


async def test_lists_and_watches_of_both_clients_are_read(tmp_path: Path) -> None:
    deep, flat = {"metadata": {"name": "deep"}, "spec": "HERE"}, {"metadata": {"name": "flat"}}
    listed = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [deep, flat]})
    events = "".join(json.dumps({"type": "ADDED", "object": item}) + "\n" for item in (flat, deep, flat))

    async def answer(request: web.Request) -> web.Response:
        text = events if request.query.get("watch") else listed
        return web.Response(text=text.replace('"HERE"', nested(DEEPEST)), content_type="application/json")

    async with connected(answer, tmp_path) as connection:
        items = [item async for item in KubeClient(connection).list_methodsecrets(None)]
        assert [item["metadata"]["name"] for item in items] == ["deep", "flat"]
        async with connection.new_session() as session:
            async with session.get(connection.server) as response:
                assert len((await response.json())["items"]) == 2
            async with session.get(connection.server, params={"watch": "true"}) as response:
                # In small pieces: a line may come in any number of them.
                text = b"".join([piece async for piece in response.content.iter_chunked(100)])
                names = [json.loads(line)["object"]["metadata"]["name"] for line in text.splitlines()]
                assert names == ["flat", "deep", "flat"]


async def test_what_is_not_wanted_is_left_out_of_lists_and_of_what_was_modified(tmp_path: Path) -> None:
    one, two = {"metadata": {"name": "one"}}, {"metadata": {"name": "two"}, "spec": "HERE"}
    listed = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [one, two]})
    told = [("ADDED", two), ("MODIFIED", two), ("MODIFIED", one), ("DELETED", two), ("BOOKMARK", two)]
    events = "".join(
        json.dumps({"type": kind, "object": item}, separators=(",", ":")) + "\n" for kind, item in told
    )

    async def answer(request: web.Request) -> web.Response:
        text = events if request.query.get("watch") else listed
        return web.Response(text=text.replace('"HERE"', nested(DEEPEST)), content_type="application/json")

    def wanted(item: Mapping[str, Any]) -> bool:
        return bool(item["metadata"]["name"] == "one")

    async with connected(answer, tmp_path) as connection, connection.new_session() as session:
        async with session.get(connection.server) as response:
            assert isinstance(response, nesting.ShallowResponse)
            response.wanted = wanted
            assert (await response.json())["items"] == [one]
        async with session.get(connection.server, params={"watch": "true"}) as response:
            assert isinstance(response, nesting.ShallowResponse)
            response.wanted = wanted
            lines = b"".join([piece async for piece in response.content.iter_chunked(100)]).splitlines()
    left = [(event["type"], event["object"]["metadata"]["name"]) for event in map(json.loads, lines)]
    assert left == [("ADDED", "two"), ("MODIFIED", "one"), ("DELETED", "two"), ("BOOKMARK", "two")]
