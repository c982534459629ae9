"""What is read from Secrets over HTTP, and which state each way of failing is."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.snapshot import Problem
from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata import PartialMetadata
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.runtime.sources import Sources
from tests.unit import gen
from tests.unit.runtime.kube_server import KubeServer

GET_VALUE = f"GET /api/v1/namespaces/{gen.NAMESPACE}/secrets/acme"
GET_KEY = f"GET /api/v1/namespaces/{gen.NAMESPACE}/secrets/method"
OWN = gen.method_secret(spec=gen.raw_spec(account=gen.own_account()))


class Row(NamedTuple):
    """What the Secret holds (None: there is none), and what is made of it."""

    reason: str
    data: dict[str, bytes] | None
    expected: Any


VALUES = [
    Row("text", {"api-key": b"value"}, gen.source("value")),
    Row("text as it is, newline included", {"api-key": "ä\n".encode()}, gen.source("ä\n")),
    Row("no Secret", None, Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND)),
    Row("no such key", {"b": b"x"}, Problem(Reason.SOURCE_KEY_NOT_FOUND, Sentence.SOURCE_KEY_NOT_FOUND)),
    Row("empty", {"api-key": b""}, Problem(Reason.INVALID_SOURCE, Sentence.SOURCE_EMPTY)),
    Row("not UTF-8", {"api-key": b"\xff"}, Problem(Reason.INVALID_SOURCE, Sentence.SOURCE_NOT_TEXT)),
]


@pytest.mark.parametrize("row", VALUES, ids=lambda row: row.reason)
async def test_a_value(kube: KubeClient, server: KubeServer, watch: MetadataWatch, row: Row) -> None:
    if row.data is not None:
        server.put_secret("acme", row.data)
    sources = Sources(kube=kube, watch=watch, selector=None)
    assert await sources.value(gen.method_secret()) == row.expected


async def test_without_a_watch_a_problem_is_looked_at_again(kube: KubeClient) -> None:
    found = await Sources(kube=kube, watch=None, selector=None).value(gen.method_secret())
    assert found == Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND, retry="backoff")


async def test_a_secret_that_may_not_be_read(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch
) -> None:
    server.faults[GET_VALUE] = [403]
    found = await Sources(kube=kube, watch=watch, selector=None).value(gen.method_secret())
    assert found == Problem(Reason.PENDING, Sentence.SOURCE_NOT_READABLE, retry="backoff")


async def test_a_server_in_trouble_is_no_state_of_the_object(kube: KubeClient, server: KubeServer) -> None:
    server.faults[GET_VALUE] = [503]
    with pytest.raises(KubeUnavailable):
        await Sources(kube=kube, watch=None, selector=None).value(gen.method_secret())


@pytest.mark.parametrize(("labels", "allowed"), [({"sync": "yes"}, True), ({}, False)])
async def test_only_labelled_secrets(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, labels: dict[str, str], *, allowed: bool
) -> None:
    server.put_secret("acme", {"api-key": b"value"}, labels=labels)
    found = await Sources(kube=kube, watch=watch, selector="sync=yes").value(gen.method_secret())
    refused = Problem(Reason.SOURCE_NOT_ALLOWED, Sentence.SOURCE_NOT_ALLOWED)
    assert found == (gen.source("value") if allowed else refused)


async def test_all_who_want_a_secret_at_once_share_a_read(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch
) -> None:
    server.put_secret("acme", {"api-key": b"value"})
    sources = Sources(kube=kube, watch=watch, selector=None)
    found = await asyncio.gather(*(sources.value(gen.method_secret()) for _ in range(20)))
    assert found == [gen.source("value")] * 20
    assert server.seen == [GET_VALUE] * 2, "the first one's, and one for all who came after it had begun"


def seen(watch: MetadataWatch, version: str) -> None:
    watch.put(PartialMetadata(gen.NAMESPACE, "method", gen.SECRET_UID, version, {}))


async def test_an_api_key_is_read_once_per_version(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch
) -> None:
    sources = Sources(kube=kube, watch=watch, selector=None)
    server.put_secret("method", {"token": b"sk_1\n"})
    seen(watch, gen.SECRET_VERSION)
    for _ in range(3):
        assert await sources.api_key(OWN) == SecretStr("sk_1")
    assert server.seen == [GET_KEY]
    server.put_secret("method", {"token": b"sk_2"}, version="9000")
    seen(watch, "9000")
    assert await sources.api_key(OWN) == SecretStr("sk_2")
    assert server.seen == [GET_KEY] * 2


@pytest.mark.parametrize("data", [{}, {"token": b""}, {"token": b" \n"}, {"token": b"\xff"}])
async def test_no_usable_api_key(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, data: dict[str, bytes]
) -> None:
    server.put_secret("method", data)
    found = await Sources(kube=kube, watch=watch, selector=None).api_key(OWN)
    assert found == Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_KEY_NOT_FOUND)


async def test_no_secret_with_an_api_key(kube: KubeClient, server: KubeServer, watch: MetadataWatch) -> None:
    sources = Sources(kube=kube, watch=watch, selector=None)
    assert await sources.api_key(OWN) == Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_NOT_FOUND)
    server.faults[GET_KEY] = [403]
    assert await sources.api_key(OWN) == Problem(
        Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_NOT_READABLE, retry="backoff"
    )


@pytest.mark.parametrize(("deleted", "problem"), [(True, None), (False, Sentence.CREDENTIALS_NOT_READABLE)])
async def test_a_namespace_that_goes_may_take_the_right_to_the_api_key_first(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, *, deleted: bool, problem: Sentence | None
) -> None:
    sources = Sources(kube=kube, watch=watch, selector=None)
    server.put_secret("method", {"token": b"sk_1"})
    await sources.api_key(OWN)
    server.faults[GET_KEY] = [403]
    spec = gen.raw_spec(account=gen.own_account())
    found = await sources.api_key(gen.method_secret(deleted=deleted, spec=spec))
    assert (found.sentence if isinstance(found, Problem) else None) == problem


async def test_an_api_key_that_nobody_asks_for_is_forgotten(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch
) -> None:
    sources = Sources(kube=kube, watch=watch, selector=None)
    server.put_secret("method", {"token": b"sk_1"})
    seen(watch, gen.SECRET_VERSION)
    for _ in range(3):
        await sources.api_key(OWN)
        sources.end_round()
    assert server.seen == [GET_KEY], "asked for in each round: kept"
    sources.end_round()
    sources.end_round()
    assert await sources.api_key(OWN) == SecretStr("sk_1")
    assert server.seen == [GET_KEY] * 2
