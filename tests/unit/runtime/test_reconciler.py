"""One look after another: what one leaves to the next, with Method emulated over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator.core.resource import FINALIZER, MethodSecret
from methodsecret_operator.core.snapshot import Problem, SourceValue
from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata import PartialMetadata
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.method.accounts import Accounts, Tier
from methodsecret_operator.runtime import metrics
from methodsecret_operator.runtime.announce import Announcer
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.gather import Cluster, Gatherer
from methodsecret_operator.runtime.publications import Publications
from methodsecret_operator.runtime.reconciler import Reconciler
from methodsecret_operator.runtime.sources import Sources
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import SERVED, KubeServer

KEY = f"{gen.NAMESPACE}/{gen.NAME}"
PATH = f"{SERVED}/namespaces/{gen.NAMESPACE}/methodsecrets/{gen.NAME}"
GET_SECRET = f"GET /api/v1/namespaces/{gen.NAMESPACE}/secrets/acme"


class World:
    """A reconciler between a kube-apiserver that holds the object and its Secret, and an emulated Method."""

    def __init__(
        self, kube: KubeClient, server: KubeServer, watch: MetadataWatch, accounts: Accounts, url: str
    ) -> None:
        self.woken: list[str] = []
        self.now = gen.NOW
        self.server = server
        self.watch = watch
        self.cache = ObjectCache(wake=self.woken.append)
        gatherer = Gatherer(
            cluster=Cluster(name=gen.CLUSTER, digest_key=gen.KEY),
            accounts=accounts,
            default_key=DefaultKey(api_key=API_KEY, path=None),
            sources=Sources(kube=kube, watch=watch, selector=None),
            default_environment="production",
            default_namespaces=(),
            base_url_for=lambda _environment: url,
            clock=lambda: self.now,
            kube=kube,
            named_by_other=lambda _id, _key: False,
            namespaces=(),
            publications=Publications(connection=kube._connection, namespaces=(), wake=self.woken.append),
            deletion_timeout=300.0,
        )
        self.reconciler = Reconciler(
            cache=self.cache,
            kube=kube,
            gatherer=gatherer,
            announcer=Announcer(kube=kube, instance="test", clock=lambda: gen.NOW),
        )
        server.put_secret("acme", {"api-key": gen.CANARY.encode()})
        self.see_secret()

    def see_secret(self, *, uid: str = gen.SECRET_UID, version: str = gen.SECRET_VERSION) -> None:
        """Let the watch have the Secret in this version."""
        self.watch.put(PartialMetadata(gen.NAMESPACE, "acme", uid, version, {}))

    def put(self, raw: dict[str, Any]) -> None:
        """Let the server hold the object so, and the watch tell of it."""
        self.server.documents[PATH] = raw
        self.cache.observe(raw)
        self.woken.clear()

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.documents[PATH]["status"]
        return status


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with running_emulator() as emulator:
        yield emulator


@asynccontextmanager
async def limited(
    *, writes_per_minute: int = 1800, waited: Callable[[Tier, float], None] = lambda _tier, _seconds: None
) -> AsyncIterator[Accounts]:
    accounts = Accounts(writes_per_minute=writes_per_minute, reads_per_minute=6000, waited=waited)
    try:
        yield accounts
    finally:
        await accounts.aclose()


def namespace_goes(server: KubeServer) -> None:
    """Let the object's namespace be terminating."""
    namespace = {"metadata": {"name": gen.NAMESPACE, "uid": "u", "deletionTimestamp": gen.EARLIER}}
    server.documents[f"/api/v1/namespaces/{gen.NAMESPACE}"] = namespace


async def test_a_create_that_was_held_is_none(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Nothing was sent, so nothing is to be settled: no create is open, in the status or in memory."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        client = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client
        client._silent.add("create")
        client._under_way["create"] += 1
        await here.reconciler.reconcile(KEY)
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert ready["reason"] == "MethodUnavailable"
        assert "pending" not in here.status
        assert here.reconciler._memories[KEY][1].attempt is None
        client._under_way["create"] -= 1
        await here.reconciler.reconcile(KEY)
        assert here.status["id"].startswith("sec_")
        assert await emulator.control.count("create") == 1


async def test_a_doubt_outlives_the_wait_for_a_turn(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """A status that says all is well must not end what was begun because it is not."""
    key = API_KEY.get_secret_value()
    [gone] = await emulator.control.seed(metadata=dict(gen.marker()), status="deleted", api_key=key)
    async with limited(writes_per_minute=1) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status(id=gone)))
        account = await accounts.account(base_url=emulator.url, api_key=API_KEY)
        await account.inventory.ready()
        taken = account.client.writes.try_acquire()
        assert taken is not None
        here.reconciler.doubt(KEY)
        await here.reconciler.reconcile(KEY)
        assert here.status["id"] == gone  # somebody else has the only turn there is
        taken.release()
        await here.reconciler.reconcile(KEY)
        assert here.status["id"] != gone


