"""The cluster of the end-to-end suite: the one that is given, and no other. Nothing is left in it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.controlplane import binaries
from tests.e2e.cluster import CRD, SECONDS, Cluster

_HERE = Path(__file__).parent
_GIVEN = ("E2E_KUBECONFIG", "E2E_IMAGE", "E2E_EMULATOR_IMAGE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the suite only where a cluster is given: by `make e2e`, never by `make test`."""
    mine = [item for item in items if item.path.is_relative_to(_HERE)]
    missing = [name for name in _GIVEN if not os.environ.get(name)]
    for item in mine:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(4 * SECONDS))
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"make e2e (needs {', '.join(missing)})"))


@pytest.fixture(scope="session")
def cluster(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Install the chart with the emulator in the cluster given, and take everything away at the end.

    The CRD is the cluster's, not the release's: where it is there already, somebody uses it.
    """
    name = f"e2e-{secrets.token_hex(3)}"
    made = Cluster(
        kubeconfig=Path(os.environ["E2E_KUBECONFIG"]).expanduser().resolve(strict=True),
        kubectl_program=binaries.ensure().path("kubectl"),
        helm_program=helm,
        home=tmp_path_factory.mktemp("home"),
        system=f"{name}-system",
        release="methodsecret-operator",
        image=os.environ["E2E_IMAGE"],
        emulator_image=os.environ["E2E_EMULATOR_IMAGE"],
    )
    if made.kubectl("get", "crd", CRD, "--ignore-not-found"):
        pytest.fail(
            f"this cluster has the CRD {CRD} already; the suite removes it at its end: give it another"
        )
    try:
        made.install()
        yield made
    finally:
        _clean(made)


def _clean(made: Cluster) -> None:
    if made.kubectl("get", "crd", CRD, "--ignore-not-found"):
        # No operator may be there to let them go.
        for one in made.get("methodsecrets", "--all-namespaces")["items"]:
            meta = one["metadata"]
            if meta.get("finalizers"):
                path = f"{meta['name']} --namespace={meta['namespace']}".split()
                made.kubectl(
                    "patch", "methodsecret", *path, "--type=merge", "-p", '{"metadata": {"finalizers": null}}'
                )
    made.helm("uninstall", made.release, "--ignore-not-found", "--wait")
    made.kubectl("delete", "crd", CRD, "--ignore-not-found", "--wait")
    made.kubectl("delete", "namespace", made.system, "--ignore-not-found", "--wait=false")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Make a namespace for one test."""
    name = f"e2e-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
