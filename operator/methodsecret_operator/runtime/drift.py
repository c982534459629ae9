"""Compares what statuses say with what Method holds: one scan per account for all of its objects.

It changes nothing itself: an object that does not fit is doubted, and the next look at it asks Method about
its id before anything is believed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final

import structlog

from methodsecret_operator.core.remote import ACTIVE, MarkedSecret
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.errors import KubeError, MethodError, SchemaError
from methodsecret_operator.method.accounts import Account
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.gather import Gatherer

_WITHOUT_PAUSE: Final = 100
"""Objects looked at in one go, some 5 ms: ten thousand would hold up everything else for half a second."""

_SIDE_BY_SIDE: Final = 20
"""Accounts that are scanned at the same time: each has a page of a list in hand, and its own connections."""

_log = structlog.get_logger(__name__)


class Drift:
    """`doubt` is called with the key of each object whose secret is not as its status says.

    `busy` tells whether a worker has an object in hand: what it is about to write is not in its status yet.
    `owned` counts the secrets of all accounts, as of the last look, by whose they are: see metrics.INVENTORY.
    """

    def __init__(
        self,
        *,
        cache: ObjectCache,
        gatherer: Gatherer,
        doubt: Callable[[str], None],
        busy: Callable[[str], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._gatherer = gatherer
        self._doubt = doubt
        self._busy = busy
        self._clock = clock
        self._first = True
        self.owned: Counter[str] = Counter()

    async def look(self) -> None:
        """Scan every account in use and compare. What cannot be asked now is left for the next time."""
        accounts: dict[int, tuple[Account, list[str]]] = {}
        async for key, obj in _objects(self._cache, self._cache.keys()):
            try:
                account, _ = await self._gatherer.account(obj)
            except KubeError:
                continue
            if account is not None:
                accounts.setdefault(id(account), (account, []))[1].append(key)
        places = asyncio.Semaphore(_SIDE_BY_SIDE)
        async with asyncio.TaskGroup() as group:
            for account, keys in accounts.values():
                group.create_task(self._look_at(account, keys, places), name="drift")
        self._first = False
        self.owned = Counter()
        for account, _ in accounts.values():
            self.owned["unmarked"] += account.inventory.others
            self.owned.update(self._owner(entry) for entry in account.inventory.marked())
        await self._gatherer.end_round()

    async def _look_at(self, account: Account, keys: list[str], places: asyncio.Semaphore) -> None:
        """Scan one account and compare. One that hangs takes 30 s, which must not add up."""
        async with places:
            try:
                # The first scan after the start serves everybody, whoever asked for it.
                await (
                    account.inventory.ready() if self._first else account.inventory.scan(since=self._clock())
                )
            except MethodError as error:
                _log.warning("inventory not refreshed", error=type(error).__name__, status=error.status)
                return
            await self._compare(account, keys)

    def _owner(self, entry: MarkedSecret) -> str:
        key = self._gatherer.object_of(entry.marker)
        if key is None:
            return "foreign"
        # One that was taken along under a new name keeps the mark of the former one.
        here = self._cache.version(key) is not None or self._cache.named_by_other(entry.id, key)
        return "own" if here else "orphan"

    async def _compare(self, account: Account, keys: list[str]) -> None:
        ids = {obj.status.id async for _, obj in _objects(self._cache, keys) if obj.status.id is not None}
        absent = account.inventory.judge(ids)
        async for key, obj in _objects(self._cache, keys):
            if self._busy(key):
                continue
            status = obj.status
            named = {status.id, *(former.id for former in status.superseded)}
            marked = [entry for owner in self._gatherer.owners(obj) for entry in account.inventory.of(owner)]
            unnamed = any(
                entry.marker.uid == obj.metadata.uid and entry.status == ACTIVE and entry.id not in named
                for entry in marked
            )
            if status.id in absent or unnamed or self._gatherer.doubtful(obj, account):
                self._doubt(key)


async def judge(account: Account, *, cache: ObjectCache, gatherer: Gatherer) -> None:
    """Find out whether too many of an account's known ids are missing, once per scan. Raises MethodError.

    For those who cannot wait for the next resync: an id that is not there is about to be forgotten.
    """
    await account.inventory.ready()
    if account.inventory.judged:
        return
    known: set[str] = set()
    async for _, obj in _objects(cache, cache.keys()):
        if obj.status.id is None:
            continue
        try:
            theirs, _ = await gatherer.account(obj)
        except KubeError:
            continue
        if theirs is account:
            known.add(obj.status.id)
    account.inventory.judge(known)


async def _objects(cache: ObjectCache, keys: list[str]) -> AsyncIterator[tuple[str, MethodSecret]]:
    """Yield the objects as they are now, not as they were before a scan; let others work in between."""
    for number, key in enumerate(keys, 1):
        try:
            obj = cache.get(key)
        except SchemaError:
            obj = None  # its worker says so
        if obj is not None:
            yield key, obj
        if number % _WITHOUT_PAUSE == 0:
            await asyncio.sleep(0)
