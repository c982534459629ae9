"""The states in which an object rests: `make golden` brings them about, and each release leaves them alone.

At rest is what a restart of the operator neither writes nor sends anything for. A reason that no state has
stands in NOT_AT_REST, with the why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from methodsecret_operator.core.conditions import Reason
from tests.faults.place import NEW_KEY, OLD_KEY, Place
from tests.integration.world import condition, ready

Change = Callable[[Place, str], Awaitable[None]]
"""What is done to an object, by its name, once it is Synced."""

NOT_AT_REST: Final[Mapping[Reason, str]] = {
    Reason.PENDING: "the operator goes on by itself until it is over",
    Reason.RATE_LIMITED: "the block ends, and the create is sent again",
    Reason.METHOD_UNAVAILABLE: "the same create is sent again until there is an answer",
    Reason.REJECTED: "a start asks Method once more: its rules may have changed",
    Reason.UNAUTHORIZED: "a start asks Method once more: nothing else tells that the key is accepted now",
}

SETTINGS: Final[Mapping[str, str]] = {
    "CLUSTER_NAME": "golden",
    "RESYNC_SECONDS": "1",
    "SOURCE_SELECTOR": "golden!=refused",
}
"""Of the operators that record and load. DEFAULT_ACCOUNT_NAMESPACES is the namespace, not the one outside."""

OUTSIDE: Final = "-outside"
"""What the namespace that may not use the default account is called more."""

_ON_REQUEST: Final = {"rotation": {"policy": "OnRequest"}}


async def _rotate(place: Place, name: str) -> None:
    former = place.get(name)["status"]["id"]
    place.secret(name, value=f"second value of {name}")
    await place.until(lambda obj: ready()(obj) and obj["status"]["id"] != former, name)


async def _change_unasked(place: Place, name: str) -> None:
    place.secret(name, value=f"second value of {name}")
    await place.until(condition("RotationPending", "True"), name)


async def _delete_at_method(place: Place, name: str) -> None:
    await place.control.change_secret(place.get(name)["status"]["id"], status="deleted")


async def _pause(place: Place, name: str) -> None:
    place.method_secret(name, source=name, annotations={"methodfi.com/paused": "true"})


@dataclass(frozen=True, kw_only=True)
class State:
    """An object's way to a state. Its source Secret has its own name; `value` None: there is none."""

    name: str
    ready: Reason
    why: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    value: str | None = "first value"
    labels: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None
    first_environment: str = "production"
    """The operator's ENVIRONMENT until the object is Synced."""
    outside: bool = False
    api_key: str | None = None
    """What the Secret `<name>-key` holds, if there is one."""
    config_map: str | None = None
    """A ConfigMap of somebody else's."""
    at_method: Mapping[str, Any] | None = None
    """The metadata of a secret that Method holds before; `{}` is one without a mark, to adopt."""


def _account(name: str) -> dict[str, Any]:
    return {
        "account": {"environment": "sandbox", "apiKeySecretRef": {"name": f"{name}-key", "key": "api-key"}}
    }


def _publish(name: str) -> dict[str, Any]:
    return {"publish": {"configMap": {"name": f"{name}-id", "key": "id"}}}


STATES: Final = (
    State(name="synced", ready=Reason.SYNCED, why="the ordinary case"),
    State(
        name="synced-metadata",
        ready=Reason.SYNCED,
        why="metadata are in the revision",
        spec={"metadata": {"team": "payments", "ranks": [1, 2.5], "nested": {"ü": None}}},
    ),
    State(name="superseded", ready=Reason.SYNCED, why="former ids are kept", change=_rotate),
    State(
        name="superseded-deleted-after",
        ready=Reason.SYNCED,
        why="a deletion still due is looked at at each start",
        spec={"rotation": {"deleteSupersededAfter": "876000h"}},
        change=_rotate,
    ),
    State(
        name="deletion-policy-delete", ready=Reason.SYNCED, why="finalizer", spec={"deletionPolicy": "Delete"}
    ),
    State(name="adopted", ready=Reason.ADOPTED, why="a secret without a mark, taken over", at_method={}),
    State(name="published", ready=Reason.SYNCED, why="a ConfigMap of ours", spec=_publish("published")),
    State(
        name="account",
        ready=Reason.SYNCED,
        why="an account of its own, in another environment",
        spec=_account("account"),
        api_key=NEW_KEY,
    ),
    State(
        name="rotation-pending",
        ready=Reason.SYNCED,
        why="a change waits to be asked for",
        spec=_ON_REQUEST,
        change=_change_unasked,
    ),
    State(name="paused", ready=Reason.SYNCED, why="nobody looks at it", change=_pause),
    State(name="source-not-found", ready=Reason.SOURCE_NOT_FOUND, why="waits for a Secret", value=None),
    State(
        name="source-key-not-found",
        ready=Reason.SOURCE_KEY_NOT_FOUND,
        why="waits for a key",
        spec={"valueFrom": {"secretKeyRef": {"name": "source-key-not-found", "key": "other"}}},
    ),
    State(
        name="credentials-not-found",
        ready=Reason.CREDENTIALS_NOT_FOUND,
        why="waits for an API key",
        spec=_account("credentials-not-found"),
    ),
    State(name="invalid-source", ready=Reason.INVALID_SOURCE, why="an empty value", value=""),
    State(
        name="invalid-spec",
        ready=Reason.INVALID_SPEC,
        why="a number that JSON cannot carry exactly",
        spec={"metadata": {"number": 9007199254740993}},
    ),
    State(
        name="metadata-too-large",
        ready=Reason.METADATA_TOO_LARGE,
        why="more than Method takes",
        spec={"metadata": {"text": "x" * 1000}},
    ),
    State(
        name="adoption-failed",
        ready=Reason.ADOPTION_FAILED,
        why="nothing there to adopt",
        spec={"adopt": {"id": "sec_nobodyhasit1"}},
    ),
    State(
        name="account-changed",
        ready=Reason.ACCOUNT_CHANGED,
        why="the operator's environment has changed",
        first_environment="sandbox",
    ),
    State(
        name="digest-key-lost",
        ready=Reason.DIGEST_KEY_LOST,
        why="a secret of this owner under a digest key that is not ours",
        at_method={
            "k8s_owner": "golden/{namespace}/digest-key-lost",
            "k8s_uid": "00000000-0000-4000-8000-000000000000",
            "k8s_revision": "1:00000000:00000000000000000000000000000000",
        },
    ),
    State(
        name="remote-deleted",
        ready=Reason.REMOTE_DELETED,
        why="deleted at Method, and a new one is to be asked for",
        spec=_ON_REQUEST,
        change=_delete_at_method,
    ),
    State(
        name="publish-conflict",
        ready=Reason.PUBLISH_CONFLICT,
        why="the ConfigMap is somebody else's",
        spec=_publish("publish-conflict"),
        config_map="publish-conflict-id",
    ),
    State(
        name="namespace-not-allowed",
        ready=Reason.NAMESPACE_NOT_ALLOWED,
        why="not one of DEFAULT_ACCOUNT_NAMESPACES",
        outside=True,
    ),
    State(
        name="source-not-allowed",
        ready=Reason.SOURCE_NOT_ALLOWED,
        why="not of SOURCE_SELECTOR",
        labels={"golden": "refused"},
    ),
)

API_KEY: Final = OLD_KEY
