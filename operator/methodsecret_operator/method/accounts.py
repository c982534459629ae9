"""One client per API and API key, one budget per API key: shared by all objects that use the account.

Keys live in memory only, as the keys of two dicts. Nothing is logged.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

import httpx
from pydantic import SecretStr

from methodsecret_operator import errors
from methodsecret_operator.core.rounds import Rounds
from methodsecret_operator.method import wire
from methodsecret_operator.method.budget import WINDOW, Budget
from methodsecret_operator.method.client import Deadlines, MethodClient, Observe
from methodsecret_operator.method.inventory import Inventory

if TYPE_CHECKING:
    from methodsecret_operator.method.budget import Clock

Tier = Literal["writes", "reads"]


@dataclass(frozen=True, slots=True)
class Budgets:
    """What one API key may send, by tier."""

    writes: Budget
    reads: Budget


@dataclass(frozen=True, slots=True)
class Account:
    """One API key at one API: how to call it, and what it holds of ours."""

    client: MethodClient
    inventory: Inventory


class Accounts:
    """Makes clients on first use; closes them when nobody uses them any more, and at the end.

    The limits are the API's, in requests per 60 s and API key. Raises SettingsError where the trusted
    certificates (SSL_CERT_FILE, SSL_CERT_DIR, else certifi's) cannot be read. `clock` is the running event
    loop where it is not given. `clusters` are the names by which this cluster's secrets are marked: what an
    earlier process has created within the last minute counts for the budget. `observe` is told of every
    request, `waited` of every wait for a budget: the tier (writes, reads) and its seconds.
    """

    def __init__(
        self,
        *,
        writes_per_minute: int,
        reads_per_minute: int,
        clusters: Collection[str] = (),
        deadlines: Deadlines | None = None,
        clock: Clock | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        observe: Observe = lambda _operation, _status, _seconds: None,
        waited: Callable[[Tier, float], None] = lambda _tier, _seconds: None,
    ) -> None:
        self._writes_per_minute = writes_per_minute
        self._reads_per_minute = reads_per_minute
        self._clusters = clusters
        self._deadlines = deadlines or Deadlines()
        self._clock = clock
        self._verify = _trusted()
        self._now = now
        self._observe = observe
        self._waited = waited
        self._accounts: dict[tuple[str, SecretStr], Account] = {}
        self._budgets: dict[SecretStr, Budgets] = {}
        self._rounds: Rounds[tuple[str, SecretStr]] = Rounds()
        self._first_used: float | None = None

    async def account(self, *, base_url: str, api_key: SecretStr) -> Account:
        """Return the account of an API key, without the white space that files and Secrets tend to end in.

        Raises MethodUnauthorized (kind `invalid-key`) for what cannot be an API key.
        """
        key = SecretStr(api_key.get_secret_value().strip())
        if not wire.is_api_key(key.get_secret_value()):
            raise errors.MethodUnauthorized(operation="ping", kind="invalid-key")
        place = (base_url.rstrip("/"), key)
        self._rounds.use(place)
        account = self._accounts.get(place)
        if account is None:
            budgets = self.budgets(key)
            client = MethodClient(
                base_url=base_url,
                api_key=key,
                writes=budgets.writes,
                reads=budgets.reads,
                verify=self._verify,
                deadlines=self._deadlines,
                observe=self._observe,
            )
            inventory = Inventory(client, clock=self._now, clusters=self._earlier())
            account = Account(client=client, inventory=inventory)
            self._accounts[place] = account
        return account

    def _earlier(self) -> Collection[str]:
        """Return whose creates of the last minute may be an earlier process's: nobody's, after a minute.

        Counted from the first use, not from the start: a standby may have waited for hours by then.
        """
        now = (self._clock or asyncio.get_running_loop()).time()
        if self._first_used is None:
            self._first_used = now
        return self._clusters if now - self._first_used < WINDOW else ()

    def budgets(self, api_key: SecretStr) -> Budgets:
        """Return the budgets of an API key, the same for every API that it is used at."""
        budgets = self._budgets.get(api_key)
        if budgets is None:
            clock = self._clock or asyncio.get_running_loop()
            budgets = Budgets(
                writes=Budget(
                    limit=self._writes_per_minute, clock=clock, waited=partial(self._waited, "writes")
                ),
                reads=Budget(
                    limit=self._reads_per_minute, clock=clock, waited=partial(self._waited, "reads")
                ),
            )
            self._budgets[api_key] = budgets
        return budgets

    def all_budgets(self) -> tuple[Budgets, ...]:
        """Return every account's budgets, for metrics; which key they belong to is not told."""
        return tuple(self._budgets.values())

    def all_accounts(self) -> tuple[Account, ...]:
        """Return every account in use; which key it belongs to is not told."""
        return tuple(self._accounts.values())

    async def end_round(self) -> int:
        """Close what was not asked for in this round and the one before, and forget its key; say how many.

        A budget stays for as long as the API counts what was sent: the key may come back.
        """
        unused = [place for place in self._rounds.end(self._accounts) if self._accounts[place].client.idle]
        closed = [self._accounts.pop(place) for place in unused]
        used = {key for _, key in self._accounts}
        for key in [key for key in self._budgets if key not in used]:
            if self._budgets[key].writes.idle and self._budgets[key].reads.idle:
                del self._budgets[key]
        await asyncio.gather(*(account.client.aclose() for account in closed))
        return len(closed)

    async def aclose(self) -> None:
        """Close every client and forget every key."""
        accounts, self._accounts = list(self._accounts.values()), {}
        budgets, self._budgets = list(self._budgets.values()), {}
        for budget in budgets:
            budget.writes.close()
            budget.reads.close()
        await asyncio.gather(*(account.client.aclose() for account in accounts))


def _trusted() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError):
        raise errors.SettingsError(
            "the trusted certificates named by SSL_CERT_FILE or SSL_CERT_DIR cannot be read"
        ) from None