async def test_what_came_while_an_id_was_not_written_is_looked_at_after_it(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        server.faults[f"PATCH {PATH}/status"] = [503]
        with pytest.raises(KubeUnavailable):
            await here.reconciler.reconcile(KEY)
        here.put(gen.raw_object(version=101, generation=2, spec=gen.raw_spec(metadata={"team": "x"})))
        assert await here.reconciler.reconcile(KEY) == 0.0
        first = here.status["id"]
        assert here.status["observedGeneration"] == 1
        await here.reconciler.reconcile(KEY)
        assert here.status["id"] != first
        assert here.status["observedGeneration"] == 2


async def test_a_refused_look_at_a_replayed_secret_is_no_failure_of_its_create(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The create is still open: another idempotency key would make a second secret."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        await emulator.control.add_fault("create", "reset_after")
        await here.reconciler.reconcile(KEY)
        await emulator.control.add_fault("retrieve", "status", status=401)
        await here.reconciler.reconcile(KEY)
        assert here.status["conditions"][0]["reason"] == "Unauthorized"
        await here.reconciler.reconcile(KEY)
        [stored] = await emulator.control.secrets()
        assert here.status["id"] == stored["id"]


async def test_a_deletion_is_not_let_go_by_one_refusal_after_an_outage(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The time-out of 300 s, which the outage has outlasted, counts from the first refusal."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        finalizers, spec = (FINALIZER,), gen.raw_spec(deletionPolicy="Delete")
        status = gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=finalizers, spec=spec, status=status))
        here.now += timedelta(hours=1)  # Method was away
        await emulator.control.change_settings(api_keys={"sk_another": "a"})
        for seconds, kept in ((0, True), (299, True), (1, False)):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert bool(server.documents[PATH]["metadata"]["finalizers"]) is kept, seconds


async def test_a_deletion_ends_where_the_api_key_may_read_and_not_delete(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """That it is asked before each DELETE, and answers, does not make the key good for it."""
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=API_KEY.get_secret_value())
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        await emulator.control.add_fault("delete", "status", status=403, count=None)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        for seconds, finalizers in ((0, [FINALIZER]), (299, [FINALIZER]), (1, [])):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert server.documents[PATH]["metadata"]["finalizers"] == finalizers, seconds


async def test_an_object_of_another_versions_schema_is_deleted_with_what_it_names(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    key = API_KEY.get_secret_value()
    [current, former] = await emulator.control.seed(2, metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec = {"deletionPolicy": "Delete", "valueFrom": {"vaultRef": {"path": "x"}}}
        status = gen.raw_ready_status(id=current, superseded=[{"id": former, "supersededFor": "7d"}])
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []
        assert {one["id"]: one["status"] for one in await emulator.control.secrets()} == {
            current: "deleted",
            former: "deleted",
        }


async def test_an_account_of_another_versions_schema_holds_it_until_it_is_read(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        account = gen.own_account("staging")
        spec = gen.raw_spec(deletionPolicy="Delete", account=account)
        here.put(
            gen.raw_object(
                deleted=True, finalizers=(FINALIZER,), spec=spec, status=gen.raw_ready_status(source=7)
            )
        )
        for _ in range(3):
            assert await here.reconciler.reconcile(KEY) == 60.0
            here.now += timedelta(hours=1)
            assert server.documents[PATH]["metadata"]["finalizers"] == [FINALIZER]
            assert len(server.patched) == 1, "no write for each look"
        assert here.status["source"] == 7, "what was not read is left as it was"
        assert here.status["conditions"][0]["reason"] == "CredentialsNotFound"
        namespace_goes(server)
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []


@pytest.mark.parametrize("status", [403, 422])
async def test_a_former_secret_that_may_not_be_deleted_does_no_harm_to_the_one_in_use(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, status: int
) -> None:
    key = API_KEY.get_secret_value()
    marker = dict(gen.marker())
    [current, first, second] = await emulator.control.seed(3, metadata=marker, api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        superseded = [
            {"id": former, "supersededAt": gen.EARLIER, "deleting": True} for former in (first, second)
        ]
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=current, superseded=superseded)))
        here.cache.trust(KEY)
        await emulator.control.add_fault("delete", "status", status=status)
        assert await here.reconciler.reconcile(KEY) == "resync"
        assert here.status["conditions"][0]["reason"] == "Synced"
        assert [entry["id"] for entry in here.status["superseded"]] == [first]
        assert await emulator.control.count("delete") == 2, "the others are not held up by it"
        await here.reconciler.reconcile(KEY)
        assert "superseded" not in here.status


@pytest.mark.parametrize("status", [401, 503])
async def test_what_is_no_refusal_of_that_deletion_is_said(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, status: int
) -> None:
    key = API_KEY.get_secret_value()
    [current, former] = await emulator.control.seed(2, metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        superseded = [{"id": former, "supersededAt": gen.EARLIER, "deleting": True}]
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=current, superseded=superseded)))
        here.cache.trust(KEY)
        await emulator.control.add_fault("delete", "status", status=status)
        await here.reconciler.reconcile(KEY)
        assert here.status["conditions"][0]["reason"] in {"Unauthorized", "MethodUnavailable"}


