"""Starts and stops one control plane: etcd, kube-apiserver and, where wanted, kube-controller-manager.

Each has its own temporary directory, free port, certificates and logs, so any number run side by side.
Etcd listens on a Unix socket in that directory, which only this user can enter; kube-apiserver on
127.0.0.1 with TLS, authorising by RBAC. The data is thrown away at the end, so programs are stopped
with SIGKILL: at once, and no harder than a machine that loses power.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import ssl
import time
from typing import TYPE_CHECKING, Self

import httpx

from dev.controlplane import binaries, certs, kubeconfig, kubectl
from dev.controlplane.errors import StartError
from dev.controlplane.process import Child, KeptDirectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dev.controlplane.cache import Binaries

_START_SECONDS = 90  # about 3 on an idle machine with 2 cores
_POLL_SECONDS = 0.05
_ASK_SECONDS = 3  # whoever else has taken our port may never answer
_PORT_TRIES = 5
_SOCKET_PATH_BYTES = 103  # macOS allows the least
_SERVICE_NETWORK = "10.0.0.0/24"
_FIRST_SERVICE_ADDRESS = "10.0.0.1"  # the kubernetes Service's
_ISSUER = "https://kubernetes.default.svc"
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",  # fills view, edit and admin from ClusterRoles labelled for them
)


class _PortTakenError(Exception):
    """Somebody took the port between our choice of it and kube-apiserver's start."""


