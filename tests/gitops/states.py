"""Every state that the operator can write, as whole objects, made by the code that writes them.

The status comes from core.findings and core.status, as in the operator; what a GitOps tool is to make of it
stands beside it. A reason without a row here is an error when this is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from methodsecret_operator.core import findings
from methodsecret_operator.core.conditions import CURRENT_STAYS, FORMER_STAYS, Reason, Sentence
from methodsecret_operator.core.resource import FINALIZER, PAUSED, MethodSecret
from methodsecret_operator.core.snapshot import Finding, Snapshot
from methodsecret_operator.core.status import summarize
from tests.unit import gen

Object = dict[str, Any]

ACCOUNT: Final = {"account": gen.own_account()}
PUBLISH: Final = {"publish": {"configMap": {"name": "acme-method", "key": "id"}}}
ON_REQUEST: Final = {"rotation": {"policy": "OnRequest"}}
ADOPT: Final = {"adopt": {"id": "sec_legacy1"}}

# Which sentence each reason is told with here, what fills it, and what the object must have for it.
_SENTENCES: Final[dict[Reason, tuple[Sentence, dict[str, Any], dict[str, Any]]]] = {
    Reason.PENDING: (Sentence.SETTLING, {}, {}),
    Reason.SOURCE_NOT_FOUND: (Sentence.SOURCE_NOT_FOUND, {}, {}),
    Reason.SOURCE_KEY_NOT_FOUND: (Sentence.SOURCE_KEY_NOT_FOUND, {}, {}),
    Reason.CREDENTIALS_NOT_FOUND: (Sentence.CREDENTIALS_NOT_FOUND, {}, ACCOUNT),
    Reason.RATE_LIMITED: (Sentence.RATE_LIMITED, {}, {}),
    Reason.METHOD_UNAVAILABLE: (Sentence.METHOD_UNAVAILABLE, {}, {}),
    Reason.INVALID_SOURCE: (Sentence.SOURCE_EMPTY, {}, {}),
    Reason.INVALID_SPEC: (Sentence.NUMBER_NOT_EXACT, {}, {}),
    Reason.METADATA_TOO_LARGE: (
        Sentence.METADATA_TOO_LARGE,
        {"user": 1200, "marker": 180, "limit": 1000},
        {},
    ),
    Reason.REJECTED: (Sentence.REJECTED, {"status": 422}, {}),
    Reason.UNAUTHORIZED: (Sentence.UNAUTHORIZED_DEFAULT, {"status": 401}, {}),
    Reason.ADOPTION_FAILED: (Sentence.ADOPT_NOT_ACTIVE, {"adopt": "sec_legacy1"}, ADOPT),
    Reason.ACCOUNT_CHANGED: (Sentence.ACCOUNT_CHANGED, {"former": "sandbox"}, {}),
    Reason.DIGEST_KEY_LOST: (Sentence.DIGEST_KEY_LOST, {}, {}),
    Reason.REMOTE_DELETED: (Sentence.REMOTE_DELETED, {}, ON_REQUEST),
    Reason.PUBLISH_CONFLICT: (Sentence.PUBLISH_CONFLICT, {"config_map": "acme-method"}, PUBLISH),
    Reason.NAMESPACE_NOT_ALLOWED: (Sentence.NAMESPACE_NOT_ALLOWED, {}, {}),
    Reason.SOURCE_NOT_ALLOWED: (Sentence.SOURCE_NOT_ALLOWED, {}, {}),
}

_WITH_AN_ID: Final = {Reason.ACCOUNT_CHANGED, Reason.REMOTE_DELETED, Reason.PUBLISH_CONFLICT}
"""What can only be said of an object that has an id."""


@dataclass(frozen=True, kw_only=True)
class State:
    """An object, and what the tools are to make of it; `said` is the condition's message, if one decides."""

    name: str
    reason: str
    """Why the state has a row of its own."""
    object: Object = field(repr=False)
    kstatus: str
    argo: str
    said: str


def _find(snapshot: Snapshot, why: Reason) -> Finding:
    source = gen.finding().source
    assert source is not None
    if why is Reason.SYNCED:
        return findings.synced(snapshot, source=source, environment="production", secret=gen.remote())
    if why is Reason.ADOPTED:
        return findings.adopted(
            snapshot, held=source, environment="production", secret=gen.remote("sec_legacy1", metadata={})
        )
    sentence, names, _ = _SENTENCES[why]
    stays = FORMER_STAYS if why not in {Reason.REMOTE_DELETED, Reason.PUBLISH_CONFLICT} else ""
    stays = CURRENT_STAYS if why is Reason.METHOD_UNAVAILABLE else stays
    return findings.report(snapshot, why, sentence, stays=stays, **names)


