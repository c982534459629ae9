"""The secrets of each account, and how they are listed. Pure: no I/O, clock and randomness are passed in.

A value is never kept: only its HMAC under a key that lives as long as the process, which is enough to
answer a test's question whether an id holds a certain value, and useless to anyone else.

Listing is newest first. A cursor is the id of the secret that its page begins with; it names a place in
the order of creation, so it stays right when that secret, or any other, has been deleted meanwhile. No
page costs more for a longer list: a place is found by bisection.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

ACTIVE: Final = "active"
DELETED: Final = "deleted"
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def serialised(value: object) -> bytes:
    """Return compact JSON as UTF-8; lone surrogates, which JSON can express, pass through."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


@dataclass(slots=True, kw_only=True)
class Secret:
    """One stored secret: everything but its value."""

    id: str
    account: str
    place: int  # in the order of creation, over all accounts
    metadata: dict[str, Any] | None
    status: str
    created_at: str
    updated_at: str
    digest: bytes = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """Return what the API answers."""
        return {
            "id": self.id,
            "metadata": self.metadata,
            "status": self.status,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list and what the pagination headers say about it."""

    secrets: list[Secret]
    page: int
    page_count: int
    limit: int
    total: int
    previous_cursor: str | None
    next_cursor: str | None


class UnknownCursorError(LookupError):
    """The cursor is no id that this account ever had."""


@dataclass(slots=True)
class _Account:
    listed: list[int] = field(default_factory=list)  # places of the secrets not deleted, ascending
    every: list[int] = field(default_factory=list)  # the same with the deleted ones
    places: dict[str, int] = field(default_factory=dict)  # of every id ever made: cursors outlive secrets


class SecretStore:
    """All accounts. An id is found only by the account that made it."""

    def __init__(self, *, digest_key: bytes, rng: random.Random, wall_clock: Callable[[], float]) -> None:
        self._digest_key = digest_key
        self._rng = rng
        self._wall_clock = wall_clock
        self._accounts: dict[str, _Account] = {}
        self._secrets: dict[str, Secret] = {}
        self._by_place: dict[int, Secret] = {}
        self._next_place = 0

    def __repr__(self) -> str:
        return f"SecretStore({len(self._secrets)} secrets)"

    def digest(self, value: str) -> bytes:
        """Return the value's digest; comparable within this process only."""
        return hmac.digest(self._digest_key, value.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def create(
        self,
        *,
        account: str,
        digest: bytes,
        metadata: dict[str, Any] | None,
        status: str = ACTIVE,
        secret_id: str | None = None,
        created_at: str | None = None,
    ) -> Secret:
        """Store a new secret under a new id, or under that one, which must be free."""
        if secret_id is None:
            secret_id = self._new_id()
            while secret_id in self._secrets:
                secret_id = self._new_id()
        now = created_at or self._timestamp()
        secret = Secret(
            id=secret_id, account=account, place=self._next_place, metadata=metadata, status=status,
            created_at=now, updated_at=now, digest=digest,
        )  # fmt: skip
        self._next_place += 1
        places = self._accounts.setdefault(account, _Account())
        places.every.append(secret.place)
        if status != DELETED:
            places.listed.append(secret.place)
        places.places[secret_id] = secret.place
        self._secrets[secret_id] = secret
        self._by_place[secret.place] = secret
        return secret

    def get(self, account: str, secret_id: str) -> Secret | None:
        """Return the secret, deleted or not; None where the account has no such id."""
        secret = self._secrets.get(secret_id)
        return secret if secret is not None and secret.account == account else None

    def delete(self, secret: Secret) -> None:
        """Mark a secret deleted and take it out of the list."""
        self.set_status(secret, DELETED)

    def set_status(self, secret: Secret, status: str) -> None:
        """Give a secret any status, also one that no client knows yet."""
        account = self._accounts[secret.account]
        if status == DELETED and secret.status != DELETED:
            _remove(account.listed, secret.place)
        elif status != DELETED and secret.status == DELETED:
            account.listed.insert(bisect_left(account.listed, secret.place), secret.place)
        secret.status = status
        secret.updated_at = self._timestamp()

    def set_metadata(self, secret: Secret, metadata: dict[str, Any] | None) -> None:
        """Replace the metadata, which the API itself cannot: a way to simulate drift."""
        secret.metadata = metadata
        secret.updated_at = self._timestamp()

    def vanish(self, secret: Secret) -> None:
        """Forget a secret without a trace, as the API never does: a way to simulate drift."""
        account = self._accounts[secret.account]
        _remove(account.every, secret.place)
        if secret.status != DELETED:
            _remove(account.listed, secret.place)
        del self._secrets[secret.id]
        del self._by_place[secret.place]

    def find(self, secret_id: str) -> Secret | None:
        """Return the secret whatever its account; for the control endpoint only."""
        return self._secrets.get(secret_id)

    def secrets(self, account: str | None = None) -> Iterator[Secret]:
        """Yield every secret, deleted ones too, oldest first."""
        for secret in list(self._secrets.values()):
            if account is None or secret.account == account:
                yield secret

    def accounts(self) -> list[str]:
        """Return the names of the accounts that ever held a secret."""
        return sorted(self._accounts)

    def page(
        self,
        account: str,
        *,
        limit: int,
        page: int = 1,
        cursor: str | None = None,
        with_deleted: bool = False,
    ) -> Page:
        """Return one page, by number or by cursor.

        Raises UnknownCursorError.
        """
        held = self._accounts.get(account) or _Account()
        order = held.every if with_deleted else held.listed
        total = len(order)
        if cursor is None:
            start = (page - 1) * limit
        else:
            place = held.places.get(cursor)
            if place is None:
                raise UnknownCursorError
            start = total - bisect_right(order, place)
            page = start // limit + 1
        high = max(total - start, 0)
        low = max(high - limit, 0)
        previous = order[total - 1 - max(start - limit, 0)] if 0 < start <= total else None
        following = order[low - 1] if low > 0 else None
        return Page(
            secrets=[self._by_place[place] for place in reversed(order[low:high])],
            page=page,
            page_count=max(1, -(-total // limit)),
            limit=limit,
            total=total,
            previous_cursor=None if previous is None else self._by_place[previous].id,
            next_cursor=None if following is None else self._by_place[following].id,
        )

    def clear(self) -> None:
        """Forget every secret of every account."""
        self._accounts.clear()
        self._secrets.clear()
        self._by_place.clear()

    def _new_id(self) -> str:
        return "sec_" + "".join(self._rng.choices(_ALPHABET, k=13))

    def _timestamp(self) -> str:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def metadata_matches(metadata: Mapping[str, Any] | None, wanted: Mapping[str, str]) -> bool:
    """Tell whether every wanted key holds a text that starts with the wanted one."""
    held = metadata or {}
    return all(
        isinstance(value := held.get(key), str) and value.startswith(start) for key, start in wanted.items()
    )


def _remove(order: list[int], place: int) -> None:
    del order[bisect_left(order, place)]
