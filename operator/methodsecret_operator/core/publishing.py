"""What is due on the ConfigMap that shows the current id to workloads (`spec.publish.configMap`).

Every ConfigMap is named in the status before it is made: so none is ever lost track of, whatever dies in
between, and whatever the spec asks for next. Ours is one that names this very object (by uid) as an owner;
any other is left alone. So one is created with nothing in it but that, which fails where there is another,
and filled then. The new one is there before a former one goes, and Ready waits for both. The id in use is
shown as long as it is in use, whatever else is wrong: Pods that mount it must be able to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.findings import finding
from methodsecret_operator.core.remote import ACTIVE
from methodsecret_operator.core.resource import (
    GROUP,
    KIND,
    VERSION,
    ConfigMapTarget,
    MethodSecret,
    Published,
)
from methodsecret_operator.core.snapshot import (
    Action,
    ApplyConfigMap,
    ConfigMapSeen,
    CreateConfigMap,
    DeleteConfigMap,
    Finding,
    ReadConfigMap,
    Snapshot,
)

MANAGED_BY: Final = ("app.kubernetes.io/managed-by", "methodsecret-operator")
"""The label of every ConfigMap of ours: the watch asks for it."""


def target(obj: MethodSecret) -> ConfigMapTarget | None:
    """Return the ConfigMap that an object asks for."""
    return obj.spec.publish.config_map if obj.spec.publish is not None else None


def in_place(obj: MethodSecret, *, seen: str | None) -> bool:
    """Whether the ConfigMap asked for, and no other, holds the id in the status.

    `seen` is the resourceVersion that the watch has of it, None where it has none.
    """
    wanted, named = target(obj), obj.status.published
    if wanted is None:
        return not named
    return len(named) == 1 and _holds(obj, wanted, named[0], seen)


def bare(obj: MethodSecret, wanted: ConfigMapTarget) -> dict[str, Any]:
    """Return the ConfigMap as it is created: whose it is, and nothing else.

    What is created is never ours alone to take out again, as what is applied is: so all else is applied.
    """
    label, manager = MANAGED_BY
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": wanted.name,
            "namespace": obj.metadata.namespace,
            "labels": {label: manager},
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": obj.metadata.name,
                    "uid": obj.metadata.uid,
                    "controller": True,  # so that nothing else takes it for its own
                    "blockOwnerDeletion": False,  # it would need the right to set finalizers
                }
            ],
        },
    }


def manifest(obj: MethodSecret, wanted: ConfigMapTarget, secret_id: str) -> dict[str, Any]:
    """Return the ConfigMap as it is applied: all of it that is ours."""
    whole = bare(obj, wanted)
    metadata = {
        **whole["metadata"],
        "labels": {**(wanted.labels or {}), **whole["metadata"]["labels"]},
        "annotations": dict(wanted.annotations or {}),
    }
    return {**whole, "metadata": metadata, "data": {wanted.key: secret_id}}


def moving(s: Snapshot, said: Finding) -> Finding:
    """Return what to say of an id that the status does not name yet: Ready only once it is published."""
    wanted = target(s.object)
    if wanted is None or not said.reason.ready or said.secret is None or said.secret.id == s.object.status.id:
        return said
    return _announced(s, said, wanted, secret_id=said.secret.id)


def kept(s: Snapshot, said: Action) -> Action:
    """Return what is still to be done about ConfigMaps before this may be said; else just that.

    Done twice it is the same. Where an object is not Ready anyway, that stays what is said: a ConfigMap that
    cannot be written is told of when it is the only thing that is wrong.
    """
    status = s.object.status
    if not isinstance(said, Finding) or s.object.metadata.deletion_timestamp is not None:
        return said
    if said.secret is not None and said.secret.id != status.id:
        return moving(s, said)
    if said.reason.ready:
        return _shown(s, said)
    if not s.trusted or status.id is None or status.status != ACTIVE:
        return said  # what may not be in use is not shown anew
    step = _shown(s, said)
    if not isinstance(step, Finding):
        return step
    return replace(said, published=step.published, retry=0.0 if step.retry == 0.0 else said.retry)


def _shown(s: Snapshot, said: Finding) -> Action:
    """Return the next step by which the ConfigMap asked for, and no other, shows the id in the status."""
    status, wanted = s.object.status, target(s.object)
    entries: tuple[Published, ...] = ()
    if wanted is not None and status.id is not None:
        step = _written(s, said, wanted, status.id)
        if not isinstance(step, Published):
            return step
        entries = (step,)
    for entry in status.published:
        if wanted is None or entry.config_map != wanted.name:
            removal = _removal(s, said, entry.config_map)
            if removal is not None:
                return removal
    return said if entries == status.published else replace(said, published=entries)


def _written(
    s: Snapshot, said: Finding, wanted: ConfigMapTarget, secret_id: str
) -> Published | ReadConfigMap | CreateConfigMap | ApplyConfigMap | Finding:
    """Return the entry of the ConfigMap if it is as wanted; else the next step there."""
    name, status = wanted.name, s.object.status
    entry = next((entry for entry in status.published if entry.config_map == name), None)
    if name not in s.config_maps:
        if entry is not None and s.trusted and _holds(s.object, wanted, entry, s.config_map_version):
            return entry
        return ReadConfigMap(name=name)
    there = s.config_maps[name]
    if there == "refused":
        return _refused(s, said, name)
    if isinstance(there, ConfigMapSeen) and not _ours(s, there):
        return _foreign(s, said, there, name)
    if entry is None:
        return _announced(s, said, wanted, secret_id=secret_id)
    if there is None:
        return CreateConfigMap(manifest=bare(s.object, wanted))
    whole = manifest(s.object, wanted, secret_id)
    if there.applied == whole:
        return Published(
            config_map=name,
            id=secret_id,
            resource_version=there.resource_version,
            observed_generation=s.object.metadata.generation,
        )
    if s.trusted and _holds(s.object, wanted, entry, there.resource_version):
        return entry
    return ApplyConfigMap(manifest=whole, onto=there)


def _removal(s: Snapshot, said: Finding, name: str) -> ReadConfigMap | DeleteConfigMap | Finding | None:
    """Return the next step on a ConfigMap that is not asked for any more; None where it is none of ours."""
    if name not in s.config_maps:
        return ReadConfigMap(name=name)
    there = s.config_maps[name]
    if there == "refused":
        return _refused(s, said, name)
    if there is None or not _ours(s, there):
        return None
    return DeleteConfigMap(name=name, uid=there.uid, resource_version=there.resource_version)


def _holds(obj: MethodSecret, wanted: ConfigMapTarget, entry: Published, seen: str | None) -> bool:
    """Whether the ConfigMap is what was applied for today's spec and id: nothing has touched it since."""
    return seen is not None and entry == Published(
        config_map=wanted.name,
        id=obj.status.id,
        resource_version=seen,
        observed_generation=obj.metadata.generation,
    )


