"""The words of one decision: what is looked at (Snapshot) and what can come of it (Action).

Data only. The rules stand in decision, deletion and outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydantic import JsonValue, SecretStr

from methodsecret_operator.core import identity
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.remote import MarkedSecret, RemoteSecret
from methodsecret_operator.core.resource import (
    Adopted,
    MethodSecret,
    PendingCreate,
    Published,
    Source,
    Superseded,
)

MISSING_FOR: Final = timedelta(seconds=60)
"""How long Method must not know an id before that is believed: lists and reads may lag."""

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
    key and body. Otherwise `ordinal` is the next one to use for `revision`. `since` is when this key was
    first sent, `tried_at` when the last try with it was over; `failing_since` is when the first came of an
    unbroken run of failures that say nothing of the tries before them, None where the last was no such.
    """

    revision: str
    ordinal: int
    since: datetime
    unresolved: Create | None = None
    tried_at: datetime | None = None
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConfigMapSeen:
    """A ConfigMap as it was read: its ownerReferences, and what we applied to it in this look."""

    uid: str
    resource_version: str
    owners: tuple[Mapping[str, Any], ...] = ()
    applied: Mapping[str, Any] | None = None


ConfigMapState = ConfigMapSeen | Literal["refused"] | None
"""A ConfigMap as it was read, None where there is none; or reading or writing it is refused."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world as one decision sees it.

    `trusted` is false where somebody else has written the status since we last did: then the id in it is
    believed only with evidence. `evidence` has what Method answered about an id: the secret, or None where
    it has no such id.

    `marked` are the secrets that the inventory has for this object's owner; `scanned_at` is when the scan
    behind it began, None where there is none (listing is refused), `listed_at` when it was complete. `listed`
    has those of the ids that Method was asked about which the inventory has; none where listing is refused.
    `doubted` says that it has the id in the status not, or not as active; `claimed` has those of `marked`,
    and of the ids in the status, that another MethodSecret goes by: they are that one's, whatever their mark;
    `contended` has those that another is about to adopt.
    `missing` has the ids that Method did not know when it was asked, and since when; `account_changed` says
    that so many of the account's ids are missing at once that it is another account, `vanished` has those
    that this very account had while the process lives. `undeletable` has the ids whose DELETE Method has
    refused in this look. `refused_since` says since when each look has found no API key that Method accepts.

    `config_maps` has what the kube-apiserver answered about ConfigMaps in this look, `config_map_version`
    the resourceVersion that the watch has of the one to publish in.
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
    aliases: tuple[str, ...] = ()
    marked: tuple[MarkedSecret, ...] = ()
    scanned_at: datetime | None = None
    listed_at: datetime | None = None
    listed: frozenset[str] = frozenset()
    doubted: bool = False
    claimed: frozenset[str] = frozenset()
    contended: frozenset[str] = frozenset()
    adoption: Adoption | None = None
    missing: Mapping[str, datetime] = field(default_factory=dict)
    account_changed: bool = False
    vanished: frozenset[str] = frozenset()
    undeletable: frozenset[str] = frozenset()
    config_maps: Mapping[str, ConfigMapState] = field(default_factory=dict)
    config_map_version: str | None = None
    namespace_terminating: bool = False
    deletion_timeout: float = 300.0
    refused_since: datetime | None = None

    def missed(self, secret_id: str) -> bool:
        """Whether Method has not known an id for so long that it is believed, where no list shows it."""
        since = self.missing.get(secret_id)
        return since is not None and self.now - since >= MISSING_FOR

    @property
    def owners(self) -> frozenset[str]:
        """The names that mark this object's secrets: under this cluster's name, and under former ones."""
        meta = self.object.metadata
        return identity.owners((self.cluster, *self.aliases), namespace=meta.namespace, name=meta.name)


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing is to be done now and nothing to be said; `retry` is when to look again."""

    retry: Retry = "resync"


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask Method about this id, then decide again."""

    id: str


@dataclass(frozen=True, slots=True)
class ListAnew:
    """List the account once more, by a list that began at `since` or later, then decide again."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this secret at Method: it is ours, and nothing uses it any more."""

    id: str


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Put our finalizer on the object, or take it off."""

    present: bool
    undone: tuple[str, ...] = ()
    """The ids that stay at Method because they could not be deleted."""
    claimed: tuple[str, ...] = ()
    """The ids that stay there because another object goes by them."""


@dataclass(frozen=True, slots=True)
class Examine:
    """Find out whether this secret may be adopted, then decide again."""

    id: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was found out about a secret that is to be adopted.

    `claimed_by` is the MethodSecret (`namespace/name`) whose status names it already; `owner_alive` says
    that it carries the mark of somebody who exists, or of whom that cannot be ruled out.
    """

    remote: RemoteSecret | None
    claimed_by: str | None
    owner_alive: bool


@dataclass(frozen=True, slots=True)
class ReadConfigMap:
    """Read this ConfigMap of the object's namespace, then decide again."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateConfigMap:
    """Create this ConfigMap; where one of its name has come meanwhile, nothing is done to that."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApplyConfigMap:
    """Apply this ConfigMap onto the very version that was seen."""

    manifest: Mapping[str, Any]
    onto: ConfigMapSeen


@dataclass(frozen=True, slots=True)
class DeleteConfigMap:
    """Delete this ConfigMap, if it still is the one in the version that was seen."""

    name: str
    uid: str
    resource_version: str


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
    adopted: Adopted | None = None
    superseded: tuple[Superseded, ...] | None = None
    """The former secrets, where they are to change by more than the move of `id`."""
    published: tuple[Published, ...] | None = None
    """The ConfigMaps to name in the status, where they are to change."""


Action = (
    Leave
    | Confirm
    | ListAnew
    | Examine
    | Create
    | Delete
    | SetFinalizer
    | ReadConfigMap
    | CreateConfigMap
    | ApplyConfigMap
    | DeleteConfigMap
    | Finding
)
