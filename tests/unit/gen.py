"""Factories for the tests of the core and the runtime: an ordinary whole, and keywords for what differs.

Every factory gives something valid and complete, so that a test names only what it is about. Nothing
random: the same call gives an equal thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import settings
from pydantic import JsonValue, SecretStr

from methodsecret_operator.core import identity
from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.decision import decide
from methodsecret_operator.core.remote import ACTIVE, MarkedSecret, RemoteSecret
from methodsecret_operator.core.resource import GROUP, MethodSecret, Source
from methodsecret_operator.core.snapshot import (
    AccountReady,
    Action,
    Attempt,
    Create,
    Finding,
    Problem,
    Snapshot,
    SourceValue,
)
from methodsecret_operator.errors import MethodError

EXAMPLES: Final = settings(max_examples=60, deadline=None, derandomize=True)
"""For every property: enough to find what is wrong, the same in each run, and quick."""

CANARY: Final = "canary-7f3a-value"
NOW: Final = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)
EARLIER: Final = "2026-05-01T08:00:00Z"
CLUSTER: Final = "prod-eu"
NAMESPACE: Final = "payments"
NAME: Final = "acme-api-key"
UID: Final = "0b0c7b0e-1111-4222-8333-944444444444"
SECRET_UID: Final = "5ec2e700-aaaa-4bbb-8ccc-dddddddddddd"
SECRET_VERSION: Final = "8123"
SECRET_ID: Final = "sec_current1"
KEY: Final = identity.DigestKey(b"a digest key only made for tests")

ROTATE: Final = f"{GROUP}/rotation-requested-at"
RECONCILE: Final = f"{GROUP}/reconcile-requested-at"
PAUSED: Final = f"{GROUP}/paused"


def revision(
    *,
    value: str = CANARY,
    metadata: Mapping[str, JsonValue] | None = None,
    environment: str = "production",
    namespace: str = NAMESPACE,
    name: str = NAME,
    key: identity.DigestKey = KEY,
) -> str:
    """Return the revision of the ordinary object, or of one that differs in a part."""
    return identity.revision(
        key=key, namespace=namespace, name=name, environment=environment, value=value, metadata=metadata
    )


def raw_spec(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a spec as the kube-apiserver stores it; keywords are its fields, in camelCase."""
    return {"valueFrom": {"secretKeyRef": {"name": "acme", "key": "api-key"}}, **changed}


def own_account(environment: str = "sandbox") -> dict[str, Any]:
    """Return a spec.account."""
    return {"environment": environment, "apiKeySecretRef": {"name": "method", "key": "token"}}


