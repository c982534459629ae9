"""The whole status of an object, made from a finding; and the patch that brings it there.

`summarize` is the only place that composes a status, so that no step can leave half of one behind.
Pure: the time comes in, nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from methodsecret_operator.core.conditions import READY, Reason, conditions
from methodsecret_operator.core.remote import DELETED, RemoteSecret
from methodsecret_operator.core.resource import (
    PUBLISHED_LIMIT,
    SUPERSEDED_LIMIT,
    MethodSecret,
    Status,
    Superseded,
)
from methodsecret_operator.core.snapshot import Finding


def summarize(obj: MethodSecret, finding: Finding, *, now: datetime) -> Status:
    """Return the status that a finding gives an object.

    Where the object's id has moved since the decision was made (another writer, or an older copy of the
    status put back), the id that Method gave us joins `superseded` and everything else is left as it is
    found: the key is to be looked at again (see `overtaken`). What was to be said was about another id.
    """
    former = obj.status
    if overtaken(obj, finding):
        if finding.secret is None:
            return former
        ours = Superseded(
            id=finding.secret.id,
            revision=finding.source.revision if finding.source else None,
            superseded_at=now.replace(microsecond=0),
        )
        return former.model_copy(update={"superseded": _with(former.superseded, ours)})

    secret = finding.secret
    changed: dict[str, object] = {
        "observed_generation": finding.generation,
        "pending": finding.pending,
        "last_handled_reconcile_at": finding.reconcile_token,
        "last_handled_rotation_at": finding.rotation_token,
        "conditions": conditions(
            reason=finding.reason,
            message=finding.message,
            rotation_pending=finding.rotation_pending,
            generation=finding.generation,
            former=former.conditions,
            now=now,
        ),
    }
    if secret is not None:
        changed |= _in_use(former, secret, now=now) | {"adopted": finding.adopted}
    elif finding.reason is Reason.REMOTE_DELETED:
        changed["status"] = DELETED  # where Method does not know it any more, that is its last word
    elif finding.superseded is not None:
        changed["superseded"] = finding.superseded
    if finding.published is not None:
        changed["published"] = finding.published[-PUBLISHED_LIMIT:]
    if finding.adopted is not None:
        changed |= {"adopted": finding.adopted, "source": None}
    if finding.source is not None:
        changed["source"] = finding.source
    if finding.environment is not None:
        changed["environment"] = finding.environment
    return former.model_copy(update=changed)


def _in_use(former: Status, secret: RemoteSecret, *, now: datetime) -> dict[str, object]:
    """Return the fields that tell of the secret in use; another one before it joins `superseded`."""
    superseded = former.superseded
    if former.id is not None and former.id != secret.id:
        old = Superseded(
            id=former.id,
            revision=former.source.revision if former.source else None,
            superseded_at=now.replace(microsecond=0),
        )
        superseded = _with(superseded, old)
    return {
        "id": secret.id,
        "status": secret.status,
        "created_at": secret.created_at,
        "updated_at": secret.updated_at,
        "superseded": tuple(entry for entry in superseded if entry.id != secret.id),
    }


def overtaken(obj: MethodSecret, finding: Finding) -> bool:
    """Whether the status names another id by now than the one that the finding was based on."""
    current = obj.status.id
    return current != finding.base_id and (finding.secret is None or current != finding.secret.id)


def _with(entries: tuple[Superseded, ...], new: Superseded) -> tuple[Superseded, ...]:
    """Return the entries with a new one. The oldest are cut; a list that shows our uid in one adds it again.

    Not one whose DELETE was sent: that mark is nowhere else, and keeps it from being linked again.
    """
    if any(entry.id == new.id for entry in entries):
        return entries
    whole = (*entries, new)
    spare = [entry.id for entry in whole if not entry.deleting]
    cut = set(spare[: max(len(whole) - SUPERSEDED_LIMIT, 0)])
    return tuple(entry for entry in whole if entry.id not in cut)


def worth_writing(former: Status, new: Status) -> bool:
    """Whether a status differs in more than a pending create's ordinal, or than words while Ready.

    The ordinal alone is not worth a write for each try: should the process die, a lower one is asked
    again, its stored failure comes back, and the count goes on from there. What a Ready object's messages
    name stands in the other fields too, so that only a release that words them anew could tell them apart.
    """
    return _compared(new) != _compared(former)


def _compared(status: Status) -> Status:
    ready = status.condition(READY)
    told = status.conditions
    if ready is not None and ready.status == "True":
        told = tuple(condition.model_copy(update={"message": ""}) for condition in told)
    return status.model_copy(update={"pending": None, "conditions": told})


def merge_patch(former: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns `former` into `new`; {} where they are equal."""
    patch: dict[str, Any] = {key: None for key in former if key not in new}
    for key, value in new.items():
        old = former.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if inner := merge_patch(old, value):
                patch[key] = inner
        elif key not in former or old != value:
            patch[key] = value
    return patch


def transition(former: Status, new: Status) -> bool:
    """Whether the change is one that a person should hear of: another reason, or another id."""
    before, after = former.condition(READY), new.condition(READY)
    return (before.reason if before else None, former.id) != (after.reason if after else None, new.id)