def written(before: MethodSecret, find: Callable[[Snapshot], Finding]) -> Object:
    """Return the object with the status that the operator writes after it has found something."""
    snapshot = gen.snapshot(before)
    status = summarize(before, find(snapshot), now=gen.NOW)
    meta = before.metadata
    metadata: Object = {
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
        "generation": meta.generation,
        "creationTimestamp": gen.EARLIER,
    }
    spec = before.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {
        "apiVersion": "methodfi.com/v1",
        "kind": "MethodSecret",
        "metadata": metadata,
        "spec": spec,
        "status": status.to_wire(),
    }


def _message(obj: Object, kind: str = "Ready") -> str:
    return next(str(c["message"]) for c in obj["status"]["conditions"] if c["type"] == kind)


def with_reason(why: Reason, *, had_id: bool) -> State:
    """Return an object for which the operator gives that reason, new or with an id from before."""
    spec = gen.raw_spec(**({} if why not in _SENTENCES else _SENTENCES[why][2]))
    if why is Reason.ADOPTED:
        spec |= ADOPT
    # A generation that is not 1, so that a default cannot pass for an observed one.
    before = (gen.synced if had_id else gen.method_secret)(spec=spec, generation=2)
    obj = written(before, lambda snapshot: _find(snapshot, why))
    kstatus, argo = (
        ("Current", "Healthy")
        if why.ready
        else ("Failed", "Degraded")
        if why.stalled
        else ("InProgress", "Progressing")
    )
    return State(
        name=re.sub(r"(?<!^)(?=[A-Z])", "-", why.value).lower() + ("-had-id" if had_id else ""),
        reason="a former secret goes on working, and the tools wait all the same"
        if had_id
        else "each reason has its verdict",
        object=obj,
        kstatus=kstatus,
        argo=argo,
        said=_message(obj),
    )


def _changed(state: State, name: str, reason: str, *, metadata: Mapping[str, Any], **rest: str) -> State:
    obj = {**state.object, "metadata": {**state.object["metadata"], **metadata}}
    return replace(state, name=name, reason=reason, object=obj, **rest)


def _rotation_pending() -> State:
    before = gen.synced(spec=gen.raw_spec(**ON_REQUEST), generation=2)

    def find(snapshot: Snapshot) -> Finding:
        waiting = findings.finding(snapshot, Reason.SYNCED, Sentence.ROTATION_PENDING)
        return replace(waiting, rotation_pending=waiting.message)

    obj = written(before, find)
    return State(
        name="rotation-pending",
        reason="an unrequested rotation blocks no pipeline of kstatus, and Argo CD shows that it waits",
        object=obj,
        kstatus="Current",
        argo="Suspended",
        said=_message(obj, "RotationPending"),
    )


def _specials() -> tuple[State, ...]:
    synced = with_reason(Reason.SYNCED, had_id=False)
    stalled = with_reason(Reason.REJECTED, had_id=False)
    waiting = "Waiting for the operator to look at it"
    paused = "Paused by the annotation methodfi.com/paused"
    new = {**synced.object, "status": {"observedGeneration": -1}}
    return (
        _rotation_pending(),
        replace(
            synced,
            name="new",
            reason="what the CRD's default makes of an object that nobody has looked at",
            object=new,
            kstatus="InProgress",
            argo="Progressing",
            said=waiting,
        ),
        _changed(
            synced,
            "stale",
            "the conditions are about a former spec",
            metadata={"generation": 3},
            kstatus="InProgress",
            argo="Progressing",
            said=waiting,
        ),
        _changed(
            stalled,
            "stalled-stale",
            "the spec was mended, and the operator has not seen it yet: no failure any more",
            metadata={"generation": 3},
            kstatus="InProgress",
            argo="Progressing",
            said=waiting,
        ),
        _changed(
            synced,
            "paused",
            "kstatus knows no pause; Argo CD shows it",
            metadata={"annotations": {PAUSED: "true"}},
            argo="Suspended",
            said=paused,
        ),
        _changed(
            stalled,
            "paused-stalled",
            "whoever paused it knows: no alarm",
            metadata={"annotations": {PAUSED: "true"}},
            argo="Suspended",
            said=paused,
        ),
        _changed(
            synced,
            "not-paused",
            "only the text true pauses",
            metadata={"annotations": {PAUSED: "false"}},
        ),
        _changed(
            synced,
            "deleting",
            "the finalizer holds it until the secrets at Method are gone",
            metadata={"deletionTimestamp": "2026-05-04T12:00:00Z", "finalizers": [FINALIZER]},
            kstatus="Terminating",
            argo="Progressing",
            said=f"Pending deletion; blocked by finalizers: {FINALIZER}",
        ),
    )


STATES: Final = (
    *(with_reason(why, had_id=why in _WITH_AN_ID) for why in Reason),
    *(with_reason(why, had_id=True) for why in Reason if why not in _WITH_AN_ID | {Reason.ADOPTED}),
    *_specials(),
)
