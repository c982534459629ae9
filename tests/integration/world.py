"""One test's world: a namespace on a real kube-apiserver, an emulator of its own, operators as processes.

Everything is waited for by the thing itself (a watch, the emulator's long poll), never by sleeping.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pathlib
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dev.controlplane import ControlPlane
from dev.operator_process import OperatorProcess, clean_environment
from dev.warm_start import warm_start
from method_emulator.control_client import EmulatorControl
from tests.integration.canary import CANARY, leaks

OBJECTS = "/apis/methodfi.com/v1"
Object = dict[str, Any]
Predicate = Callable[[Object], bool]


class Emulator(Protocol):
    """All that a world needs to know of its emulator."""

    @property
    def url(self) -> str:
        """Where the operator finds it."""


class World:
    """What a test acts on. `text_of_everything` is what the leak check reads at its end.

    `seen` is what the watches on it have told, line by line: an object that is gone by then is still in it.
    """

    def __init__(
        self,
        *,
        plane: ControlPlane,
        namespace: str,
        kubeconfig: pathlib.Path,
        emulator: Emulator,
        control: EmulatorControl,
        directory: pathlib.Path,
    ) -> None:
        self.plane = plane
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        self.emulator = emulator
        self.control = control
        self.directory = directory
        self.api_key_file = directory / "api-key"
        self.api_key_file.write_text("sk_test_default\n")
        self.operators: list[OperatorProcess] = []
        self.metrics: list[str] = []
        self.said: list[str] = []
        self.seen: list[str] = []

    # --- the operator ---------------------------------------------------------------------------

    async def start_operator(self, *, wait: bool = True, **env: str) -> OperatorProcess:
        """Start an operator for this namespace only, and wait until it is ready."""
        process = OperatorProcess(
            kubeconfig=self.kubeconfig,
            base_url=self.emulator.url,
            api_key_file=self.api_key_file,
            log_file=self.directory / f"operator-{len(self.operators)}.log",
            env={
                "METHODSECRET_NAMESPACES": self.namespace,
                "METHODSECRET_OPERATOR_NAMESPACE": "methodsecret-system",
                "METHODSECRET_LOG_LEVEL": "DEBUG",
                "METHODSECRET_LOG_FORMAT": "json",
                **{f"METHODSECRET_{name}": text for name, text in env.items()},
            },
            launch=warm_start(),
        )
        self.operators.append(process)
        process.start()
        if wait:
            await asyncio.to_thread(process.wait_ready)
        return process

    async def command(
        self, *arguments: str, kubeconfig: pathlib.Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run another command than `run` to its end, with the settings of the operators here."""
        settings = {
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "METHODSECRET_BASE_URL": self.emulator.url,
            "METHODSECRET_API_KEY_FILE": str(self.api_key_file),
            "METHODSECRET_NAMESPACES": self.namespace,
            "METHODSECRET_OPERATOR_NAMESPACE": "methodsecret-system",
            **{f"METHODSECRET_{name}": text for name, text in env.items()},
        }
        number = len(self.said)
        self.said.append("")
        stdout, stderr = (self.directory / f"command-{number}.{name}" for name in ("out", "err"))
        with stderr.open("xb") as log:
            process = warm_start()(
                env=clean_environment() | settings,
                cwd=self.directory,
                log=log,
                arguments=arguments,
                stdout=stdout,
            )
        code = await asyncio.to_thread(process.wait, 60)
        done = subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())
        self.said[number] = done.stdout + done.stderr
        return done

    # --- the cluster ----------------------------------------------------------------------------

    def path(self, kind: str, name: str = "") -> str:
        """Return the path of an object of this namespace."""
        root = OBJECTS if kind == "methodsecrets" else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def apply(self, kind: str, body: Object) -> Object:
        """Apply an object as `kubectl apply --server-side` does."""
        answer = self.plane.http.patch(
            self.path(kind, body["metadata"]["name"]),
            params={"fieldManager": "test", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(body),
        )
        answer.raise_for_status()
        return dict(answer.json())

    def secret(self, name: str = "source", /, **data: str | bytes) -> Object:
        """Write a Secret with exactly these keys; without any, one key `value` that holds the canary."""
        content = data or {"value": CANARY}
        encoded = {
            key: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
            for key, value in content.items()
        }
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
        return self.apply("secrets", body)

    def method_secret(
        self,
        name: str = "acme",
        *,
        source: str = "source",
        key: str = "value",
        annotations: Mapping[str, str] | None = None,
        **spec: Any,  # noqa: ANN401 - fields of the spec
    ) -> Object:
        """Write a MethodSecret."""
        return self.apply(
            "methodsecrets",
            {
                "apiVersion": "methodfi.com/v1",
                "kind": "MethodSecret",
                "metadata": {"name": name, "annotations": dict(annotations or {})},
                "spec": {"valueFrom": {"secretKeyRef": {"name": source, "key": key}}, **spec},
            },
        )

    def get(self, name: str = "acme", kind: str = "methodsecrets") -> Object:
        """Read an object."""
        answer = self.plane.http.get(self.path(kind, name))
        answer.raise_for_status()
        return dict(answer.json())

    def list(self, kind: str = "methodsecrets") -> list[Object]:
        """Read all objects of a kind in this namespace."""
        answer = self.plane.http.get(self.path(kind))
        answer.raise_for_status()
        return list(answer.json()["items"])

    def delete(self, name: str, kind: str = "methodsecrets") -> None:
        """Delete an object."""
        self.plane.http.delete(self.path(kind, name)).raise_for_status()

    def edit_status(self, name: str = "acme", **status: Any) -> None:  # noqa: ANN401 - fields of the status
        """Write into a status as somebody else would; None takes a field away."""
        answer = self.plane.http.patch(
            self.path("methodsecrets", name) + "/status",
            headers={"Content-Type": "application/merge-patch+json"},
            content=json.dumps({"status": status}),
        )
        answer.raise_for_status()

    async def until(self, predicate: Predicate, name: str = "acme", *, seconds: float = 20.0) -> Object:
        """Watch an object until it is as wanted; fails with its last state."""
        return await asyncio.to_thread(self._watch, "methodsecrets", name, predicate, seconds)

    async def until_gone(self, name: str, *, seconds: float = 20.0) -> None:
        """Watch an object until it is no more."""
        await asyncio.to_thread(self._watch_out, name, seconds)

    async def until_event(self, reason: str, *, seconds: float = 20.0) -> Object:
        """Watch Events until one of that reason is there."""
        return await asyncio.to_thread(
            self._watch, "events", None, lambda event: event.get("reason") == reason, seconds
        )

    def _watch(self, kind: str, name: str | None, predicate: Predicate, seconds: float) -> Object:
        params = {"watch": "1", "timeoutSeconds": str(int(seconds))}
        if name is not None:
            params["fieldSelector"] = f"metadata.name={name}"
        last: Object = {}
        with self.plane.http.stream("GET", self.path(kind), params=params, timeout=seconds + 5) as stream:
            for line in stream.iter_lines():
                self.seen.append(line)
                event = json.loads(line)
                last = event["object"]
                if event["type"] != "DELETED" and predicate(last):
                    return dict(last)
        shown = json.dumps(last.get("status", last), indent=1)
        raise AssertionError(f"{kind} {name} did not get there in {seconds} s; last seen: {shown}")

    def _watch_out(self, name: str, seconds: float) -> None:
        listed = self.plane.http.get(self.path("methodsecrets")).json()
        found = [item for item in listed["items"] if item["metadata"]["name"] == name]
        if not found:
            return
        self.seen.append(json.dumps(found))
        params = {
            "watch": "1",
            "timeoutSeconds": str(int(seconds)),
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": listed["metadata"]["resourceVersion"],
        }
        last = found[0]
        url = self.path("methodsecrets")
        with self.plane.http.stream("GET", url, params=params, timeout=seconds + 5) as stream:
            for line in stream.iter_lines():
                self.seen.append(line)
                event = json.loads(line)
                if event["type"] == "DELETED":
                    return
                last = event["object"]
        raise AssertionError(f"{name} is still there after {seconds} s: {json.dumps(last, indent=1)}")

    # --- the leak check -------------------------------------------------------------------------

    async def text_of_everything(self) -> dict[str, str]:
        """Return all that the operator and the emulator have said, by where they said it."""
        texts = {str(process.log_file.name): process.log_text() for process in self.operators}
        texts["emulator's log"] = self._emulator_log()
        texts["emulator's requests"] = json.dumps(await self.control.requests())
        texts["emulator's secrets"] = json.dumps(await self.control.secrets())
        texts["MethodSecrets"] = json.dumps(self.list())
        texts["Events"] = json.dumps(self.list("events"))
        texts["ConfigMaps"] = json.dumps(self.list("configmaps"))
        texts["what was seen"] = "\n".join(self.seen)
        texts["commands"] = "\n".join(self.said)
        texts["metrics"] = "\n".join(self.metrics)
        return texts

    async def check_leaks(self, *values: str) -> None:
        """Fail where a value stands that nobody may see; say where and in which forms, and not the value."""
        for where, text in (await self.text_of_everything()).items():
            forms = [form for value in values for form in leaks(text, value)]
            if forms:
                raise AssertionError(f"a value has leaked: {where}, {forms}")

    def _emulator_log(self) -> str:
        return (self.directory / "emulator.log").read_text()


def ready(reason: str = "Synced", *, generation: int | None = None) -> Predicate:
    """Whether an object is Ready for that reason (and for that generation)."""
    return condition("Ready", "True", reason, generation=generation)


def not_ready(reason: str) -> Predicate:
    """Whether an object is not Ready for that reason."""
    return condition("Ready", "False", reason)


def condition(
    kind: str, status: str, reason: str | None = None, *, generation: int | None = None
) -> Predicate:
    """Whether an object has such a condition."""

    def holds(obj: Object) -> bool:
        return any(
            found["type"] == kind
            and found["status"] == status
            and reason in (None, found["reason"])
            and generation in (None, found["observedGeneration"])
            for found in obj.get("status", {}).get("conditions", ())
        )

    return holds


def message(obj: Object, kind: str = "Ready") -> str:
    """Return a condition's message."""
    return next(str(found["message"]) for found in obj["status"]["conditions"] if found["type"] == kind)
