"""Taking over a secret that is at Method already, instead of creating one (`spec.adopt`).

Only for an object that has no secret yet, neither in its status nor at Method: a cluster rebuilt after a
rotation must not fall back to what was adopted long ago. Nothing is taken from anybody else.
"""

from __future__ import annotations

from typing import Final

from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.findings import adopted, report
from methodsecret_operator.core.remote import ACTIVE, DELETED
from methodsecret_operator.core.resource import Source
from methodsecret_operator.core.snapshot import Action, Examine, Finding, Snapshot

RETRY: Final = 30.0
"""Seconds between looks at what stands in the way: a rename is two steps, the second may take a moment."""


def decide(s: Snapshot, held: Source, *, environment: str) -> Action | None:
    """Decide on an object without a secret; None where there is nothing to adopt."""
    wanted = s.object.spec.adopt
    # One that was adopted away under another name keeps our mark, and is another object's by now.
    has_one = any(marked.status != DELETED and marked.id not in s.claimed for marked in s.marked)
    if wanted is None or s.object.status.id is not None or has_one:
        return None
    if s.adoption is None:
        return Examine(id=wanted.id)
    remote = s.adoption.remote
    if remote is None or remote.status != ACTIVE:
        return _failed(s, Sentence.ADOPT_NOT_ACTIVE)
    if s.adoption.claimed_by is not None:
        return _failed(s, Sentence.ADOPT_CLAIMED, claimed_by=s.adoption.claimed_by)
    if s.adoption.owner_alive:
        return _failed(s, Sentence.ADOPT_FOREIGN)
    return adopted(s, held=held, environment=environment, secret=remote)


def _failed(s: Snapshot, sentence: Sentence, *, claimed_by: str | None = None) -> Finding:
    wanted = s.object.spec.adopt
    adopt = wanted.id if wanted is not None else None
    return report(s, Reason.ADOPTION_FAILED, sentence, retry=RETRY, adopt=adopt, claimed_by=claimed_by)
