"""What to do about one object: `decide` looks at a snapshot of the world and names one action.

Pure and total: the same snapshot always gives the same action, every snapshot gives one, and nothing is
asked or done here. The order of the checks is the order in which they matter to a user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from methodsecret_operator.core import absence, adoption, deletion, identity, linking, outcome, publishing
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.findings import adopted, finding, report, synced
from methodsecret_operator.core.remote import ACTIVE, DELETED, RemoteSecret
from methodsecret_operator.core.resource import (
    FINALIZER,
    RECONCILE_REQUESTED_AT,
    ROTATION_REQUESTED_AT,
    DeletionPolicy,
    MethodSecret,
    RotationPolicy,
    Source,
)
from methodsecret_operator.core.snapshot import (
    AccountReady,
    Action,
    Attempt,
    Confirm,
    Create,
    Finding,
    Leave,
    ListAnew,
    Problem,
    SetFinalizer,
    Snapshot,
    SourceValue,
)


def settled(
    obj: MethodSecret,
    *,
    source: tuple[str, str] | None,
    environment: str,
    trusted: bool,
    config_map: str | None = None,
) -> bool:
    """Whether an object needs no more than this look: synced, and nothing has moved since.

    `source` is the referenced Secret's (uid, resourceVersion) as the metadata watch has it, None where it
    has none; `config_map` is what the other watch has of the resourceVersion of the ConfigMap to publish
    in. No call to either API is needed to find this out.
    """
    status = obj.status
    ready = status.condition("Ready")
    return (
        trusted
        and obj.metadata.deletion_timestamp is None
        and ready is not None
        and ready.status == "True"
        and status.condition("RotationPending") is None
        and status.observed_generation == obj.metadata.generation
        and status.status == ACTIVE
        and status.environment == environment
        and status.pending is None
        and (held := status.adopted or status.source) is not None
        and source == (held.uid, held.resource_version)
        and status.last_handled_reconcile_at == obj.metadata.annotations.get(RECONCILE_REQUESTED_AT)
        and status.last_handled_rotation_at == obj.metadata.annotations.get(ROTATION_REQUESTED_AT)
        and _finalizer_right(obj)
        and publishing.in_place(obj, seen=config_map)
        and not (status.superseded and obj.spec.rotation.delete_superseded_after)
    )


def decide(s: Snapshot) -> Action:
    """Return the one thing to do now."""
    return publishing.kept(s, _decide(s))


def _decide(s: Snapshot) -> Action:
    obj = s.object
    if obj.metadata.deletion_timestamp is not None:
        return deletion.decide(s)
    if obj.paused:
        return Leave()
    if not _finalizer_right(obj):
        return SetFinalizer(present=obj.spec.deletion_policy is DeletionPolicy.DELETE)
    account, source = s.account, s.source
    if isinstance(account, Problem):
        return report(s, account.reason, account.sentence, retry=account.retry)
    if s.attempt is not None and (create := s.attempt.unresolved) is not None:
        if (step := _settle(s, s.attempt, create)) is not None:
            return step
        s = replace(s, attempt=Attempt(revision=create.revision, ordinal=create.ordinal + 1, since=s.now))
    if isinstance(source, Problem):
        return report(s, source.reason, source.sentence, retry=source.retry)
    return _decide_on_value(s, account=account, source=source)


def created(s: Snapshot, create: Create, secret: RemoteSecret) -> Finding:
    """Return what to say when Method holds the secret that was asked for; `s` is what that was decided on."""
    if secret.status != ACTIVE:
        said = finding(s, Reason.PENDING, Sentence.NOT_YET_ACTIVE, id=secret.id)
        return replace(said, secret=secret, source=create.source, environment=create.environment, retry=1.0)
    if _moved_on(s, create):
        said = finding(s, Reason.PENDING, Sentence.CHANGED_MEANWHILE, id=secret.id)
        return replace(said, secret=secret, source=create.source, environment=create.environment, retry=0.0)
    said = synced(s, source=create.source, secret=secret, environment=create.environment)
    newline = create.value.get_secret_value().endswith("\n")
    return publishing.moving(s, replace(said, trailing_newline=newline))


def _moved_on(s: Snapshot, create: Create) -> bool:
    """Whether something else is wanted by now than what a create, settled late, was made for."""
    if s.attempt is None or s.attempt.unresolved is None:
        return False  # it was decided on with this very snapshot
    wanted = decide(replace(s, attempt=None, marked=()))
    return not (isinstance(wanted, Create) and wanted.revision == create.revision)


def _finalizer_right(obj: MethodSecret) -> bool:
    """Whether our finalizer is there where the secret is to be deleted with the object, and only there."""
    return (FINALIZER in obj.metadata.finalizers) == (obj.spec.deletion_policy is DeletionPolicy.DELETE)


def _settle(s: Snapshot, attempt: Attempt, create: Create) -> Action | None:
    """Settle a create of unknown outcome: it may be in the inventory by now; else it is asked again.

    None where it is written off. Then the present value's turn comes, for this one Method may never take.
    """
    there = False
    for secret_id in _settling(s, create):
        if secret_id not in s.evidence:
            return Confirm(id=secret_id)
        remote = s.evidence[secret_id]
        if remote is not None and remote.status == ACTIVE and linking.ours(s, remote, create.revision):
            return created(s, create, remote)
        there = there or absence.contradicted(s, secret_id)
    return None if outcome.written_off(s, attempt) and not there else create


def _settling(s: Snapshot, create: Create) -> Iterator[str]:
    """Yield the ids that a create of unknown outcome may have come to: here, or in another operator."""
    status = s.object.status
    for marked in s.marked:
        fits = marked.marker.uid == s.object.metadata.uid and marked.marker.revision == create.revision
        if fits and marked.status == ACTIVE and marked.id not in status.condemned:
            yield marked.id
    known = status.source is not None and status.source.revision == create.revision
    if known and status.id is not None and status.id not in s.missing:
        yield status.id


def _decide_on_value(s: Snapshot, *, account: AccountReady, source: SourceValue) -> Action:
    obj, meta, status = s.object, s.object.metadata, s.object.status
    for reserved in identity.MARKER_KEYS:
        if reserved in (obj.spec.metadata or {}):
            return report(s, Reason.INVALID_SPEC, Sentence.RESERVED_METADATA, field=reserved)
    try:
        revision = identity.revision(
            key=s.digest_key,
            namespace=meta.namespace,
            name=meta.name,
            environment=account.environment,
            value=source.value.get_secret_value(),
            metadata=obj.spec.metadata,
        )
    except identity.MetadataNotCanonicalError:
        return report(s, Reason.INVALID_SPEC, Sentence.NUMBER_NOT_EXACT)

    held = Source(uid=source.uid, revision=revision, resource_version=source.resource_version)
    if status.id is not None:
        answer = _decide_on_current(s, status.id, held, account=account)
        if answer is not None:
            return answer
    linked = linking.link(s, held, account=account)
    linked = linked or adoption.decide(s, held, environment=account.environment)
    if linked is not None:
        return linked
    if status.id is None and not _requested(s) and linking.under_unknown_keys(s):
        return report(s, Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST)
    return (
        _elsewhere(s, status.id)
        or deletion.condemned(s, revision)
        or _create(s, held, account=account, source=source)
    )


def _elsewhere(s: Snapshot, current: str | None) -> Action | None:
    """Return what keeps a value out of what may be the wrong account: there the id in use is missing too.

    An id that somebody else may have written into the status says nothing about the account.
    """
    missing = s.doubted or current in s.missing
    if current is None or not (s.trusted and s.account_changed and missing) or _requested(s):
        return None
    if current not in s.evidence:
        return Confirm(id=current)
    if s.evidence[current] is not None:
        return None
    return report(s, Reason.ACCOUNT_CHANGED, Sentence.IDS_MISSING, stays="")


def _decide_on_current(s: Snapshot, current: str, held: Source, *, account: AccountReady) -> Action | None:
    """Decide on the id in the status; None where another secret is to take its place."""
    status = s.object.status
    known = status.adopted if status.adopted is not None and status.adopted.id == current else status.source
    # An adopted secret's value is unknown: a requested rotation stores the known one.
    replaced = linking.by_adoption(s) and _requested(s)
    elsewhere = status.environment not in (None, account.environment)
    if known is not None and not replaced and _holds(s, known, held, elsewhere=elsewhere):
        return _decide_on_held(s, current, held, environment=account.environment)
    if _requested(s):
        return None
    lost = known is not None and identity.revision_key_id(known.revision) != s.digest_key.id
    if s.trusted and lost and not elsewhere:
        # The source has changed in some way since the key was lost: whether its value has, nobody can tell.
        return report(s, Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST)
    on_request = s.object.spec.rotation.policy is RotationPolicy.ON_REQUEST
    if not s.trusted and (elsewhere or on_request):
        # What the status says would make the object wait for a person: so it is looked into first.
        if current not in s.evidence:
            return Confirm(id=current)
        remote = s.evidence[current]
        free = current not in s.claimed
        if free and remote is not None and remote.status == ACTIVE and linking.ours(s, remote, held.revision):
            return synced(s, source=held, environment=account.environment, secret=remote)
        own = remote is not None and remote.status != DELETED and linking.own(s, remote)
        linked = None if own else linking.link(s, held, account=account)
        if linked is not None or not (own or elsewhere):
            return linked
        elsewhere = elsewhere and not own
    if elsewhere:
        return report(
            s,
            Reason.ACCOUNT_CHANGED,
            Sentence.ACCOUNT_CHANGED,
            former=status.environment,
            environment=account.environment,
        )
    return _decide_on_waiting(s, current, known) if on_request else None


def _decide_on_waiting(s: Snapshot, current: str, known: Source | None) -> Action | None:
    """Decide where a change waits to be asked for, and `current` is to keep the former value meanwhile.

    `known` is what that holds, None where nobody knows it.
    """
    waiting = finding(s, Reason.SYNCED, Sentence.ROTATION_PENDING)
    waiting = replace(waiting, rotation_pending=waiting.message)
    active = s.object.status.status == ACTIVE
    if active and not s.doubted and current not in s.evidence:
        return _at_rest(s, waiting, known)
    if current not in s.evidence:
        return Confirm(id=current)
    remote = s.evidence[current]
    if remote is None or remote.status != ACTIVE:
        return _decide_on_inactive(s, current, remote)
    return waiting if active else _still(s, waiting, remote)


def _holds(s: Snapshot, known: Source, wanted: Source, *, elsewhere: bool) -> bool:
    """Whether a secret known to hold one revision holds the wanted one.

    A revision under a lost digest key says nothing; then the very same version of the very same Secret is
    proof as well, and the revision is told anew under the key of today. It is none where the environment has
    changed (`elsewhere`): a revision has that in it, a version has not.
    """
    if known.revision == wanted.revision:
        return True
    seen = s.object.status.observed_generation == s.object.metadata.generation
    if elsewhere or not seen or identity.revision_key_id(known.revision) == s.digest_key.id:
        return False
    return (known.uid, known.resource_version) == (wanted.uid, wanted.resource_version)


def _decide_on_held(s: Snapshot, current: str, held: Source, *, environment: str) -> Action | None:
    """Decide where the status says that `current` holds the wanted value; None where it does not any more."""
    status = s.object.status
    if s.trusted and status.status == ACTIVE and not s.doubted:
        return _at_rest(s, _holding(s, held, environment=environment), held)
    if current not in s.evidence:
        return Confirm(id=current)
    remote = s.evidence[current]
    if not s.trusted and (remote is None or not linking.believable(s, remote, held.revision)):
        return None
    if remote is not None and remote.status == ACTIVE:
        return _holding(s, held, environment=environment, secret=remote)
    return _decide_on_inactive(s, current, remote)


def _at_rest(s: Snapshot, said: Finding, known: Source | None) -> Action:
    """Return what is due beside an id that is in use as it should be: on its ConfigMap, then on all others.

    A former secret goes only after nothing shows its id any more.
    """
    shown = publishing.kept(s, said)
    if known is None or not isinstance(shown, Finding) or not shown.reason.ready:
        return shown
    return deletion.extras(s, known.revision, shown) or deletion.superseded(s, shown)


def _decide_on_inactive(s: Snapshot, current: str, remote: RemoteSecret | None) -> ListAnew | Finding | None:
    """Say what has become of the id in use, which Method does not call active; None to replace it."""
    if remote is not None and remote.status != DELETED:
        waiting = replace(finding(s, Reason.PENDING, Sentence.NOT_YET_ACTIVE), retry="backoff")
        return _still(s, waiting, remote)
    if remote is None and s.account_changed and not _requested(s):
        return finding(s, Reason.ACCOUNT_CHANGED, Sentence.IDS_MISSING)
    believed = s.trusted and s.object.status.status == DELETED  # at an earlier look
    if remote is None and not believed:
        step = absence.awaited(s, current, finding(s, Reason.PENDING, Sentence.MISSING))
        if step is not None:
            return step
    if s.object.spec.rotation.policy is RotationPolicy.ON_REQUEST and not _requested(s):
        return finding(s, Reason.REMOTE_DELETED, Sentence.REMOTE_DELETED)
    return None


def _still(s: Snapshot, said: Finding, remote: RemoteSecret) -> Finding:
    """Return what is said with Method's words on the id in use, which is held as it was before."""
    return replace(said, secret=remote, adopted=s.object.status.adopted if linking.by_adoption(s) else None)


