"""What the demo plays on: a control plane, an emulator of the Method API, and the operator as in production.

The operator is a process of its own with the credentials of its own ServiceAccount under the shipped
RBAC; its API key is in a file that only this user can read. Nothing is told here, and all of it is
taken away at the end, however that comes.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from dev.controlplane import start
from dev.controlplane.process import KeptDirectory
from dev.operator_process import OperatorProcess
from method_emulator.process import EmulatorProcess

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane
    from dev.interrupts import Interrupts

ROOT: Final = Path(__file__).resolve().parents[2]
NAMESPACE: Final = "methodsecret-system"
SERVICE_ACCOUNT: Final = "methodsecret-operator"
API_KEY: Final = "sk_demo_not_a_real_key"


class Stage:
    """A context manager; `directory` (mode 0700) holds all files of this run but the control plane's."""

    directory: Path
    plane: ControlPlane
    emulator: EmulatorProcess
    operator: OperatorProcess

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        kept = self._stack.enter_context(KeptDirectory("methodsecret-demo-"))
        self.directory = kept.path
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A second Ctrl-C must not stop the cleaning up, which takes a second.
        self._interrupts.ignore()
        if kind is not None and hasattr(self, "operator"):
            self.operator.kill()  # it may be what hangs
        self._stack.close()

    def start_control_plane(self, *, controller_manager: bool) -> None:
        """Start etcd and kube-apiserver; with the controller manager, namespaces can be deleted too."""
        self.plane = self._stack.enter_context(start(controller_manager=controller_manager))

    def start_emulator(self) -> None:
        """Start the emulator of the Method API; its address is in `emulator.url`."""
        self._interrupts.check()
        self.emulator = EmulatorProcess(log_file=self.directory / "emulator.log")
        self._stack.callback(self.emulator.stop)  # before start(): a Ctrl-C may come in the middle of it
        self.emulator.start()

    def start_operator(self, **settings: str) -> None:
        """Start the operator and wait until it works; the CRD and its ServiceAccount must be there.

        `settings` are environment variables, beside those of every run.
        """
        self._interrupts.check()
        key = self.directory / "api-key"
        key.touch(mode=0o600)
        key.write_text(f"{API_KEY}\n")
        credentials = self.plane.service_account_kubeconfig(
            namespace=NAMESPACE, name=SERVICE_ACCOUNT, path=self.directory / "operator.kubeconfig"
        )
        self.operator = OperatorProcess(
            kubeconfig=credentials,
            base_url=self.emulator.url,
            api_key_file=key,
            log_file=self.directory / "operator.log",
            env={"METHODSECRET_OPERATOR_NAMESPACE": NAMESPACE} | settings,
        )
        self._stack.enter_context(self.operator)

    def kubectl(self, command: str, *, check: bool = True) -> str:
        """Run a kubectl command line, as typed in the checkout, as administrator; return what it printed.

        Raises KubectlError where it fails, unless `check` is false.
        """
        self._interrupts.check()
        program, *arguments = shlex.split(command)
        if program != "kubectl":
            raise ValueError("only kubectl is run here")
        return self.plane.run_kubectl(*arguments, check=check)

    def wait(self) -> int:
        """Wait until the operator ends, which is at Ctrl-C at the latest; return its exit code."""
        self._interrupts.check()
        return self.operator.wait(timeout=None)

    def operator_log(self) -> str:
        """Return the operator's log, empty before it was started."""
        return self.operator.log_text() if hasattr(self, "operator") else ""
