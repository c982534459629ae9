"""When an id that Method does not know is believed to be gone.

A read may lag behind or fail for one id, and so may a list. Where the inventory has an id, the list is asked
again before a 404 outweighs it: a secret that is there would be stored a second time, or be left behind when
its object goes. Where it has not, or listing is refused, time alone decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from methodsecret_operator.core.remote import ACTIVE
from methodsecret_operator.core.snapshot import MISSING_FOR, Finding, ListAnew, Snapshot


def gone(s: Snapshot, secret_id: str) -> bool:
    """Whether it is believed: Method has not known the id for long enough, and no list shows it."""
    return s.missed(secret_id) and secret_id not in s.listed


def contradicted(s: Snapshot, secret_id: str) -> bool:
    """Whether Method did not know an id when it was asked in this look, and its list shows it."""
    return s.evidence.get(secret_id, ACTIVE) is None and secret_id in s.listed


def awaited(s: Snapshot, secret_id: str, said: Finding) -> ListAnew | Finding | None:
    """Return what to do until an id that is not known is believed to be gone; None where it is."""
    if gone(s, secret_id):
        return None
    return listing(s, (secret_id,)) or replace(said, retry=MISSING_FOR.total_seconds())


def listing(s: Snapshot, ids: Iterable[str]) -> ListAnew | None:
    """Return the list that may settle it for one of these ids; at most one in MISSING_FOR, for all objects.

    It counts from the end of the last one: with a list that takes longer than that there would be no end.
    """
    if s.listed_at is not None and s.now - s.listed_at < MISSING_FOR:
        return None
    for secret_id in ids:
        if secret_id in s.listed and s.missed(secret_id):
            return ListAnew(since=s.missing[secret_id])
    return None
