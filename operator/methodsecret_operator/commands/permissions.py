"""What the operator must be allowed to do in the cluster under given settings. Pure.

deploy/kustomize/base/rbac.yaml grants it; a test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from methodsecret_operator.core.resource import GROUP, PLURAL
from methodsecret_operator.kube.review import Access
from methodsecret_operator.runtime.startup import SYSTEM_NAMESPACE
from methodsecret_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that must be allowed, and what for. `optional`: only for what not everybody uses."""

    access: Access
    why: str
    optional: bool = False


def needed(settings: Settings) -> Iterator[Need]:
    """Yield all that is needed. For RBAC a Namespace is in itself: a Role there may grant it."""
    for namespace in settings.namespaces or ("",):
        yield from _of(namespace, GROUP, PLURAL, "get list watch patch", "the objects to work on")
        yield from _of(namespace, GROUP, f"{PLURAL}/status", "patch", "id and conditions are written there")
        yield from _of(namespace, "", "secrets", "get", "values and API keys")
        if settings.source_watch == "metadata":
            why = "a changed Secret is noticed (or set SOURCE_WATCH=poll)"
            yield from _of(namespace, "", "secrets", "list watch", why)
        yield from _of(namespace, "", "events", "create", "people see what happened")
        why, verbs = "spec.publish, where it is used", "get list watch create patch delete"
        yield from _of(namespace, "", "configmaps", verbs, why, optional=True)
        why = "a deletion must know whether the object's namespace is going"
        yield from _of(namespace, "", "namespaces", "get", why, name=namespace)
    if settings.cluster_name is None:
        why = "its uid is the cluster's name (or set CLUSTER_NAME)"
        yield from _of(SYSTEM_NAMESPACE, "", "namespaces", "get", why, name=SYSTEM_NAMESPACE)
    home, key = settings.operator_namespace, settings.digest_key_secret
    yield from _of(home, "", "secrets", "get", "the digest key", name=key)
    if settings.leader_election:
        group, lease = "coordination.k8s.io", settings.lease_name
        yield from _of(home, group, "leases", "get update", "leader election", name=lease)
        yield from _of(home, group, "leases", "create", "leader election")


def to_make_the_digest_key(settings: Settings) -> Need:
    """Return what is needed besides where there is no digest key yet."""
    access = Access(verb="create", group="", resource="secrets", namespace=settings.operator_namespace)
    return Need(access, "the digest key is made at the first start (or supply it)")


def _of(
    namespace: str, group: str, resource: str, verbs: str, why: str, *, name: str = "", optional: bool = False
) -> Iterator[Need]:
    for verb in verbs.split():
        access = Access(verb=verb, group=group, resource=resource, namespace=namespace, name=name)
        yield Need(access, why, optional)
