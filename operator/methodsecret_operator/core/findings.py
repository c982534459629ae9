"""Builds findings: which reason, which sentence with which names in it, and what is carried over."""

from __future__ import annotations

from dataclasses import replace

from methodsecret_operator.core.conditions import FORMER_STAYS, Reason, Sentence
from methodsecret_operator.core.remote import RemoteSecret
from methodsecret_operator.core.resource import (
    RECONCILE_REQUESTED_AT,
    ROTATION_REQUESTED_AT,
    Adopted,
    PendingCreate,
    Source,
)
from methodsecret_operator.core.snapshot import Finding, Retry, Snapshot


def finding(s: Snapshot, reason: Reason, sentence: Sentence, **names: object) -> Finding:
    """Return the finding that says just this of the object as the snapshot has it."""
    meta, status = s.object.metadata, s.object.status
    return Finding(
        reason=reason,
        message=sentence.format(**(_names(s) | names)),
        generation=meta.generation,
        base_id=status.id,
        reconcile_token=meta.annotations.get(RECONCILE_REQUESTED_AT),
        rotation_token=status.last_handled_rotation_at,
    )


def report(
    s: Snapshot,
    reason: Reason,
    sentence: Sentence,
    *,
    retry: Retry = "resync",
    pending: PendingCreate | None = None,
    stays: str = FORMER_STAYS,
    **names: object,
) -> Finding:
    """Say that the wanted value is not at Method, and that a former secret goes on working (`stays`)."""
    said = finding(s, reason, sentence, **({"environment": _environment(s)} | names))
    current = s.object.status.id
    former = stays.format(id=current) if current is not None else ""
    return replace(
        said, message=said.message + former, pending=pending or s.object.status.pending, retry=retry
    )


def synced(s: Snapshot, *, source: Source, environment: str, secret: RemoteSecret | None = None) -> Finding:
    """Say that Method holds the wanted value, as `secret` or as what the status names already."""
    names = {"id": secret.id} if secret is not None else {}
    moved = secret is not None and s.object.status.id not in (None, secret.id)
    # A former secret with a time to go: when that is, is worked out on the status that names it.
    again = moved and s.object.spec.rotation.delete_superseded_after is not None
    return replace(
        finding(s, Reason.SYNCED, Sentence.SYNCED, **names),
        secret=secret,
        source=source,
        environment=environment,
        rotation_token=s.object.metadata.annotations.get(ROTATION_REQUESTED_AT),
        retry=0.0 if again else "resync",
    )


def adopted(s: Snapshot, *, held: Source, environment: str, secret: RemoteSecret | None = None) -> Finding:
    """Say that the object goes by an adopted secret, whose value nobody has checked."""
    current = secret.id if secret is not None else s.object.status.id
    return replace(
        finding(s, Reason.ADOPTED, Sentence.ADOPTED, id=current),
        secret=secret,
        adopted=Adopted(id=current or "", **held.model_dump()),
        environment=environment,
        rotation_token=s.object.metadata.annotations.get(ROTATION_REQUESTED_AT),
    )


def _environment(s: Snapshot) -> str | None:
    account = getattr(s.account, "environment", None)
    return account if isinstance(account, str) else s.object.status.environment


def _names(s: Snapshot) -> dict[str, object]:
    """Return what sentences may name of an object."""
    spec = s.object.spec
    names: dict[str, object] = {
        "id": s.object.status.id,
        "secret": spec.value_from.secret_key_ref.name,
        "key": spec.value_from.secret_key_ref.key,
    }
    if spec.account is not None:
        names["account_secret"] = spec.account.api_key_secret_ref.name
        names["account_key"] = spec.account.api_key_secret_ref.key
    return names
