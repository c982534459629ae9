"""The MethodSecret resource as Python objects, field by field what the CRD in crds/ declares.

Read-only: objects are parsed from what the kube-apiserver sent and never changed in place. What a
field means to a user stands in the CRD's descriptions (`kubectl explain methodsecret.spec`).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from pydantic.alias_generators import to_camel

GROUP: Final = "methodfi.com"
VERSION: Final = "v1"
KIND: Final = "MethodSecret"
PLURAL: Final = "methodsecrets"

PAUSED: Final = f"{GROUP}/paused"
RECONCILE_REQUESTED_AT: Final = f"{GROUP}/reconcile-requested-at"
ROTATION_REQUESTED_AT: Final = f"{GROUP}/rotation-requested-at"
ANNOTATIONS: Final = (PAUSED, RECONCILE_REQUESTED_AT, ROTATION_REQUESTED_AT)
FINALIZER: Final = f"{GROUP}/method-secret"

SUPERSEDED_LIMIT: Final = 100
"""How many former secrets a status names at most: the CRD's maxItems. The oldest not `deleting` go first."""

PUBLISHED_LIMIT: Final = 16
"""How many ConfigMaps a status names at most: the CRD's maxItems. More than two need mishaps in a row."""

SELECTED: Final = ("status.id", "spec.adopt.id")
"""Where an id gets into an object, and the server selects by it: among the CRD's selectableFields."""

ObjectName = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]
"""A DNS-1123 subdomain, Kubernetes' rule for names of Secrets and ConfigMaps."""

DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key in a Secret's or ConfigMap's data, by Kubernetes' rule."""

SecretId = Annotated[str, StringConstraints(max_length=255, pattern=r"^sec_[A-Za-z0-9_]+$")]
"""A secret's id at Method."""

Duration = Annotated[
    str,
    StringConstraints(min_length=2, max_length=32, pattern=r"^([0-9]{1,6}(\.[0-9]{1,3})?(s|m|h))+$"),
]
"""Seconds, minutes, hours in Go's notation, such as 90s, 1.5h, 1h30m.

The digits are counted so that the longest (some 450 years) added to a time is still a time.
"""

LabelValue = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
]
AnnotationValue = Annotated[str, StringConstraints(max_length=4096)]

ShortText = Annotated[str, StringConstraints(max_length=255)]
"""An id, a word or a time that somebody else coined."""

Token = Annotated[str, StringConstraints(max_length=262144)]
"""An annotation's text, echoed. As long as Kubernetes lets all annotations of an object be together."""

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_DURATION_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours"}


def parse_duration(text: str) -> timedelta:
    """Return the length of a duration such as 1h30m."""
    return sum(
        (
            timedelta(**{_DURATION_UNITS[unit]: float(number)})
            for number, unit in _DURATION_PART.findall(text)
        ),
        timedelta(),
    )


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",  # what a newer CRD adds is not an error
        # Errors must not repeat the input: a spec may hold what its author did not mean to publish.
        hide_input_in_errors=True,
    )


Environment = Literal["production", "sandbox", "dev"]
"""Method's environments; each has API keys and secrets of its own."""


class DeletionPolicy(StrEnum):
    """What becomes of the secret at Method when its MethodSecret is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class RotationPolicy(StrEnum):
    """When a new value becomes a new secret."""

    AUTOMATIC = "Automatic"
    ON_REQUEST = "OnRequest"


class SecretKeySelector(_Model):
    """A key of a Secret in the same namespace."""

    name: ObjectName
    key: DataKey


class ValueFrom(_Model):
    """Where the value comes from."""

    secret_key_ref: SecretKeySelector


class Account(_Model):
    """Another account at Method than the operator's default one."""

    environment: Environment
    api_key_secret_ref: SecretKeySelector


class Rotation(_Model):
    """How a changed value gets to Method."""

    policy: RotationPolicy = RotationPolicy.AUTOMATIC
    delete_superseded_after: Duration | None = None


class Adopt(_Model):
    """An existing secret at Method to take over instead of creating one."""

    id: SecretId