class ControlPlane:
    """One control plane; a context manager that starts it and takes it away without a trace.

    `directory` holds everything of this run, logs included, and exists from start() to stop();
    `kubeconfig` is the administrator's (group system:masters).
    """

    url: str
    ca_file: Path
    kubeconfig: Path
    directory: Path
    kubectl: Path
    http: httpx.Client  # the administrator's, with `url` as its base

    def __init__(self, programs: Binaries, *, controller_manager: bool = True) -> None:
        self._programs = programs
        self._with_controller_manager = controller_manager
        self._kept: KeptDirectory | None = None
        self._etcd: Child | None = None
        self._apiserver: Child | None = None
        self._controller_manager: Child | None = None
        self._port = 0
        self.kubectl = programs.path("kubectl")

    @property
    def version(self) -> str | None:
        """Kubernetes' version, e.g. v1.37.2; None where KUBEBUILDER_ASSETS supplied the programs."""
        return self._programs.version

    @property
    def has_controller_manager(self) -> bool:
        """Whether garbage collection and namespace deletion work here."""
        return self._controller_manager is not None

    def __enter__(self) -> Self:
        if self._kept is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it is ready, some 3 s.

        Raises StartError; then, as at Ctrl-C, nothing is left running and no file behind.
        """
        if self._kept is not None:
            raise StartError("this control plane is running already")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._kept = KeptDirectory("methodsecret-kube-")
        self.directory = self._kept.path
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_BYTES:
            raise StartError(f"the path {self._socket} is too long for a socket: set TMPDIR to a shorter one")
        authority = certs.Authority(self.directory)
        self.ca_file = authority.certificate
        authority.server(
            "apiserver",
            dns=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
            addresses=["127.0.0.1", _FIRST_SERVICE_ADDRESS],
        )
        certs.signing_key(self.directory / "tokens.key")
        admin = authority.client("admin", user="admin", group="system:masters")
        manager = authority.client("controller-manager", user="system:kube-controller-manager")
        self._start_etcd()
        self._first_start_apiserver(admin)
        self.kubeconfig = kubeconfig.write(
            self.directory / "admin.kubeconfig", url=self.url, ca_file=self.ca_file, client=admin
        )
        kubeconfig.write(
            self.directory / "controller-manager.kubeconfig",
            url=self.url,
            ca_file=self.ca_file,
            client=manager,
        )
        if self._with_controller_manager and self._programs.controller_manager is not None:
            self._start_controller_manager()
            self._wait("/api/v1/namespaces/default/serviceaccounts/default", "kube-controller-manager")
        # They are made after /readyz says yes, and the operator looks at kube-system's uid.
        for namespace in ("default", "kube-system"):
            self._wait(f"/api/v1/namespaces/{namespace}", f"namespace {namespace}")

    def stop(self) -> None:
        """Kill everything and remove the directory; safe to call twice, or after a failed start."""
        if hasattr(self, "http"):
            self.http.close()
        for child in (self._controller_manager, self._apiserver, self._etcd):
            if child is not None:
                child.stop()
        self._controller_manager = self._apiserver = self._etcd = None
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def stop_apiserver(self) -> None:
        """Kill kube-apiserver: clients see connections reset, then refused. The data stays in etcd."""
        if self._apiserver is not None:
            self._apiserver.stop()
            self._apiserver = None

    def start_apiserver(self) -> None:
        """Start kube-apiserver again, on the same port and data, and wait until it is ready."""
        if self._apiserver is not None:
            raise StartError("kube-apiserver is running already")
        self._launch_apiserver()
        try:
            self._wait_for_apiserver()
        except _PortTakenError:
            self.stop_apiserver()
            raise StartError(f"somebody took port {self._port} while kube-apiserver was stopped") from None

    def restart_apiserver(self) -> None:
        """Kill kube-apiserver and start it again, on the same port and data."""
        self.stop_apiserver()
        self.start_apiserver()

    def restart_controller_manager(self) -> None:
        """Start kube-controller-manager anew, so that it knows new CustomResourceDefinitions at once.

        By itself its garbage collector looks for new kinds every 30 s.
        """
        if self._controller_manager is not None:
            self._controller_manager.stop()
            self._start_controller_manager()

    def run_kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - named as subprocess.run names it
        kubeconfig: Path | None = None,
        check: bool = True,
    ) -> str:
        """Run kubectl as the administrator, or with another kubeconfig; return its standard output.

        Raises KubectlError with what it wrote to stderr, unless `check` is false.
        """
        return kubectl.run(
            self.kubectl,
            args,
            kubeconfig=kubeconfig or self.kubeconfig,
            home=self.directory,
            stdin=input,
            check=check,
        )

    def service_account_kubeconfig(self, *, namespace: str, name: str, path: Path | None = None) -> Path:
        """Write a kubeconfig with a fresh token (24 h) of an existing ServiceAccount; return its path.

        Without `path` it is put into this run's directory. Whoever uses it has that account's roles only.
        """
        token = self.run_kubectl(
            "create", "token", name, f"--namespace={namespace}", "--duration=24h"
        ).strip()
        return kubeconfig.write(
            path or self.directory / f"{namespace}.{name}.kubeconfig",
            url=self.url,
            ca_file=self.ca_file,
            token=token,
            namespace=namespace,
        )

    def _start_etcd(self) -> None:
        # Not tcp: no port to be taken, and nobody else on this machine can read or write the data.
        self._etcd = Child(
            [
                self._programs.path("etcd"),
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-urls={self._etcd_url}",
                f"--advertise-client-urls={self._etcd_url}",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--unsafe-no-fsync",  # a crash of the machine would lose data that nobody keeps
                "--log-level=warn",
            ],
            log=self.directory / "etcd.log",
        )

    @property
    def _etcd_url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        return self.directory / "etcd.sock"

    def _first_start_apiserver(self, admin: certs.Pair) -> None:
        for attempt in range(1, _PORT_TRIES + 1):
            self._port = _free_port()
            self.url = f"https://127.0.0.1:{self._port}"
            tls = ssl.create_default_context(cafile=self.ca_file)
            tls.load_cert_chain(admin.certificate, admin.key)
            self.http = httpx.Client(base_url=self.url, verify=tls, trust_env=False, timeout=30)
            self._launch_apiserver()
            try:
                self._wait_for_apiserver()
            except _PortTakenError:
                self.stop_apiserver()
                self.http.close()
                if attempt == _PORT_TRIES:
                    raise StartError(f"no free port for kube-apiserver after {attempt} tries") from None
            else:
                return

    def _launch_apiserver(self) -> None:
        directory = self.directory
        self._apiserver = Child(
            [
                self._programs.path("kube-apiserver"),
                f"--etcd-servers={self._etcd_url}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self._port}",
                f"--tls-cert-file={directory / 'apiserver.crt'}",
                f"--tls-private-key-file={directory / 'apiserver.key'}",
                f"--client-ca-file={self.ca_file}",
                "--authorization-mode=RBAC",
                f"--service-account-issuer={_ISSUER}",
                f"--service-account-key-file={directory / 'tokens.key'}",
                f"--service-account-signing-key-file={directory / 'tokens.key'}",
                f"--service-cluster-ip-range={_SERVICE_NETWORK}",
                "--endpoint-reconciler-type=none",  # no Service is reachable here
                "--profiling=false",
            ],
            log=directory / "kube-apiserver.log",
        )

    def _start_controller_manager(self) -> None:
        directory = self.directory
        self._controller_manager = Child(
            [
                self._programs.path("kube-controller-manager"),
                f"--kubeconfig={directory / 'controller-manager.kubeconfig'}",
                f"--controllers={','.join(_CONTROLLERS)}",
                # As in a cluster: each controller has the roles it is shipped with, no more.
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--secure-port=0",
                "--concurrent-gc-syncs=4",
                "--profiling=false",
            ],
            log=directory / "kube-controller-manager.log",
        )

    def _wait_for_apiserver(self) -> None:
        self._wait("/readyz", "kube-apiserver")

    def _wait(self, path: str, what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ok(path):
            for child in (self._etcd, self._apiserver, self._controller_manager):
                if child is not None and (code := child.poll()) is not None:
                    log = child.log_tail()
                    if child is self._apiserver and "address already in use" in log:
                        raise _PortTakenError
                    raise StartError(f"{child.name} ended with exit code {code}:\n{log}")
            if time.monotonic() > deadline:
                log = self._apiserver.log_tail() if self._apiserver is not None else ""
                raise StartError(f"{what} was not ready after {_START_SECONDS} s:\n{log}")
            time.sleep(_POLL_SECONDS)

    def _is_ok(self, path: str) -> bool:
        try:
            return self.http.get(path, timeout=_ASK_SECONDS).is_success
        except httpx.TransportError:
            return False


def _free_port() -> int:
    """Choose a port that is free now.

    Not one of those that systems give to outgoing connections (from 32768 on Linux, 49152 on macOS): such
    a one could be taken while kube-apiserver is stopped for a restart.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def start(*, controller_manager: bool = True, say: Callable[[str], None] | None = None) -> ControlPlane:
    """Get the programs if need be, start a control plane and return it once it is ready.

    `say` gets lines of progress (default: standard error). Use it as a context manager, or call stop().
    Raises NotAvailableError or StartError, whose messages say what to do.
    """
    programs = binaries.ensure(say=say or binaries.say_to_stderr)
    plane = ControlPlane(programs, controller_manager=controller_manager)
    plane.start()
    return plane
