"""The words an object's state is told in: reasons, their sentences, and the conditions they make.

The conditions follow kstatus: Ready always; Reconciling while the operator is still at work; Stalled
while a person must act; RotationPending while a change waits to be asked for. A reason is the same word
in conditions, Events and metrics. A sentence holds names, ids and error codes, nothing that came from
outside and nothing that differs from one try to the next (each retry would be a write).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from methodsecret_operator.core.resource import Condition

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
ROTATION_PENDING: Final = "RotationPending"


class Reason(StrEnum):
    """Why an object is in the state it is in."""

    # Ready
    SYNCED = "Synced"
    ADOPTED = "Adopted"
    # Reconciling: the operator goes on by itself
    PENDING = "Pending"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_KEY_NOT_FOUND = "SourceKeyNotFound"
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    RATE_LIMITED = "RateLimited"
    METHOD_UNAVAILABLE = "MethodUnavailable"
    # Stalled: a person must act
    INVALID_SOURCE = "InvalidSource"
    INVALID_SPEC = "InvalidSpec"
    METADATA_TOO_LARGE = "MetadataTooLarge"
    REJECTED = "Rejected"
    UNAUTHORIZED = "Unauthorized"
    ADOPTION_FAILED = "AdoptionFailed"
    ACCOUNT_CHANGED = "AccountChanged"
    DIGEST_KEY_LOST = "DigestKeyLost"
    REMOTE_DELETED = "RemoteDeleted"
    PUBLISH_CONFLICT = "PublishConflict"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    SOURCE_NOT_ALLOWED = "SourceNotAllowed"

    @property
    def ready(self) -> bool:
        """Whether the id in status holds the wanted value (or the adopted one)."""
        return self in _READY

    @property
    def stalled(self) -> bool:
        """Whether nothing more will happen until a person acts."""
        return not self.ready and self not in _WAITING


_READY: Final = frozenset({Reason.SYNCED, Reason.ADOPTED})
_WAITING: Final = frozenset(
    {
        Reason.PENDING,
        Reason.SOURCE_NOT_FOUND,
        Reason.SOURCE_KEY_NOT_FOUND,
        Reason.CREDENTIALS_NOT_FOUND,
        Reason.RATE_LIMITED,
        Reason.METHOD_UNAVAILABLE,
    }
)


class Sentence(StrEnum):
    """Every sentence that a condition can hold; fields in braces are filled with names, ids and numbers."""

    SYNCED = "{id} at Method holds the value of Secret {secret}, key {key}."
    ADOPTED = (
        "{id} was taken over as it is; whether it holds the value of Secret {secret}, key {key}, is not known"
        " until the first rotation."
    )
    ADOPT_NOT_ACTIVE = (
        "Method knows no active secret {adopt} for this API key: correct spec.adopt.id, or take spec.adopt"
        " away to store the value anew."
    )
    ADOPT_CLAIMED = (
        "{adopt} is in use by MethodSecret {claimed_by}: delete that one (with deletionPolicy Retain), or"
        " correct spec.adopt.id here."
    )
    ADOPT_FOREIGN = (
        "{adopt} carries the mark of another owner: of a MethodSecret that is still there (delete it, with"
        " deletionPolicy Retain) or that the operator may not look for, of another cluster, or of one with"
        " another digest key. Else correct spec.adopt.id, or take spec.adopt away to store the value anew."
    )
    ROTATION_PENDING = (
        "Secret {secret}, key {key}, or spec.metadata has changed; {id} keeps the former value until a"
        " rotation is requested with the annotation methodfi.com/rotation-requested-at."
    )
    NOT_YET_ACTIVE = (
        "Method created {id}, but does not call it active yet; the operator looks again by itself."
    )
    KNOWN_NOT_ACTIVE = (
        "Method holds the value as {id}, but does not call it active; the operator looks again by itself, and"
        " makes no second one."
    )
    CONTENDED = "{id} is about to be adopted by another MethodSecret; the operator looks again in a moment."
    CHANGED_MEANWHILE = "Method created {id}, and the value has changed since; the new one is on its way."
    SETTLING = "A create is being settled with Method; the operator tries again by itself."
    PUBLISHING = (
        "{id} is at Method; ConfigMap {config_map} is being written, and the operator goes on by itself."
    )
    PUBLISHED_BY_FORMER = (
        "{id} is at Method; ConfigMap {config_map} is of a former MethodSecret of this name, and is written"
        " once Kubernetes has collected it."
    )
    PUBLISH_CONFLICT = (
        "{id} is at Method, but ConfigMap {config_map} was not made for this object: delete it, or take"
        " another name in spec.publish.configMap.name."
    )
    PUBLISH_REFUSED = (
        "{id} is at Method, but the operator may not write ConfigMap {config_map}: give its ServiceAccount"
        " the verbs get, list, watch, create, patch and delete on configmaps, or look at quotas and admission"
        " policies."
    )
    SOURCE_NOT_READABLE = (
        "The operator may not read Secret {secret}: give its ServiceAccount the verb get on Secrets in this"
        " namespace."
    )
    SOURCE_NOT_FOUND = (
        "Secret {secret} does not exist in this namespace: create it, or correct"
        " spec.valueFrom.secretKeyRef.name."
    )
    SOURCE_KEY_NOT_FOUND = (
        "Secret {secret} has no key {key}: add it, or correct spec.valueFrom.secretKeyRef.key."
    )
    SOURCE_EMPTY = "Key {key} of Secret {secret} is empty: Method stores only values that are not."
    SOURCE_NOT_TEXT = (
        "Key {key} of Secret {secret} is not UTF-8 text: Method stores text only; encode it (base64, say)."
    )
    SOURCE_NOT_ALLOWED = (
        "Secret {secret} does not carry the labels that the operator's setting SOURCE_SELECTOR asks for."
    )
    NO_DEFAULT_KEY = (
        "The operator has no API key of its own: set API_KEY_FILE for it, or name a Secret in spec.account."
    )
    CREDENTIALS_NOT_FOUND = (
        "Secret {account_secret} with the API key does not exist in this namespace: create it, or correct"
        " spec.account.apiKeySecretRef.name."
    )
    CREDENTIALS_KEY_NOT_FOUND = (
        "Secret {account_secret} has no usable API key under {account_key}: add it, or correct"
        " spec.account.apiKeySecretRef.key."
    )
    CREDENTIALS_NOT_READABLE = (
        "The operator may not read Secret {account_secret}: give its ServiceAccount the verb get on Secrets"
        " in this namespace."
    )
    ACCOUNT_NOT_READABLE = (
        "spec.account does not fit this operator's schema: correct it, or run the operator's version that the"
        " CRD is of."
    )
    NAMESPACE_NOT_ALLOWED = (
        "This namespace may not use the operator's own API key (its setting DEFAULT_ACCOUNT_NAMESPACES): name"
        " a Secret in spec.account."
    )
    RESERVED_METADATA = (
        "spec.metadata may not hold {field}: the operator keeps it for itself. Take another name."
    )
    NUMBER_NOT_EXACT = "spec.metadata holds a number that JSON cannot carry exactly: write it as a string."
    METADATA_TOO_LARGE = (
        "spec.metadata takes {user} bytes and the operator's marker {marker}; Method takes at most {limit}"
        " bytes of both: shorten spec.metadata."
    )
    RATE_LIMITED = (
        "Method takes no more requests with this API key for now; the operator tries again by itself."
    )
    METHOD_UNAVAILABLE = "Method gave no usable answer; the operator tries again by itself."
    REJECTED = (
        "Method refuses to store this (HTTP {status}): compare the value and spec.metadata with Method's"
        " documentation of /secrets."
    )
    REJECTED_ASKING = (
        "Method refuses to list, show or delete secrets for this object (HTTP {status}): compare the"
        " operator's log with Method's documentation of /secrets; it asks again at the next resync."
    )
    UNAUTHORIZED_DEFAULT = (
        "Method refuses the operator's API key (HTTP {status}): check the key behind its setting API_KEY_FILE"
        " and that it belongs to {environment}."
    )
    UNAUTHORIZED_ACCOUNT = (
        "Method refuses the API key in Secret {account_secret}, key {account_key} (HTTP {status}): check it"
        " and that it belongs to {environment}."
    )
    API_KEY_UNUSABLE = (
        "What stands where the API key should be cannot be one: it holds white space or control characters."
    )
    DIGEST_KEY_LOST = (
        "Method holds secrets of this object whose revisions were made with another digest key, so they"
        " cannot be compared: restore the Secret that DIGEST_KEY_SECRET names, or request a rotation with the"
        " annotation methodfi.com/rotation-requested-at."
    )
    MISSING = "Method does not know {id} just now; the operator asks again before it believes that."
    IDS_MISSING = (
        "Method knows too few of this account's secrets, {id} among the missing, for that to be an accident:"
        " check that the API key is of the same account as before, or request a rotation with the annotation"
        " methodfi.com/rotation-requested-at."
    )
    IDS_MISSING_AT_DELETION = (
        "Method knows too few of this account's secrets, {id} among the missing, for that to be an accident:"
        " check that the API key is of the same account as before. When the operator's"
        " DELETION_TIMEOUT_SECONDS are over, the object goes, and {id} stays where it is."
    )
    ENVIRONMENT_CHANGED_AT_DELETION = (
        "{id} belongs to {former}, and this object now asks for {environment}, which does not know it: set it"
        " back. When the operator's DELETION_TIMEOUT_SECONDS are over, the object goes, and {id} stays where"
        " it is."
    )
    LISTED_AT_DELETION = (
        "Method lists {id}, but does not know it when asked: the operator asks again before it believes that."
        " When its DELETION_TIMEOUT_SECONDS are over, the object goes, and {id} stays where it is."
    )
    REMOTE_DELETED = (
        "{id} was deleted at Method by somebody else: request a rotation with the annotation"
        " methodfi.com/rotation-requested-at to store the value again."
    )
    ACCOUNT_CHANGED = (
        "{id} belongs to {former}, and this object now asks for {environment}: set it back, or request a"
        " rotation with the annotation methodfi.com/rotation-requested-at."
    )


FORMER_STAYS: Final = " {id} stays in use with the former value."
"""Added to the sentence of a state in which a former secret goes on working."""

CURRENT_STAYS: Final = " {id} stays in use."
"""Added where it is not known whether that secret holds the wanted value or a former one."""


def conditions(
    *,
    reason: Reason,
    message: str,
    rotation_pending: str | None,
    generation: int,
    former: tuple[Condition, ...],
    now: datetime,
) -> tuple[Condition, ...]:
    """Return an object's conditions; each keeps its lastTransitionTime while its status stays the same.

    Only Ready is there at all times; the others are absent while they are not true, which is how kstatus
    wants them. `rotation_pending` is that condition's message, None where no rotation waits.
    """
    wanted: list[tuple[str, bool, str, str]] = [(READY, reason.ready, reason.value, message)]
    if not reason.ready:
        wanted.append((STALLED if reason.stalled else RECONCILING, True, reason.value, message))
    if rotation_pending is not None:
        wanted.append((ROTATION_PENDING, True, "OnRequest", rotation_pending))

    def since(kind: str, status: str) -> datetime:
        for condition in former:
            if condition.type == kind and condition.status == status:
                return condition.last_transition_time
        return now.replace(microsecond=0)

    return tuple(
        Condition(
            type=kind,
            status="True" if true else "False",
            observed_generation=generation,
            last_transition_time=since(kind, "True" if true else "False"),
            reason=word,
            message=sentence,
        )
        for kind, true, word, sentence in wanted
    )
