"""The metrics, by Prometheus' conventions: no name of an object, no id, nothing of a value.

Every metric of ours is described here, once: `CATALOGUE` is what /metrics, the reference in docs/ and the
tests of dashboard and alerts go by. Here are those that are counted where something happens; those that
tell how things stand are read by state_metrics when Prometheus asks.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from prometheus_client import Counter, Histogram, disable_created_metrics

from methodsecret_operator.method.wire import Operation

Kind = Literal["counter", "gauge", "histogram"]


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, that nobody reads


class Described(NamedTuple):
    """One metric: its whole name, what kind it is, its labels, and a sentence on what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


CATALOGUE: Final[dict[str, Described]] = {}
"""Every metric of ours, by name, in the order of the reference."""


def _describe(kind: Kind, name: str, text: str, *labels: str) -> Described:
    described = CATALOGUE[name] = Described(name=name, kind=kind, labels=labels, help=text)
    return described


def _counter(name: str, text: str, *labels: str) -> Counter:
    _describe("counter", name, text, *labels)
    return Counter(name, text, labels)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    _describe("histogram", name, text, *labels)
    return Histogram(name, text, labels, buckets=buckets)


def _gauge(name: str, text: str, *labels: str) -> Described:
    return _describe("gauge", name, text, *labels)


_CALL: Final = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)
"""Seconds; 30 is when a call is given up."""

_WAIT: Final = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds; a burst of thousands of objects waits minutes for Method's limits."""

# --- objects ----------------------------------------------------------------------------------------

OBJECTS: Final = _gauge(
    "methodsecret_objects",
    "MethodSecrets by namespace and by the reason of their condition Ready; Unseen: no condition yet,"
    " Unknown: a reason that this version does not know.",
    "namespace",
    "reason",
)
FINDINGS: Final = _counter(
    "methodsecret_findings_total",
    "What looks at objects came to, by the reason of the condition Ready, told or not: a synced object at"
    " rest comes to nothing.",
    "reason",
)
RECONCILES: Final = _counter(
    "methodsecret_reconciles_total",
    "Looks at one object, by how they ended: done, error (the kube-apiserver could not be asked), defect (a"
    " mistake in the operator; its log has the place).",
    "result",
)
RECONCILE_SECONDS: Final = _histogram(
    "methodsecret_reconcile_duration_seconds",
    "How long one look at one object took, in seconds.",
    buckets=_CALL,
)
ABANDONED: Final = _counter(
    "methodsecret_abandoned_secrets_total",
    "Secrets left at Method by a deletion that nobody could carry out any more (the log names them).",
)

# --- queue ------------------------------------------------------------------------------------------

QUEUE_DEPTH: Final = _gauge("methodsecret_queue_depth", "Objects that are due and wait for a worker.")
QUEUE_DELAYED: Final = _gauge(
    "methodsecret_queue_delayed", "Objects that wait for their time: a retry, or something due later."
)
QUEUE_IN_FLIGHT: Final = _gauge("methodsecret_queue_in_flight", "Objects that a worker is looking at.")
QUEUE_OLDEST: Final = _gauge(
    "methodsecret_queue_oldest_wait_seconds",
    "For how long the object that has waited longest has been due, in seconds.",
)
QUEUE_WAIT: Final = _histogram(
    "methodsecret_queue_wait_seconds",
    "How long objects were due before a worker took them, in seconds.",
    buckets=_WAIT,
)
QUEUE_RETRIES: Final = _counter(
    "methodsecret_queue_retries_total", "Objects put back to be looked at again after a growing pause."
)

# --- Method -----------------------------------------------------------------------------------------

METHOD_REQUESTS: Final = _counter(
    "methodsecret_method_requests_total",
    "Requests to Method, by operation (create, list, retrieve, delete, ping) and by HTTP status, or by what"
    " came instead of one: timeout, connection, unreadable.",
    "operation",
    "status",
)
METHOD_SECONDS: Final = _histogram(
    "methodsecret_method_request_duration_seconds",
    "How long requests to Method took, in seconds, without the wait for the budget.",
    "operation",
    buckets=_CALL,
)
BUDGET_LIMIT: Final = _gauge(
    "methodsecret_method_budget_limit_requests",
    "Requests that one API key may send in 60 s, by tier (writes, reads), as set.",
    "tier",
)
BUDGET_AVAILABLE: Final = _gauge(
    "methodsecret_method_budget_available_requests",
    "Requests that could be sent right now with the API key that has the fewest left, by tier.",
    "tier",
)
BUDGET_WAITING: Final = _gauge(
    "methodsecret_method_budget_waiting_requests",
    "Requests that wait for the budget of their API key, by tier.",
    "tier",
)
BUDGET_WAIT: Final = _histogram(
    "methodsecret_method_budget_wait_seconds",
    "How long requests waited for the budget of their API key, in seconds, by tier.",
    "tier",
    buckets=_WAIT,
)
ACCOUNTS: Final = _gauge("methodsecret_method_accounts", "API keys in use, each at its environment.")
ACCOUNTS_REFUSED: Final = _gauge(
    "methodsecret_method_accounts_list_refused",
    "API keys that may not list secrets: only idempotency keys guard them against duplicates.",
)
ACCOUNTS_CHANGED: Final = _gauge(
    "methodsecret_method_accounts_changed",
    "API keys whose account lacks so many known secrets that it must be another account.",
)

# --- inventory --------------------------------------------------------------------------------------

INVENTORY: Final = _gauge(
    "methodsecret_inventory_secrets",
    "Secrets at Method as of the last resync, by whose they are: own (of an object that is here), orphan"
    " (of one of this cluster that is gone), foreign (marked for another cluster, under another digest key or"
    " for a namespace not served), unmarked (made by no operator).",
    "owner",
)
INVENTORY_SCANNED: Final = _gauge(
    "methodsecret_inventory_last_scan_timestamp_seconds",
    "When the complete list began that is the oldest in use, in seconds since 1970; 0 where an account was"
    " never listed.",
)

# --- the operator -----------------------------------------------------------------------------------

LEADER: Final = _gauge("methodsecret_leader", "1 where this process works, 0 where it stands by.")
READY: Final = _gauge("methodsecret_ready", "1 where /readyz says yes.")
RESYNCED: Final = _gauge(
    "methodsecret_last_resync_timestamp_seconds",
    "When all objects were last listed without an error, in seconds since 1970; 0 where they never were.",
)
WATCH_AGE: Final = _gauge(
    "methodsecret_watch_age_seconds",
    "Seconds since the kube-apiserver was last heard of by the watch on a resource; it says something at"
    " least every minute or so.",
    "resource",
)
BUILD: Final = _gauge("methodsecret_build_info", "1; the version is in the label.", "version")

# An increase can be seen only of a series that is there: what alerts wait for is told as 0 from the start.
for _result in ("done", "error", "defect"):
    RECONCILES.labels(result=_result)
for _operation in get_args(Operation):
    METHOD_REQUESTS.labels(operation=_operation, status="429")


def method_request(operation: str, status: str, seconds: float) -> None:
    """Count a request to Method; `status` is the HTTP status, or what came instead."""
    METHOD_REQUESTS.labels(operation=operation, status=status).inc()
    METHOD_SECONDS.labels(operation=operation).observe(seconds)
