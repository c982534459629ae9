"""The baseline: an operator as kopf's tutorial teaches it, with async clients. It works, on a good day.

One handler for create, update and resume, kopf's own bookkeeping in annotations, the result in the status.
Started by bench.programs, which gives it its settings as JSON on standard input.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import httpx
import kopf
from kubernetes.aio import client, config


def register(settings: dict[str, Any]) -> None:
    """Register the handlers."""
    clients: dict[str, Any] = {}

    @kopf.on.startup()
    async def startup(**_: object) -> None:
        await config.load_kube_config(config_file=settings["kubeconfig"])  # type: ignore[no-untyped-call]  # the library is untyped
        clients["kube"] = client.CoreV1Api()
        clients["method"] = httpx.AsyncClient(
            base_url=settings["method_url"],
            headers={"Authorization": f"Bearer {settings['api_key']}", "Method-Version": "2026-03-30"},
            timeout=30,
        )

    @kopf.on.login()
    def login(*, settings: kopf.OperatorSettings, **_: object) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(settings=settings)

    @kopf.on.create("methodfi.com", "v1", "methodsecrets")
    @kopf.on.update("methodfi.com", "v1", "methodsecrets")
    @kopf.on.resume("methodfi.com", "v1", "methodsecrets")
    async def sync(
        *, spec: kopf.Spec, namespace: str | None, patch: kopf.Patch, uid: str, **_: object
    ) -> None:
        ref = spec["valueFrom"]["secretKeyRef"]
        secret = await clients["kube"].read_namespaced_secret(ref["name"], namespace)
        value = base64.b64decode(secret.data[ref["key"]]).decode()
        answer = await clients["method"].post(
            "/secrets",
            json={"value": value, "metadata": spec.get("metadata")},
            headers={"Idempotency-Key": uid},
        )
        answer.raise_for_status()
        stored = answer.json()["data"]
        patch.status["id"] = stored["id"]
        patch.status["status"] = stored["status"]


def main() -> None:
    """Run until ended."""
    settings = json.loads(sys.stdin.readline())
    register(settings)
    print(json.dumps({"event": "begin"}), flush=True)
    kopf.run(namespaces=[settings["namespace"]], standalone=True)


if __name__ == "__main__":
    main()
