"""Leader election by a Lease: of several operators, one works.

The algorithm is that of Kubernetes' own controllers (client-go's leaderelection), for the reasons in
docs/decisions/0009: a candidate takes the Lease when its record has not changed for as long as its holder
said, by the candidate's own monotonic clock; the holder renews it well within that time, and stops by itself
when it could not. No clock of another machine, and no wall clock, decides anything.

It makes two operators at a time rare, not impossible: a request already sent may arrive after the Lease has
gone over. That there is no duplicate then is the idempotency key's doing, and rests on nothing here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

import structlog

from methodsecret_operator.errors import KubeConflict, KubeError, KubeForbidden, KubeNotFound, OperatorError
from methodsecret_operator.kube import lease as leases
from methodsecret_operator.kube.lease import Lease

RENEW_SHARE: Final = 2 / 3
"""After this part of the duration without a renewal the holder gives up: 10 s of 15, as client-go."""

RETRY_SHARE: Final = 2 / 15
"""This part of the duration is between two looks, or two renewals: 2 s of 15, as client-go."""

_REQUEST_SHARE: Final = 1 / 3
"""A request may take this part of the duration, so that one lost answer is not the end."""

_JITTER: Final = 0.2
_log = structlog.get_logger(__name__)


class Leases(Protocol):
    """The part of KubeClient that is used here."""

    async def get_lease(self, namespace: str, name: str) -> Lease:
        """Read one Lease."""

    async def write_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        """Create or replace it under its lock."""


class LeaseLostError(OperatorError):
    """The Lease is not ours any more, or can not be known to be; the message says which."""


class Watched:
    """When another's Lease may be taken. Pure: told what was read, and the time in monotonic seconds."""

    def __init__(self, *, seconds: float) -> None:
        """`seconds` is for a record that does not say how long it holds."""
        self._seconds = seconds
        self._record: Mapping[str, Any] | None = None
        self._since = 0.0

    def free(self, lease: Lease, *, now: float) -> bool:
        """Whether nobody holds it, or its holder was not heard of for as long as it said."""
        if self._record != lease.spec:
            self._record, self._since = lease.spec, now
        return lease.holder is None or now >= self._since + (lease.seconds or self._seconds)


class Leadership:
    """Takes the Lease `namespace/name` for `identity`, and holds it. Each use is one `run`, then `release`.

    `identity` must be new in each process: who finds its own name in the Lease takes it for its own work.
    `seconds` is how long a renewal holds. `clock` gives monotonic seconds, `now` the time that people see.
    """

    def __init__(
        self,
        *,
        kube: Leases,
        namespace: str,
        name: str,
        identity: str,
        seconds: int,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._rng = rng
        self._lease: Lease | None = None
        self._renew_by = 0.0
        self.acquired = asyncio.Event()

    async def run(self) -> None:
        """Wait for the Lease, set `acquired`, and hold it. Raises LeaseLostError as soon as it is lost."""
        await self._acquire()
        self.acquired.set()
        while True:
            await self._hold()

    async def release(self) -> None:
        """Let the Lease go, if it is held, so that the next need not wait. Only after `run` was cancelled."""
        if not self.acquired.is_set():
            return
        self.acquired.clear()
        try:
            async with asyncio.timeout(self._seconds * _REQUEST_SHARE):
                await self._write(lambda lease: lease.released(now=self._now()))
        except (KubeError, LeaseLostError, TimeoutError) as error:
            _log.warning("lease not released: the next waits for its end", error=_said(error))
        else:
            _log.info("lease released", lease=self._what)

    async def _acquire(self) -> None:
        watched = Watched(seconds=self._seconds)
        told: object = None  # what was last said, so that waiting is one line in the log and not one a second
        while True:
            try:
                async with asyncio.timeout(self._seconds * _REQUEST_SHARE):
                    holder = await self._try(watched)
            except (KubeError, TimeoutError) as error:
                if told != (said := _said(error)):
                    told = said
                    todo = (
                        f"let the operator get, create and update leases in {self._namespace}"
                        if isinstance(error, KubeForbidden)
                        else "wait for the kube-apiserver"
                    )
                    _log.warning("cannot ask for the lease", lease=self._what, error=said, todo=todo)
            else:
                if holder == self._identity:
                    _log.info("leading", lease=self._what, identity=self._identity)
                    return
                if told != holder:
                    told = holder
                    _log.info("standing by", lease=self._what, holder=holder, identity=self._identity)
            pause = self._seconds * RETRY_SHARE
            await self._sleep(pause * self._rng.uniform(1, 1 + _JITTER))

    async def _try(self, watched: Watched) -> str | None:
        """Take the Lease if it is free, and return who holds it. Raises KubeError."""
        try:
            lease = await self._kube.get_lease(self._namespace, self._name)
        except KubeNotFound:
            lease = leases.new(self._namespace, self._name)
        # Our own name is there where the answer to our write was lost.
        if lease.holder != self._identity and not watched.free(lease, now=self._clock()):
            return lease.holder
        sent = self._clock()
        claimed = lease.claimed(holder=self._identity, seconds=self._seconds, now=self._now())
        try:
            self._lease = await self._kube.write_lease(self._namespace, self._name, claimed)
        except KubeConflict:
            return None  # somebody was faster: the next look shows who
        self._renewed(sent)
        return self._identity

    async def _hold(self) -> None:
        """Renew once, after a pause. Raises LeaseLostError."""
        await self._sleep(self._seconds * RETRY_SHARE)
        failures = 0
        while True:
            sent = self._clock()
            left = self._renew_by - sent
            if left <= 0:  # asked before anything is sent: this process may have stood still
                raise LeaseLostError(f"it was not renewed for {self._seconds * RENEW_SHARE:g} s")
            try:
                async with asyncio.timeout(min(left, self._seconds * _REQUEST_SHARE)):
                    await self._write(lambda lease: lease.renewed(seconds=self._seconds, now=self._now()))
            except (KubeError, TimeoutError) as error:
                failures += 1
                if failures == 1:
                    _log.warning("lease not renewed, trying again", lease=self._what, error=_said(error))
                await self._sleep(min(self._seconds * RETRY_SHARE, max(0.0, self._renew_by - self._clock())))
            else:
                self._renewed(sent)
                if failures:
                    _log.info("lease renewed", lease=self._what, failures=failures)
                return

    async def _write(self, change: Callable[[Lease], Lease]) -> None:
        """Write our Lease, after another look at it where it has moved. Raises KubeError, LeaseLostError."""
        if self._lease is None:
            raise LeaseLostError("it was never held")
        try:
            try:
                self._lease = await self._kube.write_lease(self._namespace, self._name, change(self._lease))
            except KubeConflict:  # an earlier write of ours has arrived after all, or it was taken away
                found = await self._kube.get_lease(self._namespace, self._name)
                if found.holder != self._identity:
                    raise LeaseLostError(f"it is held by {found.holder or 'nobody'}") from None
                self._lease = await self._kube.write_lease(self._namespace, self._name, change(found))
        except KubeNotFound:
            raise LeaseLostError("somebody has deleted it") from None

    def _renewed(self, sent: float) -> None:
        """Count from when the request was sent: nobody can have seen the new record before."""
        self._renew_by = sent + self._seconds * RENEW_SHARE

    @property
    def _what(self) -> str:
        return f"{self._namespace}/{self._name}"


def _said(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)