def _ours(s: Snapshot, there: ConfigMapSeen) -> bool:
    return any(owner.get("uid") == s.object.metadata.uid for owner in there.owners)


def _announced(s: Snapshot, said: Finding, wanted: ConfigMapTarget, *, secret_id: str) -> Finding:
    """Say that the ConfigMap is being written; from here on the status names it."""
    words = finding(s, Reason.PENDING, Sentence.PUBLISHING, id=secret_id, config_map=wanted.name)
    published = None
    if all(entry.config_map != wanted.name for entry in s.object.status.published):
        published = (*s.object.status.published, Published(config_map=wanted.name))
    return replace(said, reason=words.reason, message=words.message, published=published, retry=0.0)


def _foreign(s: Snapshot, said: Finding, there: ConfigMapSeen, name: str) -> Finding:
    """Say whose ConfigMap stands in the way; it goes out of the status, for it is none of ours."""
    predecessor = any(
        _is_ours_by_name(owner, name=s.object.metadata.name) and owner.get("controller") is True
        for owner in there.owners
    )
    if predecessor:
        words = finding(s, Reason.PENDING, Sentence.PUBLISHED_BY_FORMER, config_map=name)
    else:
        words = finding(s, Reason.PUBLISH_CONFLICT, Sentence.PUBLISH_CONFLICT, config_map=name)
    entries = tuple(entry for entry in s.object.status.published if entry.config_map != name)
    return replace(said, reason=words.reason, message=words.message, published=entries, retry="backoff")


def _is_ours_by_name(owner: Mapping[str, Any], *, name: str) -> bool:
    """Whether an owner is a MethodSecret of our name: one that was deleted just now."""
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    return (group, owner.get("kind"), owner.get("name")) == (GROUP, KIND, name)


def _refused(s: Snapshot, said: Finding, name: str) -> Finding:
    words = finding(s, Reason.PENDING, Sentence.PUBLISH_REFUSED, config_map=name)
    return replace(said, reason=words.reason, message=words.message, retry="backoff")
