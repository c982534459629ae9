"""The metrics, by Prometheus' conventions: no name of an object, no id, nothing of a value."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECONCILES: Final = Counter(
    "methodsecret_reconciles_total",
    "Looks at one object, by how they ended: done, error, defect.",
    ["result"],
)
RECONCILE_SECONDS: Final = Histogram(
    "methodsecret_reconcile_duration_seconds", "How long one look at one object took, in seconds."
)
ABANDONED: Final = Counter(
    "methodsecret_abandoned_secrets_total",
    "Secrets left at Method by a deletion that nobody could carry out any more (the log names them).",
)
QUEUE_DEPTH: Final = Gauge("methodsecret_queue_depth", "Objects that wait to be looked at.")
OBJECTS: Final = Gauge("methodsecret_objects_known", "MethodSecrets that the operator knows of.")
LEADER: Final = Gauge("methodsecret_leader", "1 where this process works, 0 where it stands by.")
