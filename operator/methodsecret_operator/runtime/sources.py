"""Reads what an object refers to: the value's Secret and the API key's, each as it is or as a problem.

Secrets are read when they are needed, one read for all who want one in the same moment, and their data is
dropped with the answer. Only API keys are remembered, each with the version of its Secret, so that many
objects with one key cost one read, and only for as long as an object refers to them.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from pydantic import SecretStr

from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.resource import MethodSecret, SecretKeySelector
from methodsecret_operator.core.rounds import Rounds
from methodsecret_operator.core.selector import Selector
from methodsecret_operator.core.snapshot import Problem, SourceValue
from methodsecret_operator.errors import KubeForbidden, KubeNotFound
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.kube.wire import SecretObject
from methodsecret_operator.runtime.shared_reads import SharedReads


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """An API key, and which Secret in which version it was read from."""

    version: tuple[str, str]
    value: SecretStr


class Sources:
    """Reads Secrets through `kube`; `watch` is None in poll mode, where nothing is watched."""

    def __init__(self, *, kube: KubeClient, watch: MetadataWatch | None, selector: str | None) -> None:
        self._reads = SharedReads(kube.get_secret)
        self._watch = watch
        self._selector = Selector(selector or "")
        self._keys: dict[tuple[str, str, str], ApiKey] = {}
        self._rounds: Rounds[tuple[str, str, str]] = Rounds()

    @property
    def watched(self) -> bool:
        """Whether Secrets are watched: then a change is told, and need not be looked for."""
        return self._watch is not None

    def version(self, obj: MethodSecret) -> tuple[str, str] | None:
        """Return what the watch has of an object's source: (uid, resourceVersion), or None."""
        return self._seen(obj.metadata.namespace, obj.spec.value_from.secret_key_ref.name)

    async def value(self, obj: MethodSecret) -> SourceValue | Problem:
        """Return an object's value. Raises KubeError but for what is a state of the object."""
        ref = obj.spec.value_from.secret_key_ref
        try:
            secret = await self._reads.get(obj.metadata.namespace, ref.name)
        except KubeNotFound:
            return self._waiting(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND)
        except KubeForbidden:
            return Problem(Reason.PENDING, Sentence.SOURCE_NOT_READABLE, retry="backoff")
        if not self._selector.matches(secret.labels):
            return self._waiting(Reason.SOURCE_NOT_ALLOWED, Sentence.SOURCE_NOT_ALLOWED)
        if ref.key not in secret.data:
            return self._waiting(Reason.SOURCE_KEY_NOT_FOUND, Sentence.SOURCE_KEY_NOT_FOUND)
        text = _text(secret, ref)
        if text is None:
            return self._waiting(Reason.INVALID_SOURCE, Sentence.SOURCE_NOT_TEXT)
        if not text:
            return self._waiting(Reason.INVALID_SOURCE, Sentence.SOURCE_EMPTY)
        return SourceValue(uid=secret.uid, resource_version=secret.resource_version, value=SecretStr(text))

    async def api_key(self, obj: MethodSecret) -> SecretStr | Problem:
        """Return the API key of an object with an account of its own; its Secret is read once per version."""
        assert obj.spec.account is not None  # noqa: S101 - the caller asks only where there is one
        ref, namespace = obj.spec.account.api_key_secret_ref, obj.metadata.namespace
        place = (namespace, ref.name, ref.key)
        self._rounds.use(place)
        known = self._keys.get(place)
        if known is not None and self._seen(namespace, ref.name) == known.version:
            return known.value
        # Where the object is being deleted, its credentials may go first: the last good key still deletes.
        deleting = known is not None and obj.metadata.deletion_timestamp is not None
        try:
            secret = await self._reads.get(namespace, ref.name)
        except KubeNotFound:
            if known is not None and deleting:
                return known.value
            return self._waiting(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_NOT_FOUND)
        except KubeForbidden:
            if known is not None and deleting:  # the Role may go before the object, too
                return known.value
            return Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_NOT_READABLE, retry="backoff")
        text = _text(secret, ref)
        if not text or not text.strip():
            if known is not None and deleting:
                return known.value
            return self._waiting(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_KEY_NOT_FOUND)
        key = ApiKey(version=(secret.uid, secret.resource_version), value=SecretStr(text.strip()))
        self._keys[place] = key
        return key.value

    def end_round(self) -> None:
        """Forget the API keys that no object has asked for in this round and the one before."""
        for place in self._rounds.end(self._keys):
            del self._keys[place]

    def _seen(self, namespace: str, name: str) -> tuple[str, str] | None:
        meta = self._watch.get(namespace, name) if self._watch is not None else None
        return None if meta is None else (meta.uid, meta.resource_version)

    def _waiting(self, reason: Reason, sentence: Sentence) -> Problem:
        """Name a problem that a change of the Secret ends: seen by the watch, else to be looked for."""
        return Problem(reason, sentence, retry="resync" if self.watched else "backoff")


def _text(secret: SecretObject, ref: SecretKeySelector) -> str | None:
    """Return the text under a key; "" where there is no such key, None where it is not UTF-8."""
    try:
        return base64.b64decode(secret.data.get(ref.key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
