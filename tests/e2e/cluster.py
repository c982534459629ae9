"""The cluster under test, by kubectl and helm as people use them; and the emulator in it, by the API's proxy.

Everything is waited for by `kubectl wait` or `helm --wait`, except for what has neither: that is asked again
until it is so. Only the kubeconfig that was given is ever used.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "chart"
CRD: Final = "methodsecrets.methodfi.com"
SECONDS: Final = 240
"""How long anything may take at most: a busy machine that starts Pods."""

Object = dict[str, Any]


class CommandFailedError(AssertionError):
    """kubectl or helm ended with an error; the text holds what it said."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster, and the release in it."""

    kubeconfig: Path
    kubectl_program: Path
    helm_program: Path
    home: Path
    system: str
    release: str
    image: str
    emulator_image: str

    def _run(self, program: Path, *args: str, stdin: str = "") -> str:
        # Nothing of the user's: neither configuration nor caches nor plugins.
        env = {
            "PATH": os.pathsep.join((str(self.kubectl_program.parent), os.environ.get("PATH", os.defpath))),
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECTL_KUBERC": "false",
        }
        done = subprocess.run(  # noqa: S603 - our own programs
            [program, *args],
            input=stdin,
            env=env,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
            check=False,
        )
        if done.returncode != 0:
            said = f"{program.name} {' '.join(args)}: exit code {done.returncode}: {done.stderr.strip()}"
            raise CommandFailedError(f"{said}\n{done.stdout.strip()}")
        return done.stdout

    # --- the cluster ----------------------------------------------------------------------------

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """Run kubectl and return what it prints. Raises CommandFailedError."""
        return self._run(self.kubectl_program, *args, stdin=stdin)

    def helm(self, *args: str) -> str:
        """Run helm for the release's namespace and return what it prints. Raises CommandFailedError."""
        return self._run(self.helm_program, "--namespace", self.system, *args)

    def get(self, *args: str) -> Object:
        """Return what `kubectl get` shows, as JSON."""
        return dict(json.loads(self.kubectl("get", *args, "-o", "json")))

    def apply(self, namespace: str, *objects: Object) -> None:
        """Apply objects in one call."""
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(_list(objects)))

    def wait_ready(self, namespace: str, *names: str) -> None:
        """Wait until MethodSecrets are Ready (without names: all of the namespace)."""
        which = [f"methodsecret/{name}" for name in names] or ["methodsecret", "--all"]
        self.kubectl("wait", "-n", namespace, "--for=condition=Ready", f"--timeout={SECONDS}s", *which)

    def wait_for(self, namespace: str, path: str, text: str, name: str) -> None:
        """Wait until a MethodSecret's field has a text."""
        self.kubectl(
            "wait",
            "-n",
            namespace,
            f"--for=jsonpath={path}={text}",
            f"--timeout={SECONDS}s",
            f"methodsecret/{name}",
        )

    def secret(self, namespace: str, name: str) -> Object:
        """Return a MethodSecret."""
        return self.get("methodsecret", name, "-n", namespace)

    def holder(self) -> str:
        """Return who holds the Lease: `POD_UUID`, new in each process; empty where nobody does."""
        lease = self.get("lease", "methodsecret-operator", "-n", self.system)
        return str(lease["spec"].get("holderIdentity", ""))

    def kill(self, pod: str) -> None:
        """End a Pod of the operator at once, as far as that can be done from here.

        E2E_KILL is a command that gets namespace and Pod, and sends SIGKILL to its processes. Without it the
        Pod is deleted by force, which leaves the process a moment to let go of the Lease.
        """
        if command := os.environ.get("E2E_KILL"):
            subprocess.run([*shlex.split(command), self.system, pod], check=True)  # noqa: S603 - the user's own
        else:
            self.kubectl("delete", "pod", pod, "-n", self.system, "--grace-period=0", "--force")

    # --- the release ----------------------------------------------------------------------------

    @property
    def values(self) -> tuple[str, ...]:
        """What the release is installed with: the images given, never pulled, and the emulator."""
        settings: list[str] = ["emulator.enabled=true", "environment=sandbox", "clusterName=e2e"]
        for where, image in (("image", self.image), ("emulator.image", self.emulator_image)):
            repository, _, tag = image.rpartition(":")
            settings += [
                f"{where}.repository={repository}",
                f"{where}.tag={tag}",
                f"{where}.pullPolicy=Never",
            ]
        return tuple(part for setting in settings for part in ("--set", setting))

    def install(self, *more: str) -> None:
        """Install or upgrade the release, and wait until it is there."""
        self.helm(
            "upgrade", "--install", self.release, str(CHART), "--create-namespace",
            *self.values, *more, "--wait", f"--timeout={SECONDS}s",
        )  # fmt: skip

    @property
    def deployment(self) -> str:
        """The operator's Deployment, as kubectl takes it."""
        return f"deployment/{self.release}"

    def documented(self, heading: str, block: int = 0) -> str:
        """Run a block of commands of docs/operations.md as it stands there; return what it prints.

        Only the namespace is another. Raises CommandFailedError.
        """
        text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        commands = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)[block]
        return self._run(Path("/bin/sh"), "-ec", commands.replace("methodsecret-system", self.system))

    # --- the emulator ---------------------------------------------------------------------------

    def _emulator(self, path: str) -> str:
        service = f"http:{self.release}-emulator:8080"
        return f"/api/v1/namespaces/{self.system}/services/{service}/proxy/_emulator/{path}"

    def stored(self, owner: str) -> list[Object]:
        """Return the active secrets at the emulator whose marker's owner begins so."""
        found: Any = json.loads(self.kubectl("get", "--raw", self._emulator("secrets")))
        everything = found["secrets"] if isinstance(found, dict) else found
        return [
            one
            for one in everything
            if one["status"] == "active" and str(one["metadata"].get("k8s_owner", "")).startswith(owner)
        ]

    def holds(self, value: str) -> list[str]:
        """Return the ids of the secrets at the emulator that hold exactly this value."""
        answer = self.kubectl(
            "create", "--raw", self._emulator("has-value"), "-f", "-", stdin=json.dumps({"value": value})
        )
        found: Any = json.loads(answer)
        return list(found["ids"] if isinstance(found, dict) else found)


def source(name: str, value: str) -> Object:
    """Return a Secret with a value."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"value": value}}


def method_secret(name: str, **spec: Any) -> Object:  # noqa: ANN401 - fields of the spec
    """Return a MethodSecret of the Secret of the same name."""
    return {
        "apiVersion": "methodfi.com/v1",
        "kind": "MethodSecret",
        "metadata": {"name": name},
        "spec": {"valueFrom": {"secretKeyRef": {"name": name, "key": "value"}}, **spec},
    }


def _list(objects: tuple[Object, ...]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


def until(true: Callable[[], bool], what: str) -> None:
    """Ask again until something is so."""
    deadline = time.monotonic() + SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {SECONDS} s: {what}")
        time.sleep(0.5)  # nothing tells: kubectl can wait for fields, not for this
