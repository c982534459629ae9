"""Which MethodSecrets refer to a Secret, for their value or their API key: who is woken when it changes."""

from __future__ import annotations

from collections.abc import Iterable


class Dependents:
    """Both directions of the references between objects (`namespace/name`) and Secrets (the same)."""

    def __init__(self) -> None:
        self._by_secret: dict[str, set[str]] = {}
        self._by_object: dict[str, frozenset[str]] = {}

    def set(self, key: str, secrets: Iterable[str]) -> None:
        """Say which Secrets an object refers to; an empty list forgets it."""
        wanted, former = frozenset(secrets), self._by_object.get(key, frozenset())
        for secret in former - wanted:
            self._by_secret[secret].discard(key)
            if not self._by_secret[secret]:
                del self._by_secret[secret]
        for secret in wanted - former:
            self._by_secret.setdefault(secret, set()).add(key)
        if wanted:
            self._by_object[key] = wanted
        else:
            self._by_object.pop(key, None)

    def of(self, secret: str) -> frozenset[str]:
        """Return the objects that refer to a Secret."""
        return frozenset(self._by_secret.get(secret, ()))
