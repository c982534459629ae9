"""Who a secret at Method belongs to and what it holds, in names that give nothing away.

Three derived names keep a create from happening twice (docs/how-it-works.md):

- the revision: a keyed digest of everything that makes a secret what it is,
- the idempotency key: the same for the same object, revision and attempt, on any machine, for ever,
- the marker: the three keys that the operator adds to a secret's metadata at Method.

Pure functions. Nothing here may return, store or print a value: only the keyed digest of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import rfc8785
from pydantic import JsonValue

REVISION_FORMAT: Final = "1"
"""Grows when what goes into the digest changes, so that old revisions are never mistaken for new ones."""

OWNER_KEY: Final = "k8s_owner"
UID_KEY: Final = "k8s_uid"
REVISION_KEY: Final = "k8s_revision"
MARKER_KEYS: Final = (OWNER_KEY, UID_KEY, REVISION_KEY)

METADATA_LIMIT: Final = 1000
"""How many bytes metadata may take as compact JSON, marker included.

Method documents "under 1 KB"; 1,000 is right for either meaning of the word.
"""

_KEY_NAMESPACE: Final = uuid.UUID("9b1d0f57-6c0c-5d0a-9d1e-0c5f0a7e6b11")
"""The operator's own UUID namespace (RFC 9562, version 5); it may never change."""


class MetadataNotCanonicalError(ValueError):
    """`spec.metadata` holds a number that JSON cannot carry exactly (RFC 8785 refuses it)."""


@dataclass(frozen=True, slots=True, repr=False)
class DigestKey:
    """The cluster's secret key for revisions, at least 16 random bytes."""

    material: bytes

    def __post_init__(self) -> None:
        if len(self.material) < 16:  # noqa: PLR2004 - 128 bits, the digest's own strength
            raise ValueError("the digest key must have at least 16 bytes")

    @property
    def id(self) -> str:
        """The first 8 hex digits of the key's SHA-256: enough to tell keys apart, nothing to find one by."""
        return hashlib.sha256(self.material).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"DigestKey(id={self.id!r})"


def canonical_metadata(metadata: Mapping[str, JsonValue] | None) -> bytes:
    """Return metadata as RFC 8785 has it; absent, null and {} are the same.

    Raises MetadataNotCanonicalError.
    """
    try:
        return rfc8785.dumps(dict(metadata or {}))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise MetadataNotCanonicalError from None


def revision(
    *,
    key: DigestKey,
    namespace: str,
    name: str,
    environment: str,
    value: str,
    metadata: Mapping[str, JsonValue] | None,
) -> str:
    """Return `<format>:<key id>:<128 bits of HMAC-SHA-256>` over all that makes a secret what it is.

    Namespace and name are in it, so that equal values of two objects never show. Every part goes in with
    its length, so that no two lists of parts are the same bytes.
    """
    digest = hmac.new(key.material, digestmod=hashlib.sha256)
    parts = (
        namespace.encode(),
        name.encode(),
        environment.encode(),
        value.encode(),
        canonical_metadata(metadata),
    )
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"{REVISION_FORMAT}:{key.id}:{digest.hexdigest()[:32]}"


def revision_key_id(text: str) -> str | None:
    """Return the id of the digest key that a revision was made with; None where it is no revision."""
    parts = text.split(":")
    return parts[1] if len(parts) == 3 else None  # noqa: PLR2004 - format, key id, digest


def idempotency_key(*, uid: str, revision: str, ordinal: int) -> str:
    """Return the Idempotency-Key of one create: a UUID, pure, with nothing from a cache or a clock in it.

    `ordinal` counts the creates of this revision that are known to have failed for good.
    """
    return str(uuid.uuid5(_KEY_NAMESPACE, f"{uid}/{revision}/{ordinal}"))


@dataclass(frozen=True, slots=True)
class Marker:
    """What the operator writes beside the user's metadata: whose the secret is and what it holds."""

    owner: str
    uid: str
    revision: str

    @property
    def cluster(self) -> str:
        """The name of the cluster in the owner's name."""
        return self.owner.partition("/")[0]

    def to_metadata(self) -> dict[str, JsonValue]:
        """Return the three keys as they stand in a secret's metadata."""
        return {OWNER_KEY: self.owner, UID_KEY: self.uid, REVISION_KEY: self.revision}

    @classmethod
    def read(cls, metadata: Mapping[str, JsonValue] | None) -> Marker | None:
        """Return the marker in a secret's metadata, or None where there is no whole one."""
        found = [(metadata or {}).get(key) for key in MARKER_KEYS]
        owner, uid, revision = found
        if isinstance(owner, str) and isinstance(uid, str) and isinstance(revision, str):
            return cls(owner=owner, uid=uid, revision=revision)
        return None


def owner(*, cluster: str, namespace: str, name: str) -> str:
    """Return the owner's name in a marker: `<cluster>/<namespace>/<name>`."""
    return f"{cluster}/{namespace}/{name}"


def owners(clusters: Iterable[str], *, namespace: str, name: str) -> frozenset[str]:
    """Return the owner's names under each of these names of the cluster."""
    return frozenset(owner(cluster=cluster, namespace=namespace, name=name) for cluster in clusters)


def size(metadata: Mapping[str, JsonValue]) -> int:
    """Return how many bytes metadata takes as compact JSON in UTF-8."""
    return len(json.dumps(dict(metadata), separators=(",", ":"), ensure_ascii=False).encode())
