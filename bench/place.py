"""Where everything is measured: a real kube-apiserver, the emulator, and what is in them.

It makes objects, counts requests by the kube-apiserver's own metrics, and reads CPU time and memory of
processes. It knows nothing of rows and targets.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import psutil
import yaml

from dev.controlplane import ControlPlane, start
from dev.controlplane.metrics import requests
from dev.controlplane.process import KeptDirectory
from method_emulator.control_client import EmulatorControl
from method_emulator.process import EmulatorProcess

ROOT: Final = Path(__file__).resolve().parent.parent
SYSTEM: Final = "methodsecret-system"
API_KEY: Final = "sk_bench_not_a_real_key"
_AT_ONCE: Final = 24
_RESOURCES: Final = frozenset({"methodsecrets", "secrets", "configmaps", "events", "namespaces"})

Object = dict[str, Any]
Call = tuple[str, str]
"""A verb and what it is for: ("PATCH", "methodsecrets/status")."""


class Place:
    """An async context manager: everything is started by entering it and taken away by leaving it."""

    plane: ControlPlane
    emulator: EmulatorProcess
    control: EmulatorControl
    http: aiohttp.ClientSession
    directory: Path
    kubeconfig: Path
    token: str

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._number = 0

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self.directory = self._stack.enter_context(KeptDirectory("methodsecret-bench-")).path
        self.plane = self._stack.enter_context(start(controller_manager=False))
        self.plane.run_kubectl("apply", "-f", str(ROOT / "crds" / "methodsecrets.methodfi.com.yaml"))
        base = ROOT / "deploy" / "kustomize" / "base"
        self.plane.run_kubectl("apply", "-f", str(base / "namespace.yaml"), "-f", str(base / "rbac.yaml"))
        self.kubeconfig = self.plane.service_account_kubeconfig(
            namespace=SYSTEM, name="methodsecret-operator", path=self.directory / "operator.kubeconfig"
        )
        self.token = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]["token"]
        # Made here, so that no start makes it: a restart has nothing to write then.
        material = base64.b64encode(secrets.token_bytes(32)).decode()
        key = {"metadata": {"name": "methodsecret-operator-digest-key"}, "data": {"digest-key": material}}
        self.plane.http.post(f"/api/v1/namespaces/{SYSTEM}/secrets", json=key).raise_for_status()
        self.api_key_file = self.directory / "api-key"
        self.api_key_file.touch(mode=0o600)
        self.api_key_file.write_text(API_KEY)
        # Without limits: a row that is about them sets them.
        self.emulator = EmulatorProcess(
            log_file=self.directory / "emulator.log", writes_per_minute=0, reads_per_minute=0
        )
        self._stack.callback(self.emulator.stop)
        self.emulator.start()
        self.control = await self._stack.enter_async_context(EmulatorControl(self.emulator.url))
        tls = ssl.create_default_context(cafile=self.plane.ca_file)
        tls.load_cert_chain(self.plane.directory / "admin.crt", self.plane.directory / "admin.key")
        self.http = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                base_url=self.plane.url,
                connector=aiohttp.TCPConnector(ssl=tls, limit=_AT_ONCE + 8),
                timeout=aiohttp.ClientTimeout(total=120),
            )
        )
        await self._until_served()

    async def _until_served(self) -> None:
        while True:
            async with self.http.get("/apis/methodfi.com/v1/methodsecrets") as response:
                if response.ok:
                    return
            await asyncio.sleep(0.1)

    # --- objects --------------------------------------------------------------------------------

    async def namespace(self) -> str:
        """Make a namespace and return its name."""
        self._number += 1
        name = f"bench-{self._number}"
        await self.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    async def fill(self, namespace: str, names: Iterable[str], *, secrets: bool = True) -> None:
        """Make a MethodSecret of each name, and its Secret first."""

        async def make(name: str) -> None:
            if secrets:
                await self.secret(namespace, name)
            await self.method_secret(namespace, name, source=name)

        await each(names, make)

    async def secret(self, namespace: str, name: str, **data: str) -> None:
        """Make a Secret; without data, with a value as long as an API key."""
        content = data or {"value": f"key_live_{secrets.token_hex(24)}"}
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
        body = {"metadata": {"name": name}, "type": "Opaque", "data": encoded}
        await self.send("POST", f"/api/v1/namespaces/{namespace}/secrets", body)

    async def method_secret(self, namespace: str, name: str, *, source: str, **spec: object) -> None:
        """Make a MethodSecret."""
        body = {
            "apiVersion": "methodfi.com/v1",
            "kind": "MethodSecret",
            "metadata": {"name": name},
            "spec": {
                "valueFrom": {"secretKeyRef": {"name": source, "key": "value"}},
                "metadata": {"team": "payments", "service": "ledger"},
                **spec,
            },
        }
        await self.send("POST", f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets", body)

    async def clear(self, namespace: str) -> None:
        """Delete all MethodSecrets and Secrets of a namespace, and forget what the emulator has."""
        for path in ("apis/methodfi.com/v1/{}/methodsecrets", "api/v1/{}/secrets"):
            await self.send("DELETE", "/" + path.format(f"namespaces/{namespace}"))
        await self.control.reset()

    async def unstored(self, namespace: str) -> bool:
        """Whether an object of a namespace has no id yet."""
        path = (
            f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets?fieldSelector=status.id%3D&limit=1"
        )
        return bool((await self.send("GET", path))["items"])

    async def send(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> Object:
        """Send a request as administrator and return the answer."""
        data = None if body is None else json.dumps(body)
        async with self.http.request(method, path, data=data, headers={"Content-Type": kind}) as response:
            answer = await response.json()
            if not response.ok:
                raise RuntimeError(f"{method} {path}: {response.status} {answer.get('message')}")
            return dict(answer)

    # --- what is measured -----------------------------------------------------------------------

    async def calls(self) -> Counter[Call]:
        """Return how often the kube-apiserver was asked for what of ours, by anybody, since its start."""
        async with self.http.get("/metrics") as response:
            counts = requests(await response.text())
        # Of the others, the server itself writes Leases.
        return Counter({call: n for call, n in counts.items() if call[1].partition("/")[0] in _RESOURCES})

    async def operations(self) -> Counter[tuple[str, str]]:
        """Return how often the emulator was asked for what, with which status."""
        found = (await self.control.counters())["operations"]
        return Counter({(name, status): count for name, by in found.items() for status, count in by.items()})

    async def events_posted(self) -> None:
        """Return when no Event has been posted for half a second: the operator posts 20 a second at most."""
        former, posted = -1, 0
        while posted != former:
            former = posted
            await asyncio.sleep(0.5)
            posted = (await self.calls())["POST", "events"]

    def servers(self) -> dict[str, psutil.Process]:
        """Return the processes that serve: the emulator, kube-apiserver, etcd."""
        found = {"emulator": psutil.Process(self.emulator.pid)}
        for process in psutil.Process().children(recursive=True):
            if process.name() in {"kube-apiserver", "etcd"}:
                found[process.name()] = process
        return found


async def each(names: Iterable[str], work: Callable[[str], Awaitable[None]]) -> None:
    """Do the work for each name, so many at a time."""
    waiting = iter(names)

    async def worker() -> None:
        for name in waiting:
            await work(name)

    async with asyncio.TaskGroup() as workers:
        for _ in range(_AT_ONCE):
            workers.create_task(worker())


def cpu(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


_TWO_TICKS: Final = 0.02
"""CPU seconds: two ticks of the kernel's clock, which a process at rest may be charged with."""


async def quiet(process: psutil.Process, *, seconds: float = 1.0, at_most: float = 300.0) -> None:
    """Wait until a process has used next to no CPU for so long."""
    loop = asyncio.get_running_loop()
    deadline, since, used = loop.time() + at_most, loop.time(), cpu(process)
    while loop.time() - since < seconds:
        if loop.time() > deadline:
            raise TimeoutError(f"process {process.pid} was not idle within {at_most:g} s")
        await asyncio.sleep(0.1)
        if (now := cpu(process)) - used > _TWO_TICKS:
            since, used = loop.time(), now
