"""What is to be deleted at Method, and when an object with our finalizer may go.

A secret is deleted only if its marker, read at that moment, names this object's owner, and no other object
goes by it: a status that was edited by hand, or restored elsewhere, must not delete somebody else's. An
outage never turns Delete into Retain: the finalizer goes with work undone only where nobody can do that work
any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from methodsecret_operator.core import absence, outcome, salvage
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.findings import finding, report
from methodsecret_operator.core.identity import Marker, revision_key_id
from methodsecret_operator.core.remote import ACTIVE, DELETED, RemoteSecret
from methodsecret_operator.core.resource import (
    FINALIZER,
    SUPERSEDED_LIMIT,
    DeletionPolicy,
    Superseded,
    parse_duration,
)
from methodsecret_operator.core.snapshot import (
    MISSING_FOR,
    AccountReady,
    Action,
    Confirm,
    Create,
    Delete,
    Finding,
    Leave,
    Problem,
    Retry,
    SetFinalizer,
    Snapshot,
)

_LONGEST_PAUSE: Final = 60.0
"""Seconds between looks at a deletion that cannot be done now."""

_BARRED: Final = frozenset(
    {Sentence.CREDENTIALS_NOT_READABLE, Sentence.NAMESPACE_NOT_ALLOWED, Sentence.ACCOUNT_NOT_READABLE}
)
"""Where an API key may well be there, and somebody can let the operator have it: none of these is its end."""


def decide(s: Snapshot) -> Action:
    """Decide on an object that is being deleted."""
    meta = s.object.metadata
    if FINALIZER not in meta.finalizers:
        return Leave()
    if salvage.DELETION_POLICY in s.object.unread:
        # What is deleted on a guess is lost; what is left on one is found by its marker.
        return SetFinalizer(present=False, undone=tuple(_ids(s)))
    if s.object.spec.deletion_policy is DeletionPolicy.RETAIN:
        return SetFinalizer(present=False)
    if isinstance(s.account, Problem):
        barred = s.account.sentence in _BARRED and not s.namespace_terminating
        if not barred and _timed_out(s, s.refused_since):
            return SetFinalizer(present=False, undone=tuple(_ids(s)))
        again = _LONGEST_PAUSE if barred else _look_again(s, s.refused_since)
        return report(s, s.account.reason, s.account.sentence, retry=again)
    if (unresolved := _unresolved(s)) is not None:
        # What may have been created is found out first, or it could not be deleted.
        return unresolved
    claimed = tuple(secret_id for secret_id in _ids(s) if secret_id in s.claimed)
    elsewhere = tuple(one for one in _ids(s) if one not in claimed and _elsewhere(s, one))
    for secret_id in _ids(s):
        if secret_id not in elsewhere and (action := _delete(s, secret_id)) is not None:
            return action
    return _let_go(s, claimed=claimed, elsewhere=elsewhere)


def _unresolved(s: Snapshot) -> Create | None:
    """Return the create whose outcome is not known, where no list shows it and it is not written off."""
    if s.attempt is None or (create := s.attempt.unresolved) is None:
        return None
    others = s.object.status.condemned | s.claimed
    found = any(
        marked.marker.uid == s.object.metadata.uid
        and marked.marker.revision == create.revision
        and marked.status == ACTIVE
        and marked.id not in others
        for marked in s.marked
    )
    return None if found or outcome.written_off(s, s.attempt) else create


def _let_go(s: Snapshot, *, claimed: tuple[str, ...], elsewhere: tuple[str, ...]) -> Action:
    """Let the object go, once nothing is left to delete, or what is left has been held for long enough."""
    settled = {*claimed, *elsewhere}
    listed = tuple(one for one in _ids(s) if one not in settled and absence.contradicted(s, one))
    stay = (*elsewhere, *listed)
    since = min((s.missing.get(secret_id, s.now) for secret_id in stay), default=s.now)
    if not stay or _timed_out(s, since):
        return SetFinalizer(present=False, undone=stay, claimed=claimed)
    if elsewhere and (asked := _another_environment(s)) is not None:
        said = finding(
            s,
            Reason.ACCOUNT_CHANGED,
            Sentence.ENVIRONMENT_CHANGED_AT_DELETION,
            id=elsewhere[0],
            former=s.object.status.environment,
            environment=asked,
        )
    elif elsewhere:
        said = finding(s, Reason.ACCOUNT_CHANGED, Sentence.IDS_MISSING_AT_DELETION, id=elsewhere[0])
    else:
        said = finding(s, Reason.PENDING, Sentence.LISTED_AT_DELETION, id=listed[0])
    return absence.listing(s, listed) or replace(said, retry=_look_again(s, since))


def given_up(s: Snapshot, said: Finding) -> Finding | SetFinalizer:
    """Decide where Method refused or failed a call of a deletion: hold on, or let go after the time-out."""
    refused = said.reason is Reason.UNAUTHORIZED
    if (refused or s.namespace_terminating) and _timed_out(s, s.refused_since):
        return _abandoned(s)
    return replace(said, retry=_look_again(s, s.refused_since) if refused else _in_time(s, said.retry))


def held_up(s: Snapshot, *, retry: Retry, blocked: bool) -> Leave | SetFinalizer:
    """Decide where a call has to wait for our own budget, until `retry`: nothing is said of that.

    A namespace that goes waits for a turn within Method's limit, which comes; not for the end of a 429
    (`blocked`), which may be an hour away.
    """
    if not s.namespace_terminating:
        return Leave(retry=retry)
    if not _timed_out(s, s.refused_since):
        return Leave(retry=_in_time(s, retry))
    return _abandoned(s) if blocked else Leave(retry=_LONGEST_PAUSE)


def forgets(s: Snapshot, secret_id: str) -> bool:
    """Whether an id is forgotten for good once it is found to be gone."""
    deleting = any(entry.id == secret_id and entry.deleting for entry in s.object.status.superseded)
    return s.object.metadata.deletion_timestamp is not None or deleting


def superseded(s: Snapshot, said: Finding) -> Action:
    """Return what is due on former secrets, while the object is otherwise as `said`; else just that.

    An id is marked in the status before its DELETE is sent, so that it is never used again, whatever
    becomes of the answer.
    """
    after, status = s.object.spec.rotation.delete_superseded_after, s.object.status
    if after is None or not status.superseded:
        return said
    # The operator never names the id in use as a former one, but who edits a status may.
    entries = tuple(entry for entry in status.superseded if entry.id != status.id)
    listed = {entry.id for entry in entries if entry.deleting and absence.contradicted(s, entry.id)}
    held = {entry.id for entry in entries if entry.deleting and _elsewhere(s, entry.id)}
    held |= listed | s.undeletable
    for entry in entries:
        if entry.deleting and entry.id not in held and (action := _delete(s, entry.id)) is not None:
            return action
    if (anew := absence.listing(s, listed)) is not None:
        return anew
    kept = tuple(entry for entry in entries if not entry.deleting or entry.id in held)
    waiting = tuple(entry for entry in kept if not entry.deleting)
    due = _due(waiting, parse_duration(after), s.now)
    marked = tuple(
        entry.model_copy(update={"deleting": True}) if entry.id in due else entry for entry in kept
    )
    if due:
        return replace(said, superseded=marked, retry=0.0)
    moments = [_end(entry, parse_duration(after)) for entry in waiting]
    moments += [s.now + MISSING_FOR] if listed else []
    if not moments:
        return replace(said, superseded=kept)
    wait = max((min(moments) - s.now).total_seconds(), 0.0)
    return replace(said, superseded=kept, retry=wait)


def condemned(s: Snapshot, revision: str) -> Action | None:
    """Return what is due on former secrets of a revision before another one of it is made.

    One whose DELETE may have been sent is not used again. Where it is still there, it goes first: else there
    were two of one revision until its turn comes, which it never does where Method refuses the new one.
    """
    status = s.object.status
    due = [
        entry.id
        for entry in status.superseded
        if entry.deleting and entry.revision == revision and entry.id not in {status.id, *s.claimed}
    ]
    for secret_id in due:
        if (action := _delete(s, secret_id)) is not None:
            return action
    for secret_id in due:
        if absence.contradicted(s, secret_id):
            said = report(s, Reason.PENDING, Sentence.MISSING, id=secret_id)
            if (step := absence.awaited(s, secret_id, said)) is not None:
                return step
    return None


def extras(s: Snapshot, revision: str, said: Finding) -> Action | None:
    """Return what is due on active secrets with our uid that the status does not name, if there are any.

    They come from creates whose answer or status write was lost, and from statuses put back to an older copy.
    A second one of the current revision can be known to nobody and is deleted at once; others join
    `superseded`, beside what is otherwise `said`.
    """
    status = s.object.status
    named = {status.id, *(entry.id for entry in status.superseded)}
    unnamed = [
        marked
        for marked in s.marked
        if marked.marker.uid == s.object.metadata.uid and marked.status == ACTIVE and marked.id not in named
    ]
    # Only where the id in use is known to be another of ours: a status may have been edited while we were
    # away, and then the one that it does not name is the true one.
    current = {m.id for m in s.marked if m.status == ACTIVE and m.marker.revision == revision}
    for marked in unnamed:
        if (
            marked.marker.revision == revision
            and status.id in current
            and (action := _delete(s, marked.id)) is not None
        ):
            return action
    joining = tuple(
        Superseded(id=marked.id, revision=marked.marker.revision, superseded_at=s.now.replace(microsecond=0))
        for marked in unnamed
        if marked.marker.revision != revision or said.adopted is not None  # that one is no second one
    )[: SUPERSEDED_LIMIT - len(status.superseded)]  # the rest joins when there is room
    if not joining:
        return None
    return replace(said, superseded=(*status.superseded, *joining), retry=0.0)


def _due(entries: tuple[Superseded, ...], after: timedelta, now: datetime) -> set[str]:
    return {entry.id for entry in entries if _end(entry, after) <= now}


def _end(entry: Superseded, after: timedelta) -> datetime:
    """Return when a former secret is to go; the end of all time where an edited status says so."""
    try:
        return entry.superseded_at + after
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _delete(s: Snapshot, secret_id: str) -> Confirm | Delete | None:
    """Return what is still to be done about an id; None where it is gone, or none of our business."""
    if secret_id in s.claimed:  # taken over by another object, it keeps our mark
        return None
    if secret_id in s.undeletable:
        return None
    if secret_id not in s.evidence:
        return Confirm(id=secret_id)
    remote = s.evidence[secret_id]
    if remote is None or remote.status == DELETED or not _owned(s, remote):
        return None
    return Delete(id=secret_id)


def _elsewhere(s: Snapshot, secret_id: str) -> bool:
    """Whether an id that Method does not know is not believed to be gone: it may be in another account."""
    status = s.object.status
    return (
        (s.account_changed or _another_environment(s) is not None)
        and s.evidence.get(secret_id, ACTIVE) is None
        and secret_id not in s.vanished
        and not (s.trusted and status.id == secret_id and status.status == DELETED)  # found out earlier
    )


def _another_environment(s: Snapshot) -> str | None:
    """Return the environment that is asked, where the status says that its ids are in another one."""
    former = s.object.status.environment
    if isinstance(s.account, AccountReady) and former not in (None, s.account.environment):
        return s.account.environment
    return None


def _owned(s: Snapshot, remote: RemoteSecret) -> bool:
    """Whether a secret is this object's to delete.

    The owner's name alone is not enough: another cluster may go by our name, with another digest key.
    """
    marker = Marker.read(remote.metadata)
    return (
        marker is not None
        and marker.owner in s.owners
        and (marker.uid == s.object.metadata.uid or revision_key_id(marker.revision) == s.digest_key.id)
    )


def _ids(s: Snapshot) -> Iterator[str]:
    """Yield every id that may have to be deleted with the object, each once."""
    status, uid = s.object.status, s.object.metadata.uid
    named = [status.id] if status.id is not None else []
    named += [entry.id for entry in status.superseded]
    named += [marked.id for marked in s.marked if marked.marker.uid == uid]
    yield from dict.fromkeys(named)


def _abandoned(s: Snapshot) -> SetFinalizer:
    """Let the object go, with what is not known to be deleted."""
    done = {one for one, remote in s.evidence.items() if remote is not None and remote.status == DELETED}
    return SetFinalizer(present=False, undone=tuple(one for one in _ids(s) if one not in done))


def _timed_out(s: Snapshot, since: datetime | None) -> bool:
    return s.object.metadata.deletion_timestamp is not None and _left(s, since) <= 0.0


def _look_again(s: Snapshot, since: datetime | None) -> float:
    """Return the seconds until the time-out of a deletion, at least a few and at most a minute."""
    return min(max(_left(s, since), 1.0), _LONGEST_PAUSE)


def _in_time(s: Snapshot, retry: Retry) -> Retry:
    """Return when to look again: in a namespace that goes no later than at the time-out, as near as a second.

    What would be tried again with growing pauses is so here too: after as long as it has lasted.
    """
    deleted_at = s.object.metadata.deletion_timestamp
    if deleted_at is None or not s.namespace_terminating:
        return retry
    left = max(_left(s, None), 1.0)
    match retry:
        case "resync":
            return left
        case "backoff":
            return min(max((s.now - deleted_at).total_seconds(), 1.0), left)
        case _:
            return min(retry, left)


def _left(s: Snapshot, blocked_since: datetime | None) -> float:
    """Return the seconds that are left for a deletion, from when it could first not be done.

    An outage before that does not count, or one refusal at its end would be enough. A namespace that goes has
    to be able to go: there it is from the deletion itself.
    """
    since = s.object.metadata.deletion_timestamp or s.now
    if not s.namespace_terminating:
        since = max(since, blocked_since or s.now)
    return (since + timedelta(seconds=s.deletion_timeout) - s.now).total_seconds()