class ConfigMapTarget(_Model):
    """The ConfigMap that shows the current id to workloads."""

    name: ObjectName
    key: DataKey
    labels: Annotated[dict[str, LabelValue], Field(max_length=32)] | None = None
    annotations: Annotated[dict[str, AnnotationValue], Field(max_length=32)] | None = None


class Publish(_Model):
    """Where the id is published."""

    config_map: ConfigMapTarget


class Spec(_Model):
    """What the user wants."""

    value_from: ValueFrom
    metadata: dict[str, JsonValue] | None = None
    account: Account | None = None
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    rotation: Rotation = Rotation()
    adopt: Adopt | None = None
    publish: Publish | None = None


class Source(_Model):
    """The Secret whose value `status.id` holds, as it was when it was read.

    `revision` is a keyed digest (core.identity), never the value nor a plain hash of it.
    """

    uid: ShortText
    revision: ShortText
    resource_version: ShortText


class Adopted(Source):
    """An adopted secret, and the source as it was then: whether the secret holds that value is unknown."""

    id: ShortText


class Superseded(_Model):
    """A secret at Method that this object used before.

    `deleting` is set before its DELETE is first sent: from then on it is never used again.
    """

    id: ShortText
    revision: ShortText | None = None
    superseded_at: AwareDatetime
    deleting: bool | None = None


class Published(_Model):
    """A ConfigMap that this object has made, or is about to make: then its name stands alone.

    The rest says what was last applied to it (which id, for which generation of the spec), and the
    resourceVersion that this gave it: as long as it has that, nobody has touched it.
    """

    config_map: ObjectName
    id: ShortText | None = None
    resource_version: ShortText | None = None
    observed_generation: Annotated[int, Field(ge=0)] | None = None


class PendingCreate(_Model):
    """A create whose outcome is not settled: which of its idempotency keys is in use."""

    revision: ShortText
    ordinal: Annotated[int, Field(ge=0)]


class Condition(_Model):
    """A condition by the Kubernetes API conventions (metav1.Condition)."""

    type: Annotated[
        str,
        StringConstraints(
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ]
    status: Literal["True", "False", "Unknown"]
    observed_generation: Annotated[int, Field(ge=0)]
    last_transition_time: AwareDatetime
    reason: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    message: Annotated[str, StringConstraints(max_length=32768)]


class Status(_Model):
    """What the operator found and did."""

    id: ShortText | None = None
    status: ShortText | None = None
    created_at: ShortText | None = None
    updated_at: ShortText | None = None
    environment: ShortText | None = None
    observed_generation: Annotated[int, Field(ge=-1)] = -1
    source: Source | None = None
    adopted: Adopted | None = None
    superseded: Annotated[tuple[Superseded, ...], Field(max_length=100)] = ()
    pending: PendingCreate | None = None
    published: Annotated[tuple[Published, ...], Field(max_length=16)] = ()
    last_handled_reconcile_at: Token | None = None
    last_handled_rotation_at: Token | None = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of that type, if it is there."""
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def condemned(self) -> frozenset[str]:
        """The former ids whose DELETE may have been sent: none of them is ever used again."""
        return frozenset(entry.id for entry in self.superseded if entry.deleting)

    def to_wire(self) -> dict[str, Any]:
        """Return the status as the kube-apiserver stores it: camelCase, nothing that is unset."""
        whole = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: value for name, value in whole.items() if value != []}


class ObjectMeta(_Model):
    """The part of Kubernetes' ObjectMeta that the operator uses."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int = 0
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()


class MethodSecret(_Model):
    """One object, as the kube-apiserver has it.

    `unread` names the fields that do not fit and are left out, which is done only while it is being deleted:
    see core.salvage.
    """

    metadata: ObjectMeta
    spec: Spec
    status: Status = Status()
    unread: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Namespace and name, as in logs and in the queue."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def paused(self) -> bool:
        """Whether its author has asked the operator to leave it alone."""
        return self.metadata.annotations.get(PAUSED) == "true"


def rfc3339(moment: datetime) -> str:
    """Return a time as metav1.Time has it: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