def raw_condition(kind: str, status: str = "True", **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a condition as it is stored."""
    return {
        "type": kind,
        "status": status,
        "observedGeneration": 1,
        "lastTransitionTime": EARLIER,
        "reason": "Synced",
        "message": "Whatever.",
        **changed,
    }


def raw_ready_status(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return the status of an object whose value is at Method; None takes a field away."""
    status: dict[str, Any] = {
        "id": SECRET_ID,
        "status": "active",
        "createdAt": "2026-05-01T07:59:59.024Z",
        "updatedAt": "2026-05-01T07:59:59.024Z",
        "environment": "production",
        "observedGeneration": 1,
        "source": {"uid": SECRET_UID, "revision": revision(), "resourceVersion": SECRET_VERSION},
        "conditions": [raw_condition("Ready")],
        **changed,
    }
    return {name: value for name, value in status.items() if value is not None}


def raw_object(
    *,
    namespace: str = NAMESPACE,
    name: str = NAME,
    uid: str = UID,
    version: int = 100,
    generation: int = 1,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    deleted: bool = False,
    finalizers: tuple[str, ...] = (),
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a MethodSecret as the kube-apiserver sends it; `status` None: as the CRD defaults it."""
    metadata: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": generation,
        "creationTimestamp": EARLIER,
        "managedFields": [{"manager": "kubectl"}],
    }
    if annotations is not None:
        metadata["annotations"] = dict(annotations)
    if labels is not None:
        metadata["labels"] = dict(labels)
    if deleted:
        metadata["deletionTimestamp"] = "2026-05-04T11:59:00Z"
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "MethodSecret",
        "metadata": metadata,
        "spec": dict(spec) if spec is not None else raw_spec(),
        "status": dict(status) if status is not None else {"observedGeneration": -1},
    }


def method_secret(**changed: Any) -> MethodSecret:  # noqa: ANN401 - see raw_object
    """Return a MethodSecret that nobody has worked on yet; keywords as in `raw_object`."""
    return MethodSecret.model_validate(raw_object(**changed))


def synced(*, status: Mapping[str, Any] | None = None, **changed: Any) -> MethodSecret:  # noqa: ANN401 - as above
    """Return a MethodSecret whose value is at Method; `status` holds what differs in its status."""
    return method_secret(status=raw_ready_status(**(status or {})), **changed)


def source(value: str = CANARY, *, uid: str = SECRET_UID, version: str = SECRET_VERSION) -> SourceValue:
    """Return a value as it was read from its Secret."""
    return SourceValue(uid=uid, resource_version=version, value=SecretStr(value))


def snapshot(obj: MethodSecret | None = None, **changed: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return the world around an object; keywords are Snapshot's fields."""
    whole = Snapshot(
        now=NOW,
        object=obj or method_secret(),
        cluster=CLUSTER,
        digest_key=KEY,
        account=AccountReady(environment="production"),
        source=source(),
    )
    return replace(whole, **changed)


def marker(**changed: str) -> dict[str, JsonValue]:
    """Return the metadata of the ordinary object's secret at Method."""
    whole = {
        "owner": identity.owner(cluster=CLUSTER, namespace=NAMESPACE, name=NAME),
        "uid": UID,
        "revision": revision(),
        **changed,
    }
    return identity.Marker(**whole).to_metadata()


def remote(id: str = "sec_new1", status: str = ACTIVE, **changed: Any) -> RemoteSecret:  # noqa: A002, ANN401 - its fields
    """Return a secret as Method's API shows it; by default it is the ordinary object's."""
    whole = RemoteSecret(
        id=id,
        status=status,
        created_at="2026-05-04T12:00:00.024Z",
        updated_at="2026-05-04T12:00:00.025Z",
        metadata=marker(),
    )
    return replace(whole, **changed)


def marked(id: str = "sec_marked1", status: str = ACTIVE, **changed: str) -> MarkedSecret:  # noqa: A002 - its field
    """Return a secret as the inventory has it; keywords are what differs in its marker."""
    read = identity.Marker.read(marker(**changed))
    assert read is not None
    return MarkedSecret(id=id, status=status, marker=read)


def create(whole: Snapshot | None = None) -> Create:
    """Return the create that is decided on for a snapshot (by default the ordinary one)."""
    return as_create(decide(whole or snapshot()))


def as_create(action: Action | Problem) -> Create:
    """Return an action that must be a create."""
    assert isinstance(action, Create), f"expected a Create, got {action}"
    return action


def attempt(**changed: Any) -> Attempt:  # noqa: ANN401 - Attempt's fields
    """Return what is known of the ordinary object's last create: by default, that its first one failed."""
    whole = Attempt(revision=revision(), ordinal=1, since=NOW)
    return replace(whole, **changed)


def finding(**changed: Any) -> Finding:  # noqa: ANN401 - Finding's fields
    """Return a finding about an object that nobody has worked on yet: its value is at Method now."""
    whole = Finding(
        reason=Reason.SYNCED,
        message="sec_new1 at Method holds the value.",
        generation=1,
        base_id=None,
        secret=remote(),
        source=Source(uid=SECRET_UID, revision=revision(), resource_version=SECRET_VERSION),
        environment="production",
    )
    return replace(whole, **changed)


def error(cls: type[MethodError], /, **changed: Any) -> MethodError:  # noqa: ANN401 - MethodError's arguments
    """Return a failed create."""
    return cls(**({"operation": "create", "kind": "http"} | changed))


def later(**delta: float) -> datetime:
    """Return a time after NOW."""
    return NOW + timedelta(**delta)
