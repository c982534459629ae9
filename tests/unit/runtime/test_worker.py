"""The worker loop: what each result does to the queue, and that no failure ends it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.runtime.worker import work
from methodsecret_operator.runtime.workqueue import LoopTimer, WorkQueue

if TYPE_CHECKING:
    from methodsecret_operator.runtime.reconciler import Reconciler

KEY = "payments/acme"


class Scripted:
    """Stands for the reconciler: its result, or its error, is the row's."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome
        self.seen: list[str] = []
        self.called = asyncio.Event()

    async def reconcile(self, key: str) -> object:
        self.seen.append(key)
        self.called.set()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Row(NamedTuple):
    """What a look at an object comes to, and what becomes of its key."""

    reason: str
    outcome: object
    delayed: int
    retries: int


TABLE = [
    Row("done: looked at again at the next resync, and the backoff is over", "resync", 0, 0),
    Row("backoff: again, later each time", "backoff", 1, 4),
    Row("seconds: then, and the backoff is over", 60.0, 1, 0),
    Row("whole seconds are seconds as well", 60, 1, 0),
    Row("a known error: again, later each time", KubeUnavailable(verb="get", what="x"), 1, 4),
    Row("a defect costs this object a pause", ZeroDivisionError(), 1, 4),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
async def test_what_a_result_does_to_the_queue(row: Row) -> None:
    # The seed and base make every drawn backoff far longer than the test.
    queue = WorkQueue(timer=LoopTimer(), rng=random.Random(1), base_seconds=1000, max_seconds=9000)  # noqa: S311 - jitter
    for _ in range(3):
        queue.retry(KEY)
    reconciler = Scripted(row.outcome)
    queue.add(KEY)
    worker = asyncio.create_task(work(queue, cast("Reconciler", reconciler)))
    await reconciler.called.wait()
    await queue.drained()
    assert (reconciler.seen, queue.delayed, queue.retries(KEY)) == ([KEY], row.delayed, row.retries)
    assert not worker.done()  # it waits for more
    queue.close()
    await worker


async def test_a_key_is_given_back_when_the_worker_is_cancelled() -> None:
    queue = WorkQueue(timer=LoopTimer(), rng=random.Random(1))  # noqa: S311 - jitter
    queue.add(KEY)
    await work_until_cancelled(queue)
    assert queue.in_flight == 0


async def work_until_cancelled(queue: WorkQueue) -> None:
    with pytest.raises(asyncio.CancelledError):
        await work(queue, cast("Reconciler", Scripted(asyncio.CancelledError())))
