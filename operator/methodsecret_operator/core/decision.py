"""What to do about one object: `decide` looks at a snapshot of the world and names one action.

Pure and total: the same snapshot always gives the same action, every snapshot gives one, and nothing is
asked or done here. The order of the checks in `decide` is the order in which they matter to a user.
`created` and `failed` turn what came of a create into what is to be said about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from pydantic import JsonValue, SecretStr

from methodsecret_operator.core import identity
from methodsecret_operator.core.conditions import FORMER_STAYS, Reason, Sentence
from methodsecret_operator.core.remote import ACTIVE, RemoteSecret
from methodsecret_operator.core.resource import (
    RECONCILE_REQUESTED_AT,
    ROTATION_REQUESTED_AT,
    MethodSecret,
    PendingCreate,
    RotationPolicy,
    Source,
)
from methodsecret_operator.errors import MethodError, MethodRateLimited, MethodUnauthorized

UNAUTHORIZED_RETRY: Final = 300.0
"""Seconds between tries with an API key that was refused; a changed key is tried at once."""

Retry = Literal["backoff", "resync"] | float
"""When to look again without being woken: growing pauses, at the next resync, or after so many seconds."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a create needs is not there: which state that is, and the sentence for it."""

    reason: Reason
    sentence: Sentence
    retry: Retry = "resync"


@dataclass(frozen=True, slots=True)
class AccountReady:
    """The object's account at Method can be used."""

    environment: str


@dataclass(frozen=True, slots=True, repr=False)
class SourceValue:
    """The value, and which Secret in which version it was read from."""

    uid: str
    resource_version: str
    value: SecretStr


