"""The control plane is the real thing: TLS, RBAC, garbage collection, and no trace afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from dev.controlplane import ControlPlane, KubectlError, StartError, binaries, pins, server
from dev.controlplane.cache import Binaries

if TYPE_CHECKING:
    from tests.controlplane.conftest import Traces

ROOT = Path(__file__).resolve().parents[2]


def test_it_is_ready_and_of_the_expected_version(control_plane: ControlPlane) -> None:
    assert control_plane.run_kubectl("get", "--raw", "/readyz") == "ok"
    versions = json.loads(control_plane.run_kubectl("version", "--output=json"))
    if control_plane.version is None:
        pytest.skip("KUBEBUILDER_ASSETS supplied the programs: any version may be right")
    assert versions["serverVersion"]["gitVersion"] == control_plane.version
    assert versions["clientVersion"]["gitVersion"] == control_plane.version
    major, minor, _ = control_plane.version.removeprefix("v").split(".")
    assert (versions["serverVersion"]["major"], versions["serverVersion"]["minor"]) == (major, minor)


def test_etcd_and_the_controller_manager_say_their_versions(controller_manager: ControlPlane) -> None:
    programs = binaries.find()
    assert programs is not None
    if programs.version != pins.KUBERNETES_VERSION:
        pytest.skip(f"the programs were not built from the pins: {programs.origin}")
    shown = {
        name: subprocess.run(  # noqa: S603 - ours
            [programs.path(name), "--version"], capture_output=True, text=True, check=True
        ).stdout
        for name in ("etcd", pins.CONTROLLER_MANAGER)
    }
    assert f"etcd Version: {pins.ETCD_VERSION}\n" in shown["etcd"]
    assert shown[pins.CONTROLLER_MANAGER] == f"Kubernetes {pins.KUBERNETES_VERSION}\n"
    assert controller_manager.version == pins.KUBERNETES_VERSION


def test_it_speaks_tls_only_and_with_its_own_authority(control_plane: ControlPlane) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{control_plane.url}/readyz", trust_env=False)
    plain = httpx.get(control_plane.url.replace("https:", "http:"), trust_env=False)
    assert plain.status_code == httpx.codes.BAD_REQUEST


def test_its_certificates_pass_strict_verification(control_plane: ControlPlane) -> None:
    """Python 3.13 sets this flag by itself."""
    strict = ssl.create_default_context(cafile=control_plane.ca_file)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in (control_plane.url, control_plane.url.replace("127.0.0.1", "localhost")):
        answer = httpx.get(f"{name}/version", verify=strict, trust_env=False)
        assert answer.status_code == httpx.codes.OK


def test_nobody_may_do_anything_without_a_role(control_plane: ControlPlane, namespace: str) -> None:
    anonymous = httpx.get(
        f"{control_plane.url}/api/v1/secrets",
        verify=ssl.create_default_context(cafile=control_plane.ca_file),
        trust_env=False,
    )
    assert anonymous.status_code == httpx.codes.FORBIDDEN
    control_plane.run_kubectl("create", "serviceaccount", "robot", "-n", namespace)
    robot = control_plane.service_account_kubeconfig(namespace=namespace, name="robot")
    assert robot.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KubectlError, match=rf'{namespace}:robot" cannot list resource "secrets"'):
        control_plane.run_kubectl("get", "secrets", kubeconfig=robot)
    control_plane.run_kubectl(
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        f"--serviceaccount={namespace}:robot",
        "-n",
        namespace,
    )
    shown = control_plane.run_kubectl("auth", "can-i", "list", "configmaps", kubeconfig=robot)
    assert shown == "yes\n"
    shown = control_plane.run_kubectl("auth", "can-i", "list", "secrets", kubeconfig=robot, check=False)
    assert shown == "no\n"


def test_what_is_owned_goes_with_its_owner(controller_manager: ControlPlane, namespace: str) -> None:
    kubectl = controller_manager.run_kubectl
    kubectl("create", "configmap", "owner", "-n", namespace)
    uid = kubectl("get", "configmap", "owner", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    metadata = {"name": "owned", "namespace": namespace, "ownerReferences": [owner]}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    kubectl("apply", "-f", "-", input=json.dumps(document))
    kubectl("delete", "configmap", "owner", "-n", namespace)
    kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=60s")


def test_a_namespace_is_fully_deleted(controller_manager: ControlPlane, namespace: str) -> None:
    kubectl = controller_manager.run_kubectl
    kubectl("create", "secret", "generic", "inside", "-n", namespace)
    kubectl("delete", "namespace", namespace, "--wait", "--timeout=60s")
    with pytest.raises(KubectlError, match="NotFound"):
        kubectl("get", "namespace", namespace)


def test_admission_policies_and_pod_security_are_on(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.run_kubectl
    assert "validatingadmissionpolicies" in kubectl(
        "api-resources", "--api-group=admissionregistration.k8s.io"
    )
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        kubectl("run", "bad", "--image=example.invalid/x", "-n", namespace, "--dry-run=server")


def test_kubectl_touches_nothing_of_the_users(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    control_plane.run_kubectl("api-resources")
    assert list(tmp_path.iterdir()) == []


def test_tests_reach_no_cluster_of_the_user() -> None:
    assert os.environ["KUBECONFIG"] == os.devnull
    assert "KUBERNETES_SERVICE_HOST" not in os.environ


def test_the_apiserver_comes_back_as_it_was_and_planes_run_side_by_side(
    control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch, traces: Traces
) -> None:
    """Its own control plane, as others use the shared one; and its first choice of port is taken."""
    free = server._free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        choices = iter([taken.getsockname()[1]])
        monkeypatch.setattr(server, "_free_port", lambda: next(choices, None) or free())
        with server.start(controller_manager=False) as other:
            assert other.url != control_plane.url
            assert not other.has_controller_manager
            assert namespace not in other.run_kubectl("get", "namespaces")
            other.run_kubectl("create", "configmap", "kept")
            url = other.url
            other.stop_apiserver()
            with pytest.raises(httpx.ConnectError):
                other.http.get("/readyz")
            other.start_apiserver()
            assert (other.url, other.run_kubectl("get", "configmap", "kept", "-o", "name")) == (
                url,
                "configmap/kept\n",
            )
            with pytest.raises(StartError, match="running already"):
                other.start()
            directory = str(other.directory)
            assert len(traces.processes(directory)) >= 2
    assert not Path(directory).exists()
    assert traces.processes(directory) == []
    assert control_plane.run_kubectl("get", "--raw", "/readyz") == "ok"


def test_a_start_that_fails_shows_the_log_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = tmp_path_factory.mktemp("p")  # a short name: it has to hold a socket
    for name in pins.REQUIRED:
        (tmp_path / name).write_text("#!/bin/sh\necho boom from $0\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plane = ControlPlane(Binaries(directory=tmp_path, origin="made up", version=None))
    with pytest.raises(StartError, match=r"etcd ended with exit code 3:\nboom from "):
        plane.start()
    assert {path.name for path in tmp_path.iterdir()} == set(pins.REQUIRED)


def test_a_directory_too_deep_for_a_socket_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    plane = ControlPlane(Binaries(directory=tmp_path, origin="made up", version=None))
    with pytest.raises(StartError, match="set TMPDIR to a shorter one"):
        plane.start()
    assert list(deep.iterdir()) == []


@pytest.mark.cluster
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_the_command_line_leaves_nothing_behind(how: signal.Signals, code: int, traces: Traces) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "dev.controlplane", "up", "--no-controller-manager"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with up:
        assert up.stdout is not None
        found = re.fullmatch(r"export KUBECONFIG=(.*)/admin\.kubeconfig\n", up.stdout.readline())
        assert found is not None
        directory = found[1]
        assert len(traces.processes(directory)) >= 4  # two programs and their keepers, at least
        up.send_signal(how)
    assert up.returncode == code
    traces.wait_until_gone(directory)


@pytest.mark.cluster
def test_ensure_says_at_most_one_line_where_all_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev.controlplane", "ensure"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len((done.stdout + done.stderr).splitlines()) <= 1
