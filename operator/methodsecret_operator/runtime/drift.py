"""Compares what statuses say with what Method holds: one scan per account for all of its objects.

It changes nothing itself: an object that does not fit is doubted, and the next look at it asks Method about
its id before anything is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

import structlog

from methodsecret_operator.core.remote import ACTIVE, MarkedSecret
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.errors import KubeError, MethodError, SchemaError
from methodsecret_operator.method.accounts import Account
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.gather import Gatherer

_log = structlog.get_logger(__name__)


class Drift:
    """`doubt` is called with the key of each object whose secret is not as its status says.

    `owned` counts the secrets of all accounts, as of the last look, by whose they are: see metrics.INVENTORY.
    """

    def __init__(
        self,
        *,
        cache: ObjectCache,
        gatherer: Gatherer,
        doubt: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._gatherer = gatherer
        self._doubt = doubt
        self._clock = clock
        self._first = True
        self.owned: Counter[str] = Counter()

    async def look(self) -> None:
        """Scan every account in use and compare. What cannot be asked now is left for the next time."""
        accounts: dict[int, tuple[Account, list[tuple[str, MethodSecret]]]] = {}
        for key in self._cache.keys():  # noqa: SIM118 - no dict
            try:
                obj = self._cache.get(key)
                account, _ = (None, None) if obj is None else await self._gatherer.account(obj)
            except (KubeError, SchemaError):
                continue
            if obj is not None and account is not None:
                accounts.setdefault(id(account), (account, []))[1].append((key, obj))
        for account, objects in accounts.values():
            try:
                # The first scan after the start serves everybody, whoever asked for it.
                await (
                    account.inventory.ready() if self._first else account.inventory.scan(since=self._clock())
                )
            except MethodError as error:
                _log.warning("inventory not refreshed", error=type(error).__name__, status=error.status)
                continue
            self._compare(account, objects)
        self._first = False
        self.owned = Counter()
        for account, _ in accounts.values():
            self.owned["unmarked"] += account.inventory.others
            self.owned.update(self._owner(entry) for entry in account.inventory.marked())
        await self._gatherer.end_round()

    def _owner(self, entry: MarkedSecret) -> str:
        key = self._gatherer.object_of(entry.marker)
        if key is None:
            return "foreign"
        # One that was taken along under a new name keeps the mark of the former one.
        here = self._cache.version(key) is not None or self._cache.named_by_other(entry.id, key)
        return "own" if here else "orphan"

    def _compare(self, account: Account, objects: list[tuple[str, MethodSecret]]) -> None:
        absent = account.inventory.judge({obj.status.id for _, obj in objects if obj.status.id is not None})
        for key, obj in objects:
            status = obj.status
            named = {status.id, *(former.id for former in status.superseded)}
            marked = [entry for owner in self._gatherer.owners(obj) for entry in account.inventory.of(owner)]
            unnamed = any(
                entry.marker.uid == obj.metadata.uid and entry.status == ACTIVE and entry.id not in named
                for entry in marked
            )
            if status.id in absent or unnamed or self._gatherer.doubtful(obj, account):
                self._doubt(key)
