"""Reads that are shared: how many are made, how fresh each answer is, and that nothing is kept."""

from __future__ import annotations

import asyncio

from methodsecret_operator.errors import KubeNotFound
from methodsecret_operator.kube.wire import SecretObject
from methodsecret_operator.runtime.shared_reads import SharedReads


class Server:
    """A Secret whose version goes up when the test says so; a read sees the version at its begin."""

    def __init__(self) -> None:
        self.version = 1
        self.missing = False
        self.reads = 0
        self.gate = asyncio.Event()
        self.shared = SharedReads(self.read)

    async def read(self, namespace: str, name: str) -> SecretObject:
        self.reads += 1
        version, missing = self.version, self.missing
        await self.gate.wait()
        if missing:
            raise KubeNotFound(verb="get", what=f"secrets {namespace}/{name}", kind="http", status=404)
        return SecretObject(
            namespace=namespace,
            name=name,
            uid=f"uid of {name}",
            resource_version=str(version),
            labels={},
            data={},
        )

    def ask(self, name: str = "a") -> asyncio.Task[SecretObject]:
        return asyncio.create_task(self.shared.get("default", name))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_while_one_reads_share_the_next_read() -> None:
    server = Server()
    first = server.ask()
    await settle()
    server.version = 2
    others = [server.ask() for _ in range(31)]
    await settle()
    assert server.reads == 1
    server.gate.set()
    assert (await first).resource_version == "1"
    assert {(await one).resource_version for one in others} == {"2"}, "none gets what was on its way before"
    assert server.reads == 2
    assert not server.shared._lines, "no value is kept"


async def test_one_after_another_each_reads_anew() -> None:
    server = Server()
    server.gate.set()
    for version in (1, 2):
        server.version = version
        assert (await server.ask()).resource_version == str(version)
    assert server.reads == 2


async def test_who_comes_while_the_shared_read_is_under_way_waits_for_one_more() -> None:
    server = Server()
    first, second = server.ask(), server.ask()
    await settle()
    server.gate.set()
    await first
    server.gate.clear()
    await settle()
    server.version = 2
    third = server.ask()
    server.gate.set()
    assert [(await one).resource_version for one in (second, third)] == ["1", "2"]
    assert server.reads == 3


async def test_another_secret_is_another_read() -> None:
    server = Server()
    one, other = server.ask("a"), server.ask("b")
    await settle()
    assert server.reads == 2
    server.gate.set()
    assert [(await task).uid for task in (one, other)] == ["uid of a", "uid of b"]


async def test_a_failure_is_shared_as_an_answer_is() -> None:
    """Else a hundred who want what is not there ask one after another, each for as long as that takes."""
    server = Server()
    first = server.ask()
    await settle()
    server.missing = True
    others = [server.ask() for _ in range(31)]
    await settle()
    server.gate.set()
    assert (await first).resource_version == "1", "it asked before"
    found = await asyncio.gather(*others, return_exceptions=True)
    assert {type(one) for one in found} == {KubeNotFound}
    assert server.reads == 2
    assert not server.shared._lines


async def test_who_is_cancelled_while_reading_leaves_it_to_the_next() -> None:
    server = Server()
    first, second = server.ask(), server.ask()
    await settle()
    first.cancel()
    await settle()
    assert server.reads == 2
    server.gate.set()
    await second
    assert not server.shared._lines
