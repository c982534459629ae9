"""What an account at Method holds of ours: the second guard against a second create.

One complete scan before the first create after a start, shared by all who wait for it; kept current by our
own writes; scanned again at each resync, and once where a create of unknown outcome was let go. A scan is
merged into what was written since it began: an answer that was on its way meanwhile must neither hide a new
secret nor bring a deleted one back. What was answered in the last minutes before is known as well where a
list that lags has it not, but counts as not listed.

The first scan also shows what a process before this one has created within the last minute, which the API
still counts: the budget for writes is told.

Only names are kept: of marked secrets id, status, owner, uid and revision; of all others just the id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Final

import structlog

from methodsecret_operator.core.identity import Marker
from methodsecret_operator.core.remote import DELETED, MarkedSecret, RemoteSecret
from methodsecret_operator.errors import MethodUnauthorized, MethodUnavailable
from methodsecret_operator.method.budget import WINDOW
from methodsecret_operator.method.client import MethodClient
from methodsecret_operator.method.wire import Page

LAG: Final = timedelta(minutes=10)
"""How long a list may lag behind what Method has answered."""

_FEW: Final = 3
_SHARE: Final = 0.1
_MAX_PAGES: Final = 100_000
"""A list that does not end is broken: ten million secrets are more than an account has."""

_log = structlog.get_logger(__name__)


class Inventory:
    """The marked secrets of one account by owner. `clock` gives the time in UTC.

    `clusters` are the names in whose marks the budget's earlier users are recognised: this cluster's own.
    `refused` is true where the API key may not list: then there is no second guard, and the caller goes on
    with the first one alone.
    """

    def __init__(
        self, client: MethodClient, *, clock: Callable[[], datetime], clusters: Collection[str] = ()
    ) -> None:
        self._client = client
        self._clock = clock
        self._clusters = frozenset(clusters)
        self._by_owner: dict[str, dict[str, MarkedSecret]] = {}
        self._owner_of: dict[str, str] = {}
        self._others: set[str] = set()
        self._vanished: set[str] = set()
        self._judged_at: datetime | None = None
        self._written: dict[str, RemoteSecret | None] = {}
        self._answered: dict[str, tuple[datetime, MarkedSecret]] = {}  # of the last LAG
        self._unlisted: set[str] = set()  # those of them that the last scan has not
        self._scanning: asyncio.Task[None] | None = None
        self._outdated = 0  # how often it was called outdated, and how many of these the last scan covers:
        self._covered = 0  # counted, since the time of day may be put back
        self.scanned_at: datetime | None = None  # when the last scan began
        self.listed_at: datetime | None = None  # when it was complete
        self.whole = False
        self.refused = False
        self.mass_absence = False

    def __len__(self) -> int:
        return len(self._owner_of)

    @property
    def scanning(self) -> bool:
        """Whether a scan is under way: of 100,000 secrets it can take many minutes."""
        return self._scanning is not None and not self._scanning.done()

    @property
    def others(self) -> int:
        """How many secrets carry no marker."""
        return len(self._others)

    def marked(self) -> Iterator[MarkedSecret]:
        """Yield every marked secret."""
        for entries in self._by_owner.values():
            yield from entries.values()

    @property
    def current(self) -> bool:
        """Whether a scan has been made that began after this inventory was last called outdated."""
        return self.scanned_at is not None and self._covered == self._outdated

    def outdate(self) -> None:
        """Take in that something may have been stored that only a scan from now on will show."""
        self._outdated += 1

    async def ready(self) -> None:
        """Return once there is a scan from after the last `outdate` before this call, or listing was refused.

        At most two are waited for: one may be under way that began too early. Raises MethodError.
        """
        needed = self._outdated
        while (self.scanned_at is None or self._covered < needed) and not self.refused:
            await self._join()

    async def scan(self, *, since: datetime) -> None:
        """Return once a scan is complete that began at `since` or later, or listing was refused.

        `since` is no later than now: then the second of the scans that are waited for here, which began
        after the call, is late enough even if the clock was put back meanwhile. Raises MethodError.
        """
        for _ in range(2):
            if self.scanned_at is not None and self.scanned_at >= since:
                return
            await self._join()
            if self.refused:
                return

    async def scan_again(self, *, since: datetime) -> None:
        """Return once another scan is complete than the last, which began at `since` or later.

        Raises MethodError.
        """
        await self._join()
        await self.scan(since=since)

    async def _join(self) -> None:
        """Wait for the scan that is running, or start one. Raises MethodError."""
        # One that is done may not have been cleared away yet; to wait for it would be no waiting at all.
        if self._scanning is None or self._scanning.done():
            scan = self._scan(began=self._clock(), covers=self._outdated)
            self._scanning = asyncio.create_task(scan, name="inventory")
            self._scanning.add_done_callback(self._ended)
        elif self._client.silent("list"):
            raise MethodUnavailable(operation="list", kind="held")  # as the client does with every other call
        # One who is cancelled must not take the scan from the others.
        await asyncio.shield(self._scanning)

    def of(self, owner: str) -> tuple[MarkedSecret, ...]:
        """Return what is known of an owner's secrets."""
        return tuple(self._by_owner.get(owner, {}).values())

    def has(self, secret_id: str) -> bool | None:
        """Whether the last scan, and what was written since, has this id; None where no whole scan says."""
        if (secret_id in self._owner_of and secret_id not in self._unlisted) or secret_id in self._others:
            return True
        return False if self.whole else None

    def vanished(self, secret_id: str) -> bool:
        """Whether this account had an id while the process lives, and has it no more."""
        return secret_id in self._vanished

    @property
    def judged(self) -> bool:
        """Whether the last scan has been compared with what statuses name; true where there is none to be."""
        return self.refused or (self._judged_at is not None and self._judged_at == self.scanned_at)

    def judge(self, known: Collection[str]) -> set[str]:
        """Compare the ids that statuses name with what is there; return those that are not.

        Where none is visible, or more than a few are missing, that is no drift but another account (or a
        broken list): `mass_absence` is true until they are back.
        """
        absent = {secret_id for secret_id in known if self.has(secret_id) is False}
        few = max(_FEW, _SHARE * len(known))
        mass = bool(absent) and (len(absent) == len(set(known)) or len(absent) > few)
        if mass and not self.mass_absence:
            _log.error(
                "too many known secrets are missing: another account?", missing=len(absent), known=len(known)
            )
        self.mass_absence, self._judged_at = mass, self.scanned_at
        self._vanished.intersection_update(known)  # nobody asks about others
        return absent

    def learn(self, secret: RemoteSecret) -> None:
        """Take in what a create or a retrieve has answered."""
        self._put(secret)
        owner = self._owner_of.get(secret.id)
        if owner is not None:
            self._answered[secret.id] = (self._clock(), self._by_owner[owner][secret.id])
        if self._scanning is not None:
            self._written[secret.id] = secret

    def forget(self, secret_id: str) -> None:
        """Take in that a secret is deleted, or was found to be gone."""
        self._drop(secret_id)
        if self._scanning is not None:
            self._written[secret_id] = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._scanning is task:
            self._scanning = None
        if not task.cancelled():
            task.exception()  # whoever waits gets it; nobody may be waiting any more

    async def _scan(self, *, began: datetime, covers: int) -> None:
        self._written = {}
        listed: dict[str, RemoteSecret] = {}
        earlier: list[float] = []
        whole, total = True, None
        try:
            async for page in pages(self._client):
                whole = whole and page.unreadable == 0
                total = page.total
                if self.scanned_at is None:
                    earlier.extend(self._ages(page))
                listed.update((secret.id, _names_only(secret)) for secret in page.secrets)
        except MethodUnauthorized as error:
            if error.status != 403:  # noqa: PLR2004 - 401 is a wrong key: nothing works with it
                raise
            if not self.refused:
                _log.warning("listing refused: only idempotency keys guard against duplicates", status=403)
            self.refused = True
            return
        self._client.writes.count_earlier(earlier)
        former = self._owner_of.keys()
        self._by_owner, self._owner_of, self._others, self._unlisted = {}, {}, set(), set()
        for secret_id, secret in (listed | self._written).items():
            if secret is None:
                self._drop(secret_id)
            else:
                self._put(secret)
        self._keep_answered(began)
        self._vanished |= former - self._owner_of.keys() - self._others
        # Fewer than the API says there are: those that came are there, but none is to be missed.
        whole = whole and (total is None or len(listed) >= total)
        self.refused, self.whole, self.scanned_at, self._covered = False, whole, began, covers
        self.listed_at = self._clock()
        _log.info("inventory scanned", marked=len(self._owner_of), others=len(self._others), whole=whole)

    def _keep_answered(self, began: datetime) -> None:
        """Go on knowing what was answered shortly before a scan began that has it not."""
        self._answered = {one: entry for one, entry in self._answered.items() if began - entry[0] < LAG}
        for secret_id, (_, entry) in self._answered.items():
            if secret_id not in self._owner_of and secret_id not in self._others:
                self._take(entry)
                self._unlisted.add(secret_id)

    def _ages(self, page: Page) -> Iterator[float]:
        """Yield how many seconds ago this cluster's secrets of the last minute were created.

        By the API's own clock, where it tells the time; by ours, which may differ, where it does not.
        """
        now = page.sent_at or self._clock()
        for secret in page.secrets:
            marker, created = Marker.read(secret.metadata), secret.created
            if marker is None or created is None or marker.cluster not in self._clusters:
                continue
            age = (now - created).total_seconds()
            if abs(age) < WINDOW:
                yield max(0.0, age)

    def _put(self, secret: RemoteSecret) -> None:
        self._vanished.discard(secret.id)
        self._unlisted.discard(secret.id)
        marker = Marker.read(secret.metadata)
        if secret.status == DELETED:
            self._drop(secret.id)
        elif marker is None:
            self._others.add(secret.id)
        else:
            self._take(MarkedSecret(id=secret.id, status=secret.status, marker=marker))

    def _take(self, entry: MarkedSecret) -> None:
        self._by_owner.setdefault(entry.marker.owner, {})[entry.id] = entry
        self._owner_of[entry.id] = entry.marker.owner

    def _drop(self, secret_id: str) -> None:
        self._others.discard(secret_id)
        self._unlisted.discard(secret_id)
        self._answered.pop(secret_id, None)
        owner = self._owner_of.pop(secret_id, None)
        if owner is not None:
            self._vanished.add(secret_id)
            entries = self._by_owner[owner]
            del entries[secret_id]
            if not entries:
                del self._by_owner[owner]


async def pages(client: MethodClient) -> AsyncIterator[Page]:
    """Yield every page of an account's list. Raises MethodError, also where the list goes in a circle."""
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(_MAX_PAGES):
        page = await client.list_page(cursor=cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return
        if cursor in seen:
            break
        seen.add(cursor)
    raise MethodUnavailable(operation="list", kind="unreadable")


def _names_only(secret: RemoteSecret) -> RemoteSecret:
    """Return the secret without what a foreign one may carry: 100,000 of them are held for a moment."""
    marker = Marker.read(secret.metadata)
    return RemoteSecret(
        id=secret.id, status=secret.status, metadata=None if marker is None else marker.to_metadata()
    )
