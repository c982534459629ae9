"""What to say, remember and believe when a call to Method did not give what was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from methodsecret_operator.core import absence
from methodsecret_operator.core.conditions import CURRENT_STAYS, Reason, Sentence
from methodsecret_operator.core.findings import report
from methodsecret_operator.core.resource import PendingCreate
from methodsecret_operator.core.snapshot import Attempt, Create, Finding, Retry, Snapshot
from methodsecret_operator.errors import (
    IDEMPOTENT_ANSWERS,
    MethodError,
    MethodRateLimited,
    MethodUnauthorized,
)

UNAUTHORIZED_RETRY: Final = 300.0
"""Seconds between tries with an API key that was refused; a changed key is tried at once."""

SERVER_ERROR_FOR: Final = timedelta(minutes=10)
"""How long a key must have given nothing but failures not stored under it, before another is used."""

_SERVER_ERROR: Final = 500


def failed(snapshot: Snapshot, create: Create, error: MethodError) -> tuple[Finding, Attempt]:
    """Return what to say when a create failed, and what to remember of it.

    A failure that is stored under the idempotency key will come back for ever: on with the next ordinal. A
    refusal that is not leaves the key unused, and it is used again: another process, which knows less of what
    was tried, comes by the same one. That holds for its own try only: an API key that was revoked meanwhile
    is refused before anybody looks at what is stored. Anything else may have been done, and is asked again
    with the same key and body.
    """
    if error.definite and error.idem_status in IDEMPOTENT_ANSWERS:
        attempt = _next(snapshot, create)
    elif error.definite and not _tried_before(snapshot, create):
        attempt = Attempt(revision=create.revision, ordinal=create.ordinal, since=snapshot.now)
    else:
        server_error = error.status is not None and error.status >= _SERVER_ERROR
        attempt = _same(snapshot, create, failing=error.definite or server_error)
    reason, sentence, retry = _failure(snapshot, error)
    said = report(
        snapshot,
        reason,
        sentence,
        retry=retry,
        status=error.status,
        environment=create.environment,
        pending=PendingCreate(revision=attempt.revision, ordinal=attempt.ordinal),
    )
    return said, attempt


def gone(snapshot: Snapshot, create: Create, secret_id: str, *, deleted: bool) -> tuple[Finding, Attempt]:
    """Return what to say when a replayed answer named a secret that is not there.

    A secret that is known to be deleted, or is believed to be gone, ends this key; one that Method does
    not know yet may still appear.
    """
    if deleted or absence.gone(snapshot, secret_id):
        attempt = _next(snapshot, create)
    else:
        attempt = _same(snapshot, create, failing=False)
    said = report(
        snapshot,
        Reason.PENDING,
        Sentence.SETTLING,
        retry="backoff" if attempt.unresolved else 0.0,
        pending=PendingCreate(revision=attempt.revision, ordinal=attempt.ordinal),
    )
    return said, attempt


def other_key_from(attempt: Attempt) -> datetime | None:
    """Return when a list has to have begun, at the earliest, for a create to go on with another key.

    That is after ten minutes of nothing but failures, and after the last try, for that may have been done.
    None where the last one ended in silence: then only the same key can tell.
    """
    if attempt.failing_since is None:
        return None
    patience_ends = attempt.failing_since + SERVER_ERROR_FOR
    return max(patience_ends, attempt.tried_at or patience_ends)


def written_off(snapshot: Snapshot, attempt: Attempt) -> bool:
    """Whether a create of unknown outcome counts as not done, where the last list does not show it."""
    since = other_key_from(attempt)
    return since is not None and snapshot.scanned_at is not None and snapshot.scanned_at >= since


def unconfirmed(snapshot: Snapshot, error: MethodError) -> Finding:
    """Return what to say when Method could not be asked about a secret, or about all of them."""
    reason, sentence, retry = _failure(snapshot, error)
    if reason is Reason.REJECTED:  # nothing was to be stored, so neither value nor metadata is to blame
        sentence = Sentence.REJECTED_ASKING
    return report(snapshot, reason, sentence, retry=retry, stays=CURRENT_STAYS, status=error.status)


def _tried_before(snapshot: Snapshot, create: Create) -> bool:
    attempt = snapshot.attempt
    return attempt is not None and attempt.unresolved == create and attempt.tried_at is not None


def _same(snapshot: Snapshot, create: Create, *, failing: bool) -> Attempt:
    former = snapshot.attempt if snapshot.attempt and snapshot.attempt.unresolved == create else None
    failing_since = former.failing_since if former is not None else None
    return Attempt(
        revision=create.revision,
        ordinal=create.ordinal,
        since=former.since if former is not None else snapshot.now,
        unresolved=create,
        tried_at=snapshot.now,
        failing_since=(failing_since or snapshot.now) if failing else None,
    )


def _next(snapshot: Snapshot, create: Create) -> Attempt:
    return Attempt(revision=create.revision, ordinal=create.ordinal + 1, since=snapshot.now)


def _failure(snapshot: Snapshot, error: MethodError) -> tuple[Reason, Sentence, Retry]:
    if isinstance(error, MethodRateLimited):
        return Reason.RATE_LIMITED, Sentence.RATE_LIMITED, error.retry_after or 60.0
    if isinstance(error, MethodUnauthorized):
        own = snapshot.object.spec.account is not None
        sentence = Sentence.UNAUTHORIZED_ACCOUNT if own else Sentence.UNAUTHORIZED_DEFAULT
        return Reason.UNAUTHORIZED, sentence, UNAUTHORIZED_RETRY
    if error.definite and error.status is not None and error.status < _SERVER_ERROR:
        return Reason.REJECTED, Sentence.REJECTED, "resync"
    return Reason.METHOD_UNAVAILABLE, Sentence.METHOD_UNAVAILABLE, "backoff"
