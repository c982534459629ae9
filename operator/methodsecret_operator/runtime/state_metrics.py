"""Reads how things stand when Prometheus asks: a collector over the operator's live parts.

It counts nothing by going through objects: what costs with their number is kept up by those who hold
them (the cache counts by reason, the resync by owner). It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from methodsecret_operator import __version__
from methodsecret_operator.runtime import metrics
from methodsecret_operator.runtime.metrics import Described

if TYPE_CHECKING:
    from prometheus_client import Metric

    from methodsecret_operator.method.accounts import Accounts
    from methodsecret_operator.method.budget import Budget
    from methodsecret_operator.runtime.cache import ObjectCache
    from methodsecret_operator.runtime.drift import Drift
    from methodsecret_operator.runtime.resync import Resync
    from methodsecret_operator.runtime.workqueue import WorkQueue

_NEVER: Final = 0.0

Labels = TypeVar("Labels", bound=tuple[str, ...])


class StateMetrics(Collector):
    """Yields the gauges of metrics.CATALOGUE.

    `watches` gives, by resource, the seconds since its watch last heard from the server, None where it is not
    followed; `leading` and `ready` answer for this process.
    """

    def __init__(
        self,
        *,
        queue: WorkQueue,
        cache: ObjectCache,
        accounts: Accounts,
        drift: Drift,
        resync: Resync,
        watches: Mapping[str, Callable[[], float | None]],
        leading: Callable[[], bool],
        ready: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._accounts = accounts
        self._drift = drift
        self._resync = resync
        self._watches = watches
        self._leading = leading
        self._ready = ready

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge, as it is now."""
        queue = self._queue
        yield _family(metrics.OBJECTS, self._cache.counts())
        yield _one(metrics.QUEUE_DEPTH, len(queue))
        yield _one(metrics.QUEUE_DELAYED, queue.delayed)
        yield _one(metrics.QUEUE_IN_FLIGHT, queue.in_flight)
        yield _one(metrics.QUEUE_OLDEST, queue.oldest_wait)
        yield from self._method()
        yield _one(metrics.LEADER, self._leading())
        yield _one(metrics.READY, self._ready())
        yield _one(metrics.RESYNCED, _seconds(self._resync.completed_at))
        ages = {(resource,): age() for resource, age in self._watches.items()}
        yield _family(metrics.WATCH_AGE, {labels: age for labels, age in ages.items() if age is not None})
        yield _family(metrics.BUILD, {(__version__,): 1})

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not call `collect` to know the names."""
        return ()

    def _method(self) -> Iterator[Metric]:
        budgets = self._accounts.all_budgets()
        tiers: dict[str, list[Budget]] = {
            "writes": [one.writes for one in budgets],
            "reads": [one.reads for one in budgets],
        }
        used = {(tier,): found for tier, found in tiers.items() if found}
        yield _family(metrics.BUDGET_LIMIT, {tier: found[0].limit for tier, found in used.items()})
        yield _family(
            metrics.BUDGET_AVAILABLE,
            {tier: min(budget.available for budget in found) for tier, found in used.items()},
        )
        yield _family(
            metrics.BUDGET_WAITING,
            {tier: sum(budget.waiting for budget in found) for tier, found in used.items()},
        )
        inventories = [account.inventory for account in self._accounts.all_accounts()]
        yield _one(metrics.ACCOUNTS, len(inventories))
        yield _one(metrics.ACCOUNTS_REFUSED, sum(one.refused for one in inventories))
        yield _one(metrics.ACCOUNTS_CHANGED, sum(one.mass_absence for one in inventories))
        yield _family(metrics.INVENTORY, {(owner,): n for owner, n in self._drift.owned.items()})
        listed = [_seconds(one.scanned_at) for one in inventories if not one.refused]
        if listed:
            yield _one(metrics.INVENTORY_SCANNED, min(listed))


def _family(described: Described, values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(described.name, described.help, labels=described.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _one(described: Described, value: float) -> Metric:
    return _family(described, {(): value})


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else _NEVER
