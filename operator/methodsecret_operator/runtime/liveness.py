"""Whether what must go on does go on: each watch, and the workers. For /healthz; it changes nothing.

Dead is what a restart mends: a watch that neither hears nor asks, workers that take nothing up. The
kube-apiserver or Method being away is no such thing: watches ask again, workers end their looks, and
a restart would only add to the load. A process whose event loop stands still gives no answer at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from methodsecret_operator.runtime.workqueue import WorkQueue


class Followed(Protocol):
    """A watch, by the clock that liveness goes by."""

    @property
    def last_contact(self) -> float:
        """When it last heard from the server."""

    @property
    def last_try(self) -> float:
        """When it last asked."""


class Liveness:
    """Judges by `seconds` without a sign of life; `clock` gives monotonic seconds.

    `watches` gives each watch by its resource, None while it is not followed. `held_up` says whether
    workers may be waiting for a budget, which can take longer than any other wait.
    """

    def __init__(
        self,
        *,
        seconds: float,
        clock: Callable[[], float],
        queue: WorkQueue,
        watches: Mapping[str, Callable[[], Followed | None]],
        held_up: Callable[[], bool],
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._queue = queue
        self._watches = watches
        self._held_up = held_up

    def problem(self) -> str | None:
        """Return what is dead, in a few words, or None."""
        now = self._clock()
        for resource, get in self._watches.items():
            watch = get()
            if watch is not None and now - max(watch.last_contact, watch.last_try) > self._seconds:
                return f"the watch on {resource} has neither heard nor asked for {self._seconds:g} s"
        if self._queue.standstill > self._seconds and not self._held_up():
            return f"no object was taken up or finished for {self._seconds:g} s while some are due"
        return None

    def age(self, resource: str) -> float | None:
        """Return the seconds since a watch last heard from the server; None while it is not followed."""
        watch = self._watches[resource]()
        return None if watch is None else max(0.0, self._clock() - watch.last_contact)