async def test_a_secret_made_anew_that_the_watch_has_not_told_of_is_read_once(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The watch may be away for long: what it had is older, so nothing is to be waited for."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.see_secret(uid="the former one's", version=str(int(gen.SECRET_VERSION) - 1))
        here.put(gen.raw_object())
        await here.reconciler.reconcile(KEY)
        assert here.status["conditions"][0]["reason"] == "Synced"
        assert server.seen.count(GET_SECRET) == 1
        assert here.woken == []


# --- applied anew -----------------------------------------------------------------------------------

ANEW = "0b0c7b0e-5555-4222-8333-944444444444"


def anew(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - as in gen.raw_object
    """Return another object by that name, as it is right after it was applied."""
    return gen.raw_object(uid=ANEW, version=200, **changed)


@pytest.mark.parametrize("seen", ["while its create is on its way", "after that", "as deleted, then as new"])
async def test_a_create_of_unknown_outcome_is_looked_for_when_its_object_is_applied_anew(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, seen: str
) -> None:
    """The new uid makes another idempotency key: only a list from after that tells what was made."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        held = await emulator.control.add_fault("create", "hang", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        if seen == "while its create is on its way":
            here.put(anew())
        await emulator.control.release(held)
        await looking
        if seen == "as deleted, then as new":
            here.cache.forget(server.documents.pop(PATH))
            await here.reconciler.reconcile(KEY)
        if seen != "while its create is on its way":
            here.put(anew())
        await here.reconciler.reconcile(KEY)
        [stored] = await emulator.control.secrets()
        assert (here.status["id"], await emulator.control.count("create")) == (stored["id"], 1)
        assert await emulator.control.count("list") == 2  # one for all, and one for what was let go


async def test_an_opinion_on_an_older_status_is_not_written_over_a_newer_one(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Another operator writes while our GET of the value is under way, and the watch tells of it at once."""
    in_use, due, going = await emulator.control.seed(
        3, metadata=dict(gen.marker()), api_key=API_KEY.get_secret_value()
    )
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        former = [
            {"id": due, "revision": gen.revision(value="due"), "supersededAt": gen.EARLIER},
            {"id": going, "revision": OTHER, "supersededAt": gen.EARLIER, "deleting": True},
        ]
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=in_use, superseded=former[:1])))
        here.cache.trust(KEY)
        sources = here.reconciler._gatherer.sources
        read = sources.value

        async def value(obj: MethodSecret) -> SourceValue | Problem:
            got = await read(obj)
            if obj.metadata.resource_version == "100":
                newer = gen.raw_ready_status(id=in_use, superseded=former)
                here.put(gen.raw_object(version=101, spec=spec, status=newer))
            return got

        sources.value = value  # type: ignore[method-assign]  # the moment is in between
        await here.reconciler.reconcile(KEY)
        assert here.status["superseded"] == former
        assert here.woken == [KEY], "another opinion is formed"


