"""A model of the kube-apiserver: one MethodSecret and its Secret, with versions, locks and finalizers.

What it does with a resourceVersion, a uid in a patch, a finalizer and a deletion is what the real one does;
that it does so is proved elsewhere, on the real one.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from methodsecret_operator.core.resource import FINALIZER, rfc3339
from methodsecret_operator.core.snapshot import ConfigMapSeen
from methodsecret_operator.errors import KubeConflict, KubeNotFound
from methodsecret_operator.kube.client import KubeClient, Listing
from methodsecret_operator.kube.wire import Page, SecretObject
from tests.faults.model.loop import Clock
from tests.faults.model.network import Network, Sender

NAMESPACE: Final = "payments"
NAME: Final = "acme"
SOURCE: Final = "source"

Object = dict[str, Any]


class Event(NamedTuple):
    """What a watch of MethodSecrets tells."""

    kind: Literal["CHANGED", "DELETED"]
    object: Object


class Cluster:
    """One object, which may go and come again, and the Secret that it refers to.

    `judge_status` is told of every status that an operator is about to write. `statuses` are all that were
    ever there, by uid: what a backup may hold. `finalized` are the uids of those that an operator has let
    go, with all that they had at Method deleted.
    """

    def __init__(self, clock: Clock, *, judge_status: Callable[[Object, Object], None]) -> None:
        self._clock = clock
        self._judge_status = judge_status
        self._version = 100
        self._uids = 0
        self.object: Object | None = None
        self.source: SecretObject | None = None
        self.source_versions: list[SecretObject | None] = []
        self.events: list[Event] = []
        self.statuses: list[tuple[str, Object]] = []
        self.finalized: set[str] = set()

    # --- what people do -------------------------------------------------------------------------

    def set_source(self, value: str | None) -> None:
        """Write the Secret, or delete it."""
        if value is None:
            self.source = None
        else:
            uid = self.source.uid if self.source is not None else self._uid("secret")
            self.source = SecretObject(
                namespace=NAMESPACE,
                name=SOURCE,
                uid=uid,
                resource_version=self._next(),
                labels={},
                data={"value": base64.b64encode(value.encode()).decode()},
            )
        self.source_versions.append(self.source)

    def apply(self, spec: Object) -> None:
        """Apply the object."""
        whole = {"valueFrom": {"secretKeyRef": {"name": SOURCE, "key": "value"}}, **spec}
        if self.object is None:
            metadata = {
                "namespace": NAMESPACE,
                "name": NAME,
                "uid": self._uid("object"),
                "generation": 1,
                "creationTimestamp": rfc3339(self._clock.now()),
                "annotations": {},
                "finalizers": [],
            }
            self.object = {"metadata": metadata, "spec": whole, "status": {"observedGeneration": -1}}
        elif self.object["spec"] == whole:
            return
        else:
            self.object["spec"] = whole
            self.object["metadata"]["generation"] += 1
        self._changed(self.object)

    def annotate(self, name: str, text: str | None) -> None:
        """Set an annotation, or take it off."""
        if self.object is None:
            return
        annotations = self.object["metadata"]["annotations"]
        if text is None:
            annotations.pop(name, None)
        else:
            annotations[name] = text
        self._changed(self.object)

    def write_status(self, status: Object) -> None:
        """Write a status as somebody else than the operator."""
        if self.object is not None:
            self.object["status"] = copy.deepcopy(status)
            self._changed(self.object)

    def delete(self) -> None:
        """Delete the object; finalizers hold it."""
        if self.object is None or "deletionTimestamp" in self.object["metadata"]:
            return
        self.object["metadata"]["deletionTimestamp"] = rfc3339(self._clock.now())
        self.object["metadata"]["generation"] += 1
        self._changed(self.object)

    # --- what the operator does -----------------------------------------------------------------

    def get(self) -> Object:
        """Return the object. Raises KubeNotFound."""
        if self.object is None:
            raise KubeNotFound(verb="get", what=NAME, status=404)
        return copy.deepcopy(self.object)

    def get_source(self) -> SecretObject:
        """Return the Secret. Raises KubeNotFound."""
        if self.source is None:
            raise KubeNotFound(verb="get", what=SOURCE, status=404)
        return self.source

    def listed(self) -> Page:
        """Return a list of one page."""
        items = () if self.object is None else (copy.deepcopy(self.object),)
        return Page(items=items, resource_version=str(self._version), next_token=None)

    def patch(self, patch: Mapping[str, Any], *, status: bool) -> Object:
        """Merge a patch under its lock. Raises KubeConflict, KubeNotFound."""
        lock, current = patch["metadata"], self.get()
        metadata = current["metadata"]
        if (lock["uid"], lock["resourceVersion"]) != (metadata["uid"], metadata["resourceVersion"]):
            raise KubeConflict(verb="patch", what=NAME, status=409)
        assert self.object is not None
        changed = copy.deepcopy(self.object)
        if status:
            changed["status"] = _merged(changed["status"], patch["status"])
            self._judge_status(changed, self.object)
        else:
            added = FINALIZER in lock["finalizers"] and FINALIZER not in metadata["finalizers"]
            if added and "deletionTimestamp" in metadata:
                raise AssertionError("a finalizer was added to an object that is being deleted")
            changed["metadata"]["finalizers"] = list(lock["finalizers"])
            if "deletionTimestamp" in metadata and changed["spec"].get("deletionPolicy") == "Delete":
                self.finalized.add(metadata["uid"])
        if changed != self.object:
            self.object = changed
            return self._changed(changed)
        return copy.deepcopy(changed)

    def _changed(self, obj: Object) -> Object:
        """Give it a new version and tell the watches; what has no finalizer left may be gone by that."""
        obj["metadata"]["resourceVersion"] = self._next()
        self.statuses.append((obj["metadata"]["uid"], copy.deepcopy(obj["status"])))
        gone = "deletionTimestamp" in obj["metadata"] and not obj["metadata"]["finalizers"]
        if gone:
            self.object = None
        self.events.append(Event("DELETED" if gone else "CHANGED", copy.deepcopy(obj)))
        return copy.deepcopy(obj)

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _uid(self, kind: str) -> str:
        self._uids += 1
        return f"{kind}-{self._uids}"


class ModelKube(KubeClient):
    """One process's client of the model: the calls that a look makes."""

    def __init__(self, cluster: Cluster, network: Network, sender: Sender) -> None:
        self._cluster = cluster
        self._network = network
        self._sender = sender

    async def _call(self, operation: str, carry_out: Callable[[], Any], *, writes: bool = False) -> Any:  # noqa: ANN401 - the call's
        return await self._network.call(self._sender, "kube", operation, carry_out, writes=writes)

    async def get_methodsecret(self, namespace: str, name: str) -> dict[str, Any]:
        """As the client does; there is one object, and its former owner's name may be asked for."""
        if (namespace, name) != (NAMESPACE, NAME):
            raise KubeNotFound(verb="get", what=name, status=404)
        answer: Object = await self._call("get object", self._cluster.get)
        return answer

    async def get_secret(self, namespace: str, name: str) -> SecretObject:
        """As the client does."""
        del namespace, name
        answer: SecretObject = await self._call("get Secret", self._cluster.get_source)
        return answer

    async def patch_methodsecret(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """As the client does."""
        del namespace, name
        answer: Object = await self._call(
            "patch finalizers", lambda: self._cluster.patch(patch, status=False), writes=True
        )
        return answer

    async def patch_methodsecret_status(
        self, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As the client does."""
        del namespace, name
        answer: Object = await self._call(
            f"patch status {sorted(patch['status'])}",
            lambda: self._cluster.patch(patch, status=True),
            writes=True,
        )
        return answer

    async def namespace_terminating(self, name: str) -> bool:
        """Say no: the namespace stays."""
        del name
        return False

    async def get_configmap(self, namespace: str, name: str) -> ConfigMapSeen:
        """Say that there is none."""
        raise KubeNotFound(verb="get", what=f"{namespace}/{name}", status=404)

    def list_methodsecrets(
        self, namespace: str | None, *, page: int = 500, selector: str | None = None
    ) -> Listing:
        """As the client does, in one page; `selector` asks for one id."""
        del namespace, page

        async def pages() -> AsyncIterator[Page]:
            whole: Page = await self._call("list objects", self._cluster.listed)
            if selector is not None:
                wanted = selector.removeprefix("status.id=")
                items = tuple(item for item in whole.items if item["status"].get("id") == wanted)
                whole = Page(items=items, resource_version=whole.resource_version, next_token=None)
            yield whole

        return Listing(pages())


def _merged(former: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    """Return a JSON merge patch's result (RFC 7386)."""
    result = dict(former)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            inner = result.get(name)
            result[name] = _merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[name] = value
    return result