def _holding(s: Snapshot, held: Source, *, environment: str, secret: RemoteSecret | None = None) -> Finding:
    """Say that the status names the right secret, in the words for how it came to be there."""
    if linking.by_adoption(s):
        return adopted(s, held=held, environment=environment, secret=secret)
    return synced(s, source=held, environment=environment, secret=secret)


def _create(s: Snapshot, held: Source, *, account: AccountReady, source: SourceValue) -> Create | Finding:
    meta, user = s.object.metadata, s.object.spec.metadata or {}
    marker = identity.Marker(
        owner=identity.owner(cluster=s.cluster, namespace=meta.namespace, name=meta.name),
        uid=meta.uid,
        revision=held.revision,
    ).to_metadata()
    metadata = {**user, **marker}
    if (total := identity.size(metadata)) > identity.METADATA_LIMIT:
        return report(
            s,
            Reason.METADATA_TOO_LARGE,
            Sentence.METADATA_TOO_LARGE,
            user=identity.size(user),
            marker=total - identity.size(user),
            limit=identity.METADATA_LIMIT,
        )
    ordinal = _next_ordinal(s, held.revision)
    return Create(
        revision=held.revision,
        ordinal=ordinal,
        idempotency_key=identity.idempotency_key(uid=meta.uid, revision=held.revision, ordinal=ordinal),
        value=source.value,
        metadata=metadata,
        source=held,
        environment=account.environment,
    )


def _next_ordinal(s: Snapshot, revision: str) -> int:
    if s.attempt is not None and s.attempt.revision == revision:
        return s.attempt.ordinal
    pending = s.object.status.pending
    return pending.ordinal if pending is not None and pending.revision == revision else 0


def _requested(s: Snapshot) -> bool:
    token = s.object.metadata.annotations.get(ROTATION_REQUESTED_AT)
    return token is not None and token != s.object.status.last_handled_rotation_at
