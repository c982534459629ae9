"""Which secrets at Method no object of this cluster stands behind any more. Pure.

A secret is ours to judge only by both our cluster's name and our digest key: another cluster may go by the
same name. What looks like ours and cannot be judged is said to be so, never called an orphan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from methodsecret_operator.core.identity import Marker, revision_key_id
from methodsecret_operator.core.remote import ACTIVE, DELETED, RemoteSecret

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST: Final = 253


class Verdict(StrEnum):
    """What a secret at Method is, as far as this cluster can tell."""

    ORPHAN = "orphan"
    IN_USE = "in use"
    TOO_YOUNG = "too young"
    DELETED = "deleted"
    UNMARKED = "not the operator's"
    OTHER_CLUSTER = "another cluster's"
    OTHER_KEY = "made with another digest key"
    OTHER_NAMESPACE = "of a namespace that is not looked at"
    UNCLEAR = "of an unknown status, age or owner"

    @property
    def judged(self) -> bool:
        """Whether it is known what it is: not so of a secret that looks like ours and may be anybody's."""
        return self not in {Verdict.OTHER_KEY, Verdict.OTHER_NAMESPACE, Verdict.UNCLEAR}


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that a marker of this cluster names."""

    namespace: str
    name: str

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a secret is judged by.

    `clusters` are this cluster's names, former ones too; `key_id` is its digest key's. `live` has the keys of
    the objects that exist, `named` the ids that any of them names; both were read after the secrets were
    listed, so that none of a new object is missing. `namespaces` are those that were read, None for all.
    """

    clusters: frozenset[str]
    key_id: str
    live: frozenset[str]
    named: frozenset[str]
    namespaces: frozenset[str] | None
    now: datetime
    min_age: timedelta


def owner(marker: Marker, clusters: frozenset[str]) -> Owner | None:
    """Return the object of this cluster that a marker names; None where it names none."""
    cluster, _, place = marker.owner.partition("/")
    namespace, _, name = place.partition("/")
    if cluster in clusters and all(
        len(part) <= _LONGEST and _NAME.fullmatch(part) for part in (namespace, name)
    ):
        return Owner(namespace, name)
    return None


def judge(secret: RemoteSecret, view: View) -> Verdict:
    """Return what a secret is. ORPHAN only where all of it is known and speaks for it."""
    if secret.status == DELETED:
        return Verdict.DELETED
    marker = Marker.read(secret.metadata)
    if marker is None:
        return Verdict.UNMARKED
    if marker.cluster not in view.clusters:
        return Verdict.OTHER_CLUSTER
    if revision_key_id(marker.revision) != view.key_id:
        return Verdict.OTHER_KEY  # another cluster may go by our name
    if secret.id in view.named:
        return Verdict.IN_USE
    whose, made = owner(marker, view.clusters), secret.created
    if whose is None:
        return Verdict.UNCLEAR
    if view.namespaces is not None and whose.namespace not in view.namespaces:
        return Verdict.OTHER_NAMESPACE
    if whose.key in view.live:
        return Verdict.IN_USE  # a resync sees to what its status does not name
    if secret.status != ACTIVE or made is None:
        return Verdict.UNCLEAR
    return Verdict.ORPHAN if view.now - made >= view.min_age else Verdict.TOO_YOUNG


def named(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield every id at Method that an object, as the server has it, names: in use, former, or wanted.

    Reads the bare document: an object of another version's schema must not lose its secrets either.
    """
    spec, status = _mapping(document.get("spec")), _mapping(document.get("status"))
    places = [status, _mapping(status.get("adopted")), _mapping(spec.get("adopt"))]
    for entries in (status.get("superseded"), status.get("published")):
        places += [_mapping(entry) for entry in entries or ()]
    yield from (found for place in places if isinstance(found := place.get("id"), str))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
