"""Of the official client library only what finds credentials is loaded, and kopf takes no harm."""

from __future__ import annotations

import json
import subprocess
import sys

NEEDLESS = {"requests", "oauthlib", "urllib3", "websocket", "kubernetes.informer", "kubernetes.dynamic"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that a process of its own has loaded: of this one, tests have loaded more."""
    code += "; import json, sys; print(json.dumps([*sys.modules]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: S603 - ours
    return set(json.loads(out.stdout))


def test_the_operator_loads_none_of_the_rest() -> None:
    loaded = loaded_by("import methodsecret_operator.runtime.app, kopf")
    assert {"kopf", "kubernetes.aio.config.kube_config"} <= loaded
    assert loaded & NEEDLESS == set()


def test_the_library_itself_would() -> None:
    """Else the test above could not fail, and the way around would be needless."""
    assert loaded_by("import kubernetes") >= NEEDLESS


def test_it_leaves_alone_what_somebody_else_has_loaded() -> None:
    code = "import kubernetes.aio; from methodsecret_operator.kube import official"
    assert loaded_by(code + "; assert kubernetes.client.CoreV1Api and kubernetes.aio.client.CoreV1Api")


def test_what_is_left_out_is_found_where_it_is_asked_for() -> None:
    code = "from methodsecret_operator.kube import official; from kubernetes.client import CoreV1Api"
    assert "kubernetes.client.api.core_v1_api" in loaded_by(code)
