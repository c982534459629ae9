"""Tells people of transitions, by Kubernetes Events: another reason, another id, and nothing twice.

Events are a courtesy: they are posted beside the work, never wait for it or hold it up, and are dropped
where the server refuses them or more are due than it takes: those that tell of trouble last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import structlog

from methodsecret_operator.core.conditions import READY, Reason
from methodsecret_operator.core.resource import MethodSecret, Status
from methodsecret_operator.core.snapshot import Finding
from methodsecret_operator.core.status import transition
from methodsecret_operator.errors import KubeError
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.events import build_event

_BACKLOG: Final = 1000
_BACKLOG_OF_GOOD_NEWS: Final = 100
"""How many may wait, and how many so that one that all is well is taken in. An Event costs the kube-apiserver
and etcd as much as the status did that says the same; in a burst of thousands nobody reads thousands."""

_POSTERS: Final = 4
_PAUSE_SECONDS: Final = 0.2
"""How long each poster rests after an Event: 20 a second at most, as controllers on controller-runtime send.
A burst would else hold up what matters."""

_NEWLINE: Final = (
    "The value ends with a newline and was stored with it; if that was not meant, take it off"
    " (kubectl create secret --from-file keeps a file's last newline)."
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Announcement:
    obj: MethodSecret
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    at: datetime


class Announcer:
    """Posts Events as `instance`, this process's name; `clock` gives the time in UTC."""

    def __init__(self, *, kube: KubeClient, instance: str, clock: Callable[[], datetime]) -> None:
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._backlog: asyncio.Queue[_Announcement] = asyncio.Queue()
        self._ending = asyncio.Event()

    def announce(self, former: MethodSecret, status: Status, finding: Finding) -> None:
        """Tell of what a written status changed, if it is something to tell."""
        if transition(former.status, status):
            ready = status.condition(READY)
            message = ready.message if ready is not None else finding.message
            self._add(former, "Normal" if finding.reason.ready else "Warning", finding.reason.value, message)
        if finding.trailing_newline:
            self._add(former, "Warning", "TrailingNewline", _NEWLINE)

    def _add(
        self, obj: MethodSecret, kind: Literal["Normal", "Warning"], reason: Reason | str, message: str
    ) -> None:
        if self._backlog.qsize() >= (_BACKLOG if kind == "Warning" else _BACKLOG_OF_GOOD_NEWS):
            _log.debug("event dropped: too many are waiting", object=obj.key, reason=reason)
            return
        self._backlog.put_nowait(
            _Announcement(obj=obj, type=kind, reason=str(reason), message=message, at=self._clock())
        )

    async def run(self) -> None:
        """Post what is announced, for ever."""
        async with asyncio.TaskGroup() as posters:
            for _ in range(_POSTERS):
                posters.create_task(self._post())

    async def flush(self, *, seconds: float) -> None:
        """Post what is announced without pausing any more, and wait for that, at most so long."""
        self._ending.set()
        try:
            async with asyncio.timeout(seconds):
                await self._backlog.join()
        except TimeoutError:
            _log.debug("events left unposted", count=self._backlog.qsize())

    async def _post(self) -> None:
        while True:
            item = await self._backlog.get()
            meta = item.obj.metadata
            body = build_event(
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
                resource_version=meta.resource_version,
                type=item.type,
                reason=item.reason,
                message=item.message,
                now=item.at,
                instance=self._instance,
            )
            try:
                await self._kube.create_event(meta.namespace, body)
            except KubeError as error:
                _log.debug("event not posted", object=item.obj.key, error=str(error))
            finally:
                self._backlog.task_done()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._ending.wait()