async def test_what_was_found_of_an_object_is_not_said_of_its_successor(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The new one may ask for something else, and would be called Synced with what it does not want."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        held = await emulator.control.add_fault("create", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        here.put(anew(spec=gen.raw_spec(metadata={"team": "x"})))
        await emulator.control.release(held)
        await looking
        assert "id" not in here.status
        await here.reconciler.reconcile(KEY)
        assert here.status["source"]["revision"] == gen.revision(metadata={"team": "x"})


async def test_what_was_to_be_deleted_is_not_taken_again_from_a_replay(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Its DELETE may have been sent and come any moment; here Method refuses it when it is sent once more."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        await here.reconciler.reconcile(KEY)
        first = here.status["id"]
        [other] = await emulator.control.seed(
            metadata=dict(gen.marker(revision=gen.revision(value="former"))),
            api_key=API_KEY.get_secret_value(),
        )
        condemned = {"id": first, "revision": gen.revision(), "supersededAt": gen.EARLIER, "deleting": True}
        status = gen.raw_ready_status(id=other, source=OLD_SOURCE, superseded=[condemned])
        here.put(gen.raw_object(version=200, status=status))
        here.cache.trust(KEY)
        await emulator.control.add_fault("delete", "status", status=403, count=None)
        while await here.reconciler.reconcile(KEY) == 0.0:
            pass
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert (ready["reason"], here.status["id"] in (first, other)) == ("Synced", False)


# --- creates of open outcome that come to no end by themselves -------------------------------------


async def test_a_value_that_method_never_takes_can_be_corrected(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Its create comes first, but not for ever: after ten minutes of 5xx the present value has its turn."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        here.put(gen.raw_object())
        fault = await emulator.control.add_fault("create", "status", status=500, count=None)
        await here.reconciler.reconcile(KEY)
        server.put_secret("acme", {"api-key": b"a value that works"})
        for seconds, keys in ((300, 1), (299, 1), (1, 2)):
            here.now += timedelta(seconds=seconds)
            if keys == 2:
                await emulator.control.remove_fault(fault)
            await here.reconciler.reconcile(KEY)
            sent = await emulator.control.requests(operation="create")
            assert len({request["idempotency_key"] for request in sent}) == keys, seconds
        assert await emulator.control.has_value("a value that works") == [here.status["id"]]


async def test_a_deletion_does_not_wait_for_ever_for_a_create_that_is_refused(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        spec = gen.raw_spec(deletionPolicy="Delete")
        here.put(gen.raw_object(finalizers=(FINALIZER,), spec=spec))
        await emulator.control.add_fault("create", "reset_before")
        await here.reconciler.reconcile(KEY)
        await emulator.control.add_fault("create", "status", status=422, count=None)
        here.put(gen.raw_object(version=500, deleted=True, finalizers=(FINALIZER,), spec=spec))
        for seconds, finalizers in ((0, [FINALIZER]), (599, [FINALIZER]), (2, [])):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert server.documents[PATH]["metadata"]["finalizers"] == finalizers, seconds
        assert await emulator.control.secrets() == []


# --- an API key of another account ------------------------------------------------------------------


ANOTHER = "sec_in_the_former_account"
OTHER = gen.revision(value="former")
OLD_SOURCE = {"uid": gen.SECRET_UID, "revision": OTHER, "resourceVersion": "8000"}


@pytest.mark.parametrize(
    ("status", "annotations", "scanned", "reason"),
    [
        ({"source": OLD_SOURCE}, {}, False, "a changed value, before any list has been compared"),
        ({"source": OLD_SOURCE}, {}, True, "a changed value, after another object's create has listed it"),
        ({}, {gen.RECONCILE: "now"}, True, "the same value: its id is asked for, and is not there"),
    ],
)
async def test_nothing_is_created_in_another_account(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    status: dict[str, Any],
    annotations: dict[str, str],
    scanned: bool,
    reason: str,
) -> None:
    """The key may be another account's since the last resync; or since the process before this one."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        for number in range(5):
            known = gen.raw_ready_status(id=f"{ANOTHER}{number}")
            here.cache.observe(gen.raw_object(name=f"other-{number}", uid=f"uid {number}", status=known))
        whole = gen.raw_ready_status(id=ANOTHER, **status)
        here.put(gen.raw_object(status=whole, annotations=annotations))
        here.cache.trust(KEY)
        if scanned:
            account = await accounts.account(base_url=emulator.url, api_key=API_KEY)
            await account.inventory.ready()
        for seconds in (0, 61, 61):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
            assert ready["reason"] == "AccountChanged", reason
        assert here.status["id"] == ANOTHER
        assert await emulator.control.count("create") == 0


# --- a list and a GET that contradict each other ----------------------------------------------------


async def test_what_is_listed_and_not_known_is_stored_again_only_after_a_list_without_it(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """However long its GET fails; and the account is not listed more than once a minute for it."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    await emulator.control.seed(5, metadata=dict(gen.marker(owner="a/b/c")), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        here.put(gen.raw_object())
        await emulator.control.add_fault("retrieve", "status", status=404, count=None)
        for seconds, lists in ((0, 1), (59, 1), (1, 2), (59, 2), (1, 3), (600, 4)):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert await emulator.control.count("list") == lists, seconds
            assert await emulator.control.count("create") == 0
        await emulator.control.vanish(there)
        here.now += timedelta(seconds=60)
        await here.reconciler.reconcile(KEY)
        assert await emulator.control.count("create") == 1


async def test_a_404_of_hours_ago_is_not_the_first_of_two(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Where the object was ready in between, its id was there: what it was missing for is over."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    others = await emulator.control.seed(5, metadata=dict(gen.marker(owner="a/b/c")), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        # With a former secret whose time comes, it is looked at whole each time: it is never settled.
        former = {"id": "sec_former", "revision": "1:x:y", "supersededAt": gen.EARLIER}
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "87600h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=there, superseded=[former])))
        here.cache.trust(KEY)
        inventory = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).inventory
        for number, other in enumerate(others):  # that its own id is missing, alone, is no other account
            known = gen.raw_ready_status(id=other)
            here.cache.observe(gen.raw_object(name=f"other-{number}", uid=f"uid {number}", status=known))
        await inventory.ready()

        async def listed_and_looked_at(**after: float) -> str:
            here.now += timedelta(**after)
            await inventory.scan(since=here.now)
            here.reconciler.doubt(KEY)
            await here.reconciler.reconcile(KEY)
            [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
            return str(ready["reason"])

        await emulator.control.change_secret(there, status="frozen")
        await emulator.control.add_fault("retrieve", "status", status=404)
        assert await listed_and_looked_at(seconds=30) == "Pending"
        await emulator.control.change_secret(there, status="active")
        assert await listed_and_looked_at(seconds=30) == "Synced"
        await emulator.control.vanish(there)
        assert await listed_and_looked_at(hours=5) == "Pending"
        assert await emulator.control.count("create") == 0
        assert await listed_and_looked_at(seconds=60) == "Synced"
        assert await emulator.control.count("create") == 1


async def test_a_deletion_waits_for_a_list_without_what_a_get_does_not_know(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Else Delete would be Retain, and nobody told. Known again, it is deleted; else the time-out ends it."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=there)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        fault = await emulator.control.add_fault("retrieve", "status", status=404, count=None)
        for seconds in (0, 60, 120):
            here.now += timedelta(seconds=seconds)
            assert await here.reconciler.reconcile(KEY) == 60.0
            assert server.documents[PATH]["metadata"]["finalizers"] == [FINALIZER], seconds
        await emulator.control.remove_fault(fault)
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []
        [stored] = await emulator.control.secrets()
        assert stored["status"] == "deleted"


@pytest.mark.parametrize(
    ("seconds", "believed", "reason"),
    [
        (60, True, "an answer that took as long as a slow API may"),
        (61, False, "the process was suspended while the answer lay there: it is from another time"),
    ],
)
async def test_an_answer_from_long_ago_is_none(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    seconds: int,
    believed: bool,
    reason: str,
) -> None:
    """Since when an id is missing decides what becomes of it."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status()))
        here.reconciler.doubt(KEY)
        held = await emulator.control.add_fault("retrieve", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        here.now += timedelta(seconds=seconds)
        await emulator.control.release(held)
        await looking
        missing = here.reconciler._memories[KEY][1].missing
        assert missing == ({gen.SECRET_ID: here.now} if believed else {}), reason
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert (ready["reason"] == "MethodUnavailable") is not believed, reason
        assert await emulator.control.count("create") == believed, reason


async def test_a_request_that_waited_for_the_budget_has_an_answer_of_now(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """How old an answer is counts from when it was asked for, not from when it was wanted."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)

    def pass_an_hour(_tier: Tier, _seconds: float) -> None:
        here.now += timedelta(hours=1)

    async with limited(waited=pass_an_hour) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status(id=there)))
        await here.reconciler.reconcile(KEY)
        assert await emulator.control.count("retrieve") == 1
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert ready["reason"] == "Synced"


async def test_reads_that_a_429_has_blocked_are_no_state_of_an_object(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """It was another object's: this one's status says what it said, and it comes back when the block ends."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status(id=there)))
        here.reconciler.doubt(KEY)
        reads = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client.reads
        reads.block(3600)
        for _ in range(2):
            assert await here.reconciler.reconcile(KEY) == pytest.approx(reads.blocked, abs=5.0)
        assert server.patched == []
        assert await emulator.control.count("retrieve") == 0


async def test_a_replay_that_cannot_be_looked_at_leaves_its_create_open(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        await emulator.control.add_fault("create", "reset_after")
        await here.reconciler.reconcile(KEY)
        client = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client
        client.reads.block(3600)
        await here.reconciler.reconcile(KEY)
        assert await emulator.control.count("create") == 2
        assert "id" not in here.status
        attempt = here.reconciler._memories[KEY][1].attempt
        assert attempt is not None
        assert attempt.unresolved is not None


@pytest.mark.parametrize("tier", ["reads", "writes"])
async def test_a_namespace_is_not_held_by_a_429_to_another(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, tier: Tier
) -> None:
    """The time-out is 300 s, and the object was deleted 60.25 s ago."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        client = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client
        (client.reads if tier == "reads" else client.writes).block(3600)
        for seconds in (0, 600):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert server.documents[PATH]["metadata"]["finalizers"] == [FINALIZER], "no namespace is waiting"
        here.now = gen.NOW
        namespace_goes(server)
        assert await here.reconciler.reconcile(KEY) == 239.75
        here.now += timedelta(seconds=239)
        assert await here.reconciler.reconcile(KEY) == 1.0
        assert server.documents[PATH]["metadata"]["finalizers"] == [FINALIZER]
        assert here.status["conditions"] == status["conditions"], "waiting is no state"
        here.now += timedelta(seconds=1)
        undone = metrics.ABANDONED._value.get()
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []
        assert metrics.ABANDONED._value.get() - undone == 1
        here.reconciler._forget(KEY)
        assert await emulator.control.count("delete") == 0


@pytest.mark.parametrize("operation", ["list", "retrieve", "delete"])
async def test_a_namespace_is_not_held_by_its_own_429(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, operation: str
) -> None:
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        namespace_goes(server)
        await emulator.control.add_fault(operation, "status", status=429, headers={"Retry-After": "3600"})
        assert await here.reconciler.reconcile(KEY) == 239.75
        assert here.status["conditions"][0]["reason"] == "RateLimited"
        here.now += timedelta(seconds=240)
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []
        here.reconciler._forget(KEY)


async def test_a_namespace_waits_for_a_turn_within_the_limit(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Thousands of objects are deleted in their order: what takes long is no failure."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited(writes_per_minute=1) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        namespace_goes(server)
        writes = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client.writes
        taken = writes.try_acquire()
        assert taken is not None
        here.now += timedelta(seconds=600)
        assert await here.reconciler.reconcile(KEY) == 60.0, "a 429 may come meanwhile"
        assert server.documents[PATH]["metadata"]["finalizers"] == [FINALIZER]
        await asyncio.sleep(0)
        assert writes.waiting == 1, "it stands in line"
        taken.release()
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []
        [stored] = await emulator.control.secrets()
        assert stored["status"] == "deleted"


async def test_a_namespace_is_not_held_for_a_second_failure(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Whether the time is over is judged when Method has failed, not when it was asked."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)

    def pass_a_while(_tier: Tier, _seconds: float) -> None:
        here.now += timedelta(seconds=20)

    async with limited(waited=pass_a_while) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        namespace_goes(server)
        await emulator.control.add_fault("retrieve", "status", status=500)
        here.now += timedelta(seconds=239)
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []


async def test_a_process_that_was_suspended_asks_once_more(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """It has missed the time-out itself, not Method."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec, status = gen.raw_spec(deletionPolicy="Delete"), gen.raw_ready_status(id=there)
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        namespace_goes(server)
        held = await emulator.control.add_fault("retrieve", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        here.now += timedelta(hours=1)
        await emulator.control.release(held)
        await looking
        assert server.documents[PATH]["metadata"]["finalizers"] == [FINALIZER]
        await here.reconciler.reconcile(KEY)
        assert server.documents[PATH]["metadata"]["finalizers"] == []
        [stored] = await emulator.control.secrets()
        assert stored["status"] == "deleted"
