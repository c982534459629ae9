"""What can be read of an object that is being deleted and does not fit the model. Pure and total.

Our finalizer holds it, and nobody else takes that off: so it is read field by field, and what does not fit is
left out by its name. Nothing that is left out is guessed at: see deletion.decide and Gatherer.account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from methodsecret_operator.core.resource import MethodSecret, ObjectMeta, Spec, Status, Superseded

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
M = TypeVar("M", bound=BaseModel)

ACCOUNT: Final = "spec.account"
DELETION_POLICY: Final = "spec.deletionPolicy"
"""Fields without which nobody knows where to delete, or whether."""

_SUPERSEDED: Final = "superseded"
_NO_SOURCE: Final = {"valueFrom": {"secretKeyRef": {"name": "unread", "key": "unread"}}}
"""Stands for a source that cannot be read. A deletion asks for none, and names none."""


def read(document: Mapping[str, Any]) -> MethodSecret:
    """Return the object without what does not fit; `unread` names that."""
    metadata = ObjectMeta.model_validate(document["metadata"])  # Kubernetes' own, whatever the CRD says
    unread: list[str] = []
    spec = _fitting(Spec, document.get("spec"), "spec", unread, required=_NO_SOURCE)
    status = _fitting(Status, document.get("status"), "status", unread, required={})
    place = f"status.{_SUPERSEDED}"
    if place in unread:
        unread.remove(place)
        entries = tuple(_former(document["status"][_SUPERSEDED], place, unread))
        status = status.model_copy(update={_SUPERSEDED: entries})  # as many as there are
    return MethodSecret(metadata=metadata, spec=spec, status=status, unread=tuple(unread))


def _fitting(model: type[M], raw: object, place: str, unread: list[str], *, required: Mapping[str, Any]) -> M:
    """Return the model of those fields that fit, each taken by itself; `unread` gets the others."""
    if not isinstance(raw, Mapping):
        unread.append(place)
        return model.model_validate(required)
    kept = dict(required)
    unread += [f"{place}.{name}" for name in required if name not in raw]
    for name, value in raw.items():
        try:
            model.model_validate({**required, name: value})
        except ValidationError:
            unread.append(f"{place}.{name}")
        else:
            kept[name] = value
    return model.model_validate(kept)


def _former(raw: object, place: str, unread: list[str]) -> Iterator[Superseded]:
    """Yield the former secrets, each at least for its id: all else about them does not matter any more."""
    if not isinstance(raw, list):
        unread.append(place)
        return
    for number, entry in enumerate(raw):
        try:
            yield Superseded.model_validate(entry)
        except ValidationError:
            unread.append(f"{place}.{number}")
            secret_id = entry.get("id") if isinstance(entry, Mapping) else None
            if isinstance(secret_id, str):
                yield Superseded.model_construct(id=secret_id, superseded_at=_EPOCH)
