"""What GitOps tools write on objects costs nothing, and what the server and the operator write is no drift.

On a real kube-apiserver, with the operator behind a proxy that counts each of its requests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dev.controlplane import ControlPlane
from tests.faults.matrix import Places
from tests.faults.place import Place
from tests.faults.proxy import Recorded
from tests.integration.world import Object, ready

SAMPLES: Final = Path(__file__).parents[2] / "deploy" / "samples"

TRACKING: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "Argo CD: tracked by an annotation, with options of a sync",
        {
            "annotations": {
                "argocd.argoproj.io/tracking-id": "shop:methodfi.com/MethodSecret:payments/acme",
                "argocd.argoproj.io/sync-wave": "1",
                "argocd.argoproj.io/sync-options": "Prune=false",
                "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
                "argocd.argoproj.io/refresh": "hard",
            }
        },
    ),
    ("Argo CD and Helm: tracked by a label", {"labels": {"app.kubernetes.io/instance": "shop"}}),
    (
        "Flux: owned by a Kustomization",
        {
            "labels": {
                "kustomize.toolkit.fluxcd.io/name": "shop",
                "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            },
            "annotations": {
                "kustomize.toolkit.fluxcd.io/checksum": "3f1c",
                "kustomize.toolkit.fluxcd.io/reconcile": "enabled",
                "reconcile.fluxcd.io/requestedAt": "2026-11-23T20:00:00Z",
            },
        },
    ),
    (
        "Flux: installed by a HelmRelease",
        {
            "labels": {"helm.toolkit.fluxcd.io/name": "shop", "app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "shop", "helm.sh/resource-policy": "keep"},
        },
    ),
    (
        "kubectl apply: the whole manifest",
        {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"kind":"MethodSecret"}'}},
    ),
)


def _merge(place: Place, kind: str, name: str, patch: Object) -> Object:
    answer = place.plane.http.patch(
        place.path(kind, name),
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps(patch),
    )
    return dict(answer.raise_for_status().json())


def _about(record: Recorded, name: str) -> bool:
    return f"/{name}" in record.path or name.encode() in record.body


async def test_tracking_labels_and_annotations_cause_no_request(places: Places) -> None:
    """Each tool's marks are put on the object, changed and taken off: the operator sends nothing at all.

    A second object, made afterwards, is the fence: when it is synced, every event before it has been seen.
    """
    async with places() as place:
        await place.start_operator()
        await place.until_watching()
        place.write_value()
        place.method_secret()
        place.secret("fence")
        await place.until(ready())
        await place.until_event("Synced")  # posted in its own time: the last request about the object
        before = len(place.proxy.log)

        writes = 0
        version = ""
        for reason, metadata in TRACKING:
            for change in (metadata, _with_other_values(metadata), _with_nothing(metadata)):
                found = _merge(place, "methodsecrets", "acme", {"metadata": change})
                assert found["metadata"]["resourceVersion"] != version, f"no change: {reason}"
                version = found["metadata"]["resourceVersion"]
                writes += 1
        assert writes == 15

        place.method_secret("fence", source="fence")
        await place.until(ready(), "fence")
        since = place.proxy.log[before:]
        assert [r.label for r in since if _about(r, "acme")] == []
        labels = [r.label for r in since if r.end == "method" or r.method != "GET"]
        assert labels.count("POST /secrets") == 1, f"only the fence's create: {labels}"
        assert place.get()["metadata"]["resourceVersion"] == version, "the operator has written the object"


async def test_marks_on_the_source_secret_cost_a_look_and_no_write(places: Places) -> None:
    """A Secret's version moves with its labels, and only a GET can tell that its value has not."""
    async with places() as place:
        await place.start_operator()
        await place.until_watching()
        place.write_value()
        place.method_secret()
        synced = await place.until(ready())
        creates = await place.control.count("create")
        tracked = _merge(
            place, "secrets", "source", {"metadata": {"labels": {"app.kubernetes.io/instance": "a"}}}
        )
        version = tracked["metadata"]["resourceVersion"]
        obj = await place.until(lambda obj: obj["status"]["source"]["resourceVersion"] == version)
        assert obj["status"]["id"] == synced["status"]["id"]
        assert await place.control.count("create") == creates


def _only_what_is_in(wanted: Any, found: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {name: _only_what_is_in(wanted[name], found[name]) for name in found if name in wanted}
    return found


def _with_other_values(metadata: dict[str, Any]) -> dict[str, Any]:
    return {field: dict.fromkeys(entries, "other") for field, entries in metadata.items()}


def _with_nothing(metadata: dict[str, Any]) -> dict[str, Any]:
    return {field: dict.fromkeys(entries) for field, entries in metadata.items()}


def _method_secrets() -> list[tuple[str, Object]]:
    return [
        (file.stem, document)
        for file in sorted(SAMPLES.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if document["kind"] == "MethodSecret"
    ]


@pytest.mark.usefixtures("crd")
@pytest.mark.parametrize("manifest", [pytest.param(m, id=name) for name, m in _method_secrets()])
def test_neither_defaults_nor_status_make_an_object_differ_from_git(
    control_plane: ControlPlane, namespace: str, manifest: Object
) -> None:
    """So that no ignoreDifferences is needed, however a tool compares.

    By fields (Argo CD): each that was applied reads back the same, also after the operator has written. By a
    dry run (Argo CD with server-side diff, Flux): applying the same again would change nothing at all.
    """
    url = f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets/{manifest['metadata']['name']}"

    def apply(manager: str, **params: str) -> Object:
        answer = control_plane.http.patch(
            url,
            params={"fieldManager": manager, "force": "true", **params},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )
        return dict(answer.raise_for_status().json())

    apply("gitops")
    status = {"id": "sec_a", "observedGeneration": 1, "environment": "sandbox"}
    control_plane.http.patch(
        f"{url}/status",
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps({"status": status}),
    ).raise_for_status()

    live = control_plane.http.get(url).json()
    assert live["status"]["id"] == "sec_a"
    assert _only_what_is_in(manifest["spec"], live["spec"]) == manifest["spec"]
    wanted = apply("gitops", dryRun="All")
    for one in (live, wanted):
        del one["metadata"]["managedFields"]
    assert wanted == live
    assert apply("gitops")["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
