"""What `doctor` asks the kube-apiserver: its version, a kind's schema, what we may do. No I/O here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from methodsecret_operator.core.resource import GROUP, KIND, VERSION
from methodsecret_operator.kube import wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One question of authorization: a verb on a resource. `namespace` "" asks about all of them.

    `resource` may have a subresource (`methodsecrets/status`); `name` "" asks about every object.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def version_request() -> wire.Request:
    """Ask which version the server is."""
    return wire.Request(verb="get", what="/version", method="GET", path="/version")


def parse_version(request: wire.Request, answer: wire.Answer) -> str:
    """Return the version in the answer. Raises KubeError."""
    version = wire.parse_object(request, answer).get("gitVersion")
    if isinstance(version, str) and len(version) <= 64 and version.isprintable():  # noqa: PLR2004 - longer than any
        return version
    raise wire.unreadable(request, answer.status)


def schema_request() -> wire.Request:
    """Ask for the schemas of our group and version, which every authenticated user may read (OpenAPI v3)."""
    path = f"/openapi/v3/apis/{GROUP}/{VERSION}"
    return wire.Request(verb="get", what=path, method="GET", path=path)


def parse_schema(request: wire.Request, answer: wire.Answer) -> dict[str, Any]:
    """Return the schema of MethodSecret in the answer. Raises KubeError."""
    schemas = (wire.parse_object(request, answer).get("components") or {}).get("schemas") or {}
    wanted = {"group": GROUP, "kind": KIND, "version": VERSION}
    for schema in schemas.values():
        if isinstance(schema, dict) and wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
            return schema
    raise wire.unreadable(request, answer.status)


def access_request(access: Access) -> wire.Request:
    """Ask whether we may do something (SelfSubjectAccessReview), which every authenticated user may ask."""
    resource, _, subresource = access.resource.partition("/")
    attributes = {
        "verb": access.verb,
        "group": access.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": access.namespace,
        "name": access.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return wire.Request(
        verb="create",
        what="selfsubjectaccessreviews",
        method="POST",
        path="/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        headers={"Content-Type": "application/json"},
        body=json.dumps(review, separators=(",", ":")).encode(),
    )


def parse_access(request: wire.Request, answer: wire.Answer) -> bool:
    """Return whether it is allowed. Raises KubeError."""
    status = wire.parse_object(request, answer).get("status")
    if isinstance(status, dict) and isinstance(status.get("allowed"), bool):
        return bool(status["allowed"])
    raise wire.unreadable(request, answer.status)
