"""The CustomResourceDefinition for tests: its text, and a fixture that installs it.

Import `crd` in the conftest.py of a folder whose tests need the kind on the control plane.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

CRD_FILE: Final = Path(__file__).parent.parent / "crds" / "methodsecrets.methodfi.com.yaml"
KIND_URL: Final = "/apis/methodfi.com/v1/methodsecrets"
_SECONDS: Final = 60


def read_crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as it stands in crds/."""
    crd: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text(encoding="utf-8"))
    return crd


def read_schema() -> dict[str, Any]:
    """Return the openAPIV3Schema of its only version."""
    (version,) = read_crd()["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


@pytest.fixture(scope="session")
def crd(control_plane: ControlPlane) -> dict[str, Any]:
    """Install the CustomResourceDefinition, wait until the kind is served, and return it as it stands."""
    control_plane.run_kubectl("apply", "--server-side", "-f", str(CRD_FILE))
    control_plane.run_kubectl(
        "wait", "--for=condition=Established", f"--timeout={_SECONDS}s", "-f", str(CRD_FILE)
    )
    # Established comes a little before the kind is served: until its storage is up a LIST answers 429
    # with Retry-After, and its schema is published last. There is nothing to wait on but the answer.
    deadline = time.monotonic() + _SECONDS
    while (answer := control_plane.http.get(KIND_URL)).status_code != 200:
        assert time.monotonic() < deadline, f"{KIND_URL} is not served: {answer.status_code} {answer.text}"
        time.sleep(float(answer.headers.get("Retry-After", "0.05")))
    # The index and the schemas are published one after the other, so kubectl itself has to find the way.
    while not control_plane.run_kubectl("explain", "methodsecrets.spec", check=False):
        assert time.monotonic() < deadline, "the schema of MethodSecret is not published"
        time.sleep(0.1)
    return read_crd()
