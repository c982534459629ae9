"""Which secret at Method is this object's: what an id is believed for, and what is linked, not made anew.

A secret's marker says whose it is, and under which digest key; one that another object goes by is none of
ours, whatever its marker. Pure, as all of core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from methodsecret_operator.core import absence, identity
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.findings import report, synced
from methodsecret_operator.core.remote import ACTIVE, DELETED, RemoteSecret
from methodsecret_operator.core.resource import Source
from methodsecret_operator.core.snapshot import AccountReady, Action, Confirm, Snapshot


def link(s: Snapshot, held: Source, *, account: AccountReady) -> Action | None:
    """Return what takes an existing secret of this owner and revision, rather than make a second one."""
    candidates = tuple(_candidates(s, held.revision))
    for secret_id in candidates:
        if secret_id in s.contended:
            continue
        if secret_id not in s.evidence:
            return Confirm(id=secret_id)
        remote = s.evidence[secret_id]
        if remote is not None and remote.status == ACTIVE and ours(s, remote, held.revision):
            return synced(s, source=held, environment=account.environment, secret=remote)
    for secret_id in candidates:
        if (step := _waited_for(s, secret_id, held, account=account)) is not None:
            return step
    return None


def _waited_for(s: Snapshot, secret_id: str, held: Source, *, account: AccountReady) -> Action | None:
    """Return what is to be done where a secret cannot be taken now, but may come to be this object's."""
    if secret_id in s.contended:
        return report(s, Reason.PENDING, Sentence.CONTENDED, id=secret_id, retry=1.0)
    remote = s.evidence[secret_id]
    if remote is None and any(marked.id == secret_id for marked in s.marked):
        # The account's list, or the answer to our own create, has it: one of the two lags.
        return absence.awaited(s, secret_id, report(s, Reason.PENDING, Sentence.MISSING, id=secret_id))
    if remote is None or remote.status == DELETED or not ours(s, remote, held.revision):
        return None
    # A status that nobody knows yet: it may be active again, and then there were two.
    said = report(s, Reason.PENDING, Sentence.KNOWN_NOT_ACTIVE, id=secret_id, retry="backoff")
    if s.object.status.id is not None:
        return said  # that one goes on working
    return replace(said, secret=remote, source=held, environment=account.environment)


def _candidates(s: Snapshot, revision: str) -> Iterator[str]:
    """Yield the ids that may hold a revision; one whose DELETE was ever sent is none."""
    status = s.object.status
    for marked in s.marked:
        fits = marked.marker.revision == revision and marked.status != DELETED
        # One that was adopted away under another name keeps our mark, and is another object's by now.
        if fits and marked.id not in status.condemned and marked.id not in s.claimed:
            yield marked.id
    listed = {marked.id for marked in s.marked}
    for former in status.superseded:
        fits = former.revision == revision and former.id not in s.claimed
        if fits and not former.deleting and former.id not in listed:
            yield former.id


def ours(s: Snapshot, remote: RemoteSecret, revision: str) -> bool:
    """Whether a secret is marked as this object's, and as holding this revision."""
    marker = identity.Marker.read(remote.metadata)
    return marker is not None and marker.owner in s.owners and marker.revision == revision


def own(s: Snapshot, remote: RemoteSecret) -> bool:
    """Whether a secret is this object's, whatever value it holds."""
    if remote.id in s.claimed:
        return False
    if by_adoption(s):
        return believable(s, remote, "")
    marker = identity.Marker.read(remote.metadata)
    return marker is not None and marker.owner in s.owners


def by_adoption(s: Snapshot) -> bool:
    """Whether the id in use was taken over."""
    status = s.object.status
    return status.adopted is not None and status.adopted.id == status.id


def believable(s: Snapshot, remote: RemoteSecret, revision: str) -> bool:
    """Whether an id that somebody else may have written into the status is this object's."""
    if remote.id in s.claimed:
        return False
    if by_adoption(s):
        return s.object.spec.adopt is not None and s.object.spec.adopt.id == remote.id
    return ours(s, remote, revision) or _under_former_key(s, remote)


def _under_former_key(s: Snapshot, remote: RemoteSecret) -> bool:
    """Whether a secret is this very object's, marked under a digest key that was lost since.

    Asked only where the status, or the unchanged source, says that it holds the wanted value.
    """
    marker = identity.Marker.read(remote.metadata)
    return (
        marker is not None
        and marker.owner in s.owners
        and marker.uid == s.object.metadata.uid
        and identity.revision_key_id(marker.revision) != s.digest_key.id
    )


def under_unknown_keys(s: Snapshot) -> bool:
    """Whether this owner has secrets whose revisions cannot be compared: the digest key is not theirs."""
    return any(
        marked.status != DELETED and identity.revision_key_id(marked.marker.revision) != s.digest_key.id
        for marked in s.marked
    )
