"""The worker loop: takes keys from the queue, reconciles, and turns the result into when to look again.

One switch on the result, here and nowhere else. An error ends one look, never the loop.
"""

from __future__ import annotations

import structlog

from methodsecret_operator.errors import OperatorError
from methodsecret_operator.runtime import metrics
from methodsecret_operator.runtime.reconciler import Reconciler
from methodsecret_operator.runtime.workqueue import QueueClosed, WorkQueue

_log = structlog.get_logger(__name__)


async def work(queue: WorkQueue, reconciler: Reconciler) -> None:
    """Work until the queue is closed."""
    while True:
        try:
            key = await queue.get()
        except QueueClosed:
            return
        try:
            await _work_on(key, queue, reconciler)
        finally:
            queue.done(key)


async def _work_on(key: str, queue: WorkQueue, reconciler: Reconciler) -> None:
    structlog.contextvars.clear_contextvars()
    try:
        with metrics.RECONCILE_SECONDS.time():
            retry = await reconciler.reconcile(key)
    except OperatorError as error:
        metrics.RECONCILES.labels(result="error").inc()
        delay = _retry(key, queue)
        _log.warning("reconcile failed", key=key, error=str(error), retry_seconds=round(delay, 1))
    except Exception:  # noqa: BLE001 - see below
        # NB: a defect must cost one object a pause, not everybody the worker.
        metrics.RECONCILES.labels(result="defect").inc()
        _log.exception("reconcile failed unexpectedly", key=key)
        _retry(key, queue)
    else:
        metrics.RECONCILES.labels(result="done").inc()
        match retry:
            case "backoff":
                _retry(key, queue)
            case "resync":
                queue.forget(key)
            case _:  # seconds; by type this is a float, but an int is no less one to the type checker
                queue.forget(key)
                queue.add_after(key, retry)


def _retry(key: str, queue: WorkQueue) -> float:
    metrics.QUEUE_RETRIES.inc()
    return queue.retry(key)