@dataclass(frozen=True, slots=True, repr=False)
class Create:
    """Create this secret at Method, under this key; asked again, it is the same request to the byte."""

    revision: str
    ordinal: int
    idempotency_key: str
    value: SecretStr
    metadata: Mapping[str, JsonValue]
    source: Source
    environment: str

    def __repr__(self) -> str:
        return f"Create(revision={self.revision!r}, ordinal={self.ordinal})"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of an object's last create, for as long as the process lives.

    `unresolved` holds a create of which nobody knows yet whether it was done: it comes first, with its own
    key and body. Otherwise `ordinal` is the next one to use for `revision`.
    """

    revision: str
    ordinal: int
    unresolved: Create | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world as one decision sees it.

    `trusted` is false where somebody else has written the status since we last did: then the id in it is
    believed only with evidence. `evidence` has what Method answered about an id: the secret, or None where
    it has no such id.
    """

    now: datetime
    object: MethodSecret
    cluster: str
    digest_key: identity.DigestKey
    account: AccountReady | Problem
    source: SourceValue | Problem
    attempt: Attempt | None = None
    trusted: bool = True
    evidence: Mapping[str, RemoteSecret | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing is to be done and nothing to be said."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask Method about this id, then decide again."""

    id: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said about an object, whole: summarize makes the status of it.

    `secret` is what the status is to name from now on (None: what it names already); `source` says which
    value that secret holds. `base_id` is the id in the status that the decision was made on.
    """

    reason: Reason
    message: str
    generation: int
    base_id: str | None
    secret: RemoteSecret | None = None
    source: Source | None = None
    environment: str | None = None
    pending: PendingCreate | None = None
    rotation_pending: str | None = None
    reconcile_token: str | None = None
    rotation_token: str | None = None
    retry: Retry = "resync"
    trailing_newline: bool = False


Action = Leave | Confirm | Create | Finding


def settled(obj: MethodSecret, *, source: tuple[str, str] | None, environment: str, trusted: bool) -> bool:
    """Whether an object needs no more than this look: synced, and nothing has moved since.

    `source` is the referenced Secret's (uid, resourceVersion) as the metadata watch has it, None where it
    has none. No call to either API is needed to find this out.
    """
    status = obj.status
    ready = status.condition("Ready")
    return (
        trusted
        and ready is not None
        and ready.status == "True"
        and status.condition("RotationPending") is None
        and status.observed_generation == obj.metadata.generation
        and status.status == ACTIVE
        and status.environment == environment
        and status.pending is None
        and status.source is not None
        and source == (status.source.uid, status.source.resource_version)
        and status.last_handled_reconcile_at == obj.metadata.annotations.get(RECONCILE_REQUESTED_AT)
        and status.last_handled_rotation_at == obj.metadata.annotations.get(ROTATION_REQUESTED_AT)
    )


def decide(snapshot: Snapshot) -> Action:
    """Return the one thing to do now."""
    s, obj = snapshot, snapshot.object
    if obj.metadata.deletion_timestamp is not None or obj.paused:
        return Leave()
    if isinstance(s.account, Problem):
        return _report(s, s.account.reason, s.account.sentence, retry=s.account.retry)
    if s.attempt is not None and s.attempt.unresolved is not None:
        return s.attempt.unresolved
    if isinstance(s.source, Problem):
        return _report(s, s.source.reason, s.source.sentence, retry=s.source.retry)
    return _decide_on_value(s, account=s.account, source=s.source)


def _decide_on_value(s: Snapshot, *, account: AccountReady, source: SourceValue) -> Action:
    obj, meta, status = s.object, s.object.metadata, s.object.status
    for reserved in identity.MARKER_KEYS:
        if reserved in (obj.spec.metadata or {}):
            return _report(s, Reason.INVALID_SPEC, Sentence.RESERVED_METADATA, field=reserved)
    value = source.value.get_secret_value()
    try:
        revision = identity.revision(
            key=s.digest_key,
            namespace=meta.namespace,
            name=meta.name,
            environment=account.environment,
            value=value,
            metadata=obj.spec.metadata,
        )
    except identity.MetadataNotCanonicalError:
        return _report(s, Reason.INVALID_SPEC, Sentence.NUMBER_NOT_EXACT)

    held = Source(uid=source.uid, revision=revision, resource_version=source.resource_version)
    if status.id is not None and status.source is not None and status.source.revision == revision:
        answer = _decide_on_held(s, status.id, held, environment=account.environment)
        if answer is not None:
            return answer
    elif (
        status.id is not None and status.environment not in (None, account.environment) and not _requested(s)
    ):
        return _report(
            s,
            Reason.ACCOUNT_CHANGED,
            Sentence.ACCOUNT_CHANGED,
            former=status.environment,
            environment=account.environment,
        )
    elif (
        status.id is not None and obj.spec.rotation.policy is RotationPolicy.ON_REQUEST and not _requested(s)
    ):
        waiting = _finding(s, Reason.SYNCED, Sentence.ROTATION_PENDING)
        return replace(waiting, rotation_pending=waiting.message)

    marker = identity.Marker(
        owner=identity.owner(cluster=s.cluster, namespace=meta.namespace, name=meta.name),
        uid=meta.uid,
        revision=revision,
    ).to_metadata()
    metadata = {**(obj.spec.metadata or {}), **marker}
    if (total := identity.size(metadata)) > identity.METADATA_LIMIT:
        user = identity.size(obj.spec.metadata or {})
        return _report(
            s,
            Reason.METADATA_TOO_LARGE,
            Sentence.METADATA_TOO_LARGE,
            user=user,
            marker=total - user,
            limit=identity.METADATA_LIMIT,
        )
    ordinal = _next_ordinal(s, revision)
    return Create(
        revision=revision,
        ordinal=ordinal,
        idempotency_key=identity.idempotency_key(uid=meta.uid, revision=revision, ordinal=ordinal),
        value=source.value,
        metadata=metadata,
        source=held,
        environment=account.environment,
    )


def _decide_on_held(s: Snapshot, current: str, held: Source, *, environment: str) -> Action | None:
    """Decide where the status says that `current` holds the wanted value; None where that is not believed."""
    status = s.object.status
    if s.trusted and status.status == ACTIVE:
        return _synced(s, source=held, environment=environment)
    if current not in s.evidence:
        return Confirm(id=current)
    remote = s.evidence[current]
    if not s.trusted and (remote is None or not _ours(s, remote, held.revision)):
        return None
    if remote is not None and remote.status == ACTIVE:
        return _synced(s, source=held, environment=environment, secret=remote)
    return replace(_finding(s, Reason.PENDING, Sentence.NOT_YET_ACTIVE), retry="backoff")


def _ours(s: Snapshot, remote: RemoteSecret, revision: str) -> bool:
    meta = s.object.metadata
    marker = identity.Marker.read(remote.metadata)
    expected = identity.owner(cluster=s.cluster, namespace=meta.namespace, name=meta.name)
    return marker is not None and marker.owner == expected and marker.revision == revision


def _next_ordinal(s: Snapshot, revision: str) -> int:
    if s.attempt is not None and s.attempt.revision == revision:
        return s.attempt.ordinal
    pending = s.object.status.pending
    return pending.ordinal if pending is not None and pending.revision == revision else 0


def _requested(s: Snapshot) -> bool:
    token = s.object.metadata.annotations.get(ROTATION_REQUESTED_AT)
    return token is not None and token != s.object.status.last_handled_rotation_at


def created(snapshot: Snapshot, create: Create, secret: RemoteSecret) -> Finding:
    """Return what to say when Method holds the secret that was asked for."""
    if secret.status != ACTIVE:
        finding = _finding(snapshot, Reason.PENDING, Sentence.NOT_YET_ACTIVE, id=secret.id)
        return replace(
            finding, secret=secret, source=create.source, environment=create.environment, retry=1.0
        )
    if _moved_on(snapshot, create):
        finding = _finding(snapshot, Reason.PENDING, Sentence.CHANGED_MEANWHILE, id=secret.id)
        return replace(
            finding, secret=secret, source=create.source, environment=create.environment, retry=0.0
        )
    return replace(
        _synced(snapshot, source=create.source, secret=secret, environment=create.environment),
        trailing_newline=create.value.get_secret_value().endswith("\n"),
    )


def _moved_on(s: Snapshot, create: Create) -> bool:
    """Whether something else is wanted by now than what a create, settled late, was made for."""
    if s.attempt is None or s.attempt.unresolved is not create:
        return False
    wanted = decide(replace(s, attempt=None))
    return not (isinstance(wanted, Create) and wanted.revision == create.revision)


def failed(snapshot: Snapshot, create: Create, error: MethodError) -> tuple[Finding, Attempt]:
    """Return what to say when a create failed, and what to remember of it.

    A definite failure goes on with the next ordinal; anything else may have been done, and is asked again
    with the same key and body.
    """
    if error.definite:
        attempt = Attempt(revision=create.revision, ordinal=create.ordinal + 1)
    else:
        attempt = Attempt(revision=create.revision, ordinal=create.ordinal, unresolved=create)
    reason, sentence, retry = _failure(snapshot, error)
    finding = _report(
        snapshot,
        reason,
        sentence,
        retry=retry,
        status=error.status,
        environment=create.environment,
        pending=PendingCreate(revision=attempt.revision, ordinal=attempt.ordinal),
    )
    return finding, attempt


def gone(snapshot: Snapshot, create: Create, secret: RemoteSecret | None) -> tuple[Finding, Attempt]:
    """Return what to say when a replayed answer named a secret that is not there (None), or not any more.

    A secret that is known to be deleted ends this key; one that Method does not know yet may still appear.
    """
    if secret is None:
        attempt = Attempt(revision=create.revision, ordinal=create.ordinal, unresolved=create)
    else:
        attempt = Attempt(revision=create.revision, ordinal=create.ordinal + 1)
    finding = _report(
        snapshot,
        Reason.PENDING,
        Sentence.SETTLING,
        retry="backoff" if secret is None else 0.0,
        pending=PendingCreate(revision=attempt.revision, ordinal=attempt.ordinal),
    )
    return finding, attempt


def unconfirmed(snapshot: Snapshot, error: MethodError) -> Finding:
    """Return what to say when Method could not be asked about an id."""
    reason, sentence, retry = _failure(snapshot, error)
    return _report(snapshot, reason, sentence, retry=retry, status=error.status)


def _failure(snapshot: Snapshot, error: MethodError) -> tuple[Reason, Sentence, Retry]:
    if isinstance(error, MethodRateLimited):
        return Reason.RATE_LIMITED, Sentence.RATE_LIMITED, error.retry_after or 60.0
    if isinstance(error, MethodUnauthorized):
        own = snapshot.object.spec.account is not None
        sentence = Sentence.UNAUTHORIZED_ACCOUNT if own else Sentence.UNAUTHORIZED_DEFAULT
        return Reason.UNAUTHORIZED, sentence, UNAUTHORIZED_RETRY
    if error.definite and error.status is not None and error.status < 500:  # noqa: PLR2004 - HTTP's own border
        return Reason.REJECTED, Sentence.REJECTED, "resync"
    return Reason.METHOD_UNAVAILABLE, Sentence.METHOD_UNAVAILABLE, "backoff"


def _names(s: Snapshot) -> dict[str, object]:
    """Return what sentences may name of an object."""
    spec = s.object.spec
    names: dict[str, object] = {
        "id": s.object.status.id,
        "secret": spec.value_from.secret_key_ref.name,
        "key": spec.value_from.secret_key_ref.key,
    }
    if isinstance(s.account, AccountReady):
        names["environment"] = s.account.environment
    if spec.account is not None:
        names["account_secret"] = spec.account.api_key_secret_ref.name
        names["account_key"] = spec.account.api_key_secret_ref.key
    return names


def _finding(s: Snapshot, reason: Reason, sentence: Sentence, **names: object) -> Finding:
    meta, status = s.object.metadata, s.object.status
    return Finding(
        reason=reason,
        message=sentence.format(**(_names(s) | names)),
        generation=meta.generation,
        base_id=status.id,
        reconcile_token=meta.annotations.get(RECONCILE_REQUESTED_AT),
        rotation_token=status.last_handled_rotation_at,
    )


def _report(
    s: Snapshot,
    reason: Reason,
    sentence: Sentence,
    *,
    retry: Retry = "resync",
    pending: PendingCreate | None = None,
    **names: object,
) -> Finding:
    """Say that the wanted value is not at Method, and that a former secret goes on working."""
    finding = _finding(s, reason, sentence, **names)
    current = s.object.status.id
    former = FORMER_STAYS.format(id=current) if current is not None else ""
    return replace(
        finding, message=finding.message + former, pending=pending or s.object.status.pending, retry=retry
    )


def _synced(s: Snapshot, *, source: Source, environment: str, secret: RemoteSecret | None = None) -> Finding:
    names = {"id": secret.id} if secret is not None else {}
    return replace(
        _finding(s, Reason.SYNCED, Sentence.SYNCED, **names),
        secret=secret,
        source=source,
        environment=environment,
        rotation_token=s.object.metadata.annotations.get(ROTATION_REQUESTED_AT),
    )
