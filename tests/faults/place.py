"""One place for one run of a scenario: a namespace, an emulator, a proxy, and a digest key of its own."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final

import yaml

from dev.controlplane import ControlPlane
from dev.controlplane import kubeconfig as kubeconfigs
from dev.operator_process import OperatorProcess
from method_emulator.control_client import EmulatorControl
from method_emulator.testing import RunningEmulator, running_emulator
from tests.faults.proxy import Proxy
from tests.integration.canary import CANARY
from tests.integration.world import OBJECTS, Object, World

OLD_KEY: Final = "sk_test_default"
NEW_KEY: Final = "sk_test_next"
ACCOUNT: Final = "acme-corp"


class Place(World):
    """A world whose operators reach both APIs through `proxy`. `first` is the object as it was prepared.

    `settings` are its operators' own. `values` are what nothing may show at the end, in none of the
    `namespaces` and nowhere else.
    """

    def __init__(self, *, proxy: Proxy, **rest: Any) -> None:  # noqa: ANN401 - what a World takes
        super().__init__(**rest)
        self.proxy = proxy
        self.value = CANARY
        self.first: Object = {}
        self.settings: dict[str, str] = {}
        self.values = [CANARY]
        self.namespaces = [self.namespace]

    async def start_operator(self, *, wait: bool = True, **env: str) -> OperatorProcess:
        """Start an operator that no limit slows down."""
        return await super().start_operator(
            wait=wait,
            DIGEST_KEY_SECRET=f"digest-key-{self.namespace}",
            WRITES_PER_MINUTE="1000000",
            READS_PER_MINUTE="1000000",
            **self.settings,
            **env,
        )

    async def until_watching(self, *, after: int = 0) -> None:
        """Wait until an operator started at that place of the log has listed all there is, and watches."""

        def seen(log: list[Any]) -> bool:
            answered = [record.label for record in log[after:] if record.status == 200]
            lists = answered.count("LIST methodsecrets")
            return lists >= 2 and "WATCH methodsecrets" in answered

        await self.proxy.until(seen)

    def write_value(self, value: str = CANARY) -> None:
        """Write the source Secret, and remember what is in it."""
        self.value = value
        self.secret(value=value)

    async def text_of_everything(self) -> dict[str, str]:
        """Return all that was said here, in every namespace that the operators look after.

        What they sent to the kube-apiserver has what is gone by now, and what was refused.
        """
        texts = await super().text_of_everything()
        for other in self.namespaces[1:]:
            for kind in ("methodsecrets", "events", "configmaps"):
                root = OBJECTS if kind == "methodsecrets" else "/api/v1"
                answer = self.plane.http.get(f"{root}/namespaces/{other}/{kind}")
                texts[f"{kind} of {other}"] = answer.raise_for_status().text
        texts["kube-apiserver's requests"] = "\n".join(
            f"{sent.method} {sent.path}?{sent.query}\n{sent.body.decode(errors='replace')}"
            for sent in self.proxy.log
            if sent.end == "kube"
        )
        return texts

    def _emulator_log(self) -> str:
        return ""  # it runs in this process, and writes none


def token_of(kubeconfig: pathlib.Path) -> str:
    """Return the token in a kubeconfig."""
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


@contextlib.asynccontextmanager
async def place(
    *, plane: ControlPlane, token: str, directory: pathlib.Path, name: str | None = None
) -> AsyncIterator[Place]:
    """Make a place; at its end its operators are stopped, and must have leaked nothing.

    `token` is the operator's, `name` the namespace's where a test needs a certain one: it may
    be there already. The namespace stays: it goes with the control plane.
    """
    shared = name is not None
    name = name or f"faults-{secrets.token_hex(4)}"
    mine = directory / name
    mine.mkdir()
    made_at = await asyncio.to_thread(
        plane.http.post, "/api/v1/namespaces", json={"metadata": {"name": name}}
    )
    if made_at.status_code != 409 or not shared:
        made_at.raise_for_status()
    emulator: RunningEmulator
    async with (
        running_emulator(
            api_keys={OLD_KEY: ACCOUNT, NEW_KEY: ACCOUNT}, writes_per_minute=0, reads_per_minute=0
        ) as emulator,
        EmulatorControl(emulator.url) as control,
        Proxy(
            kube=plane.url,
            ca=str(plane.ca_file),
            method=emulator.url,
            api_keys={OLD_KEY: "old key", NEW_KEY: "new key"},
        ) as proxy,
    ):
        made = Place(
            proxy=proxy,
            plane=plane,
            namespace=name,
            kubeconfig=kubeconfigs.write(
                mine / "kubeconfig", url=proxy.kube_url, ca_file=plane.ca_file, token=token
            ),
            emulator=RunningEmulator(proxy.method_url, control),
            control=control,
            directory=mine,
        )
        try:
            yield made
        finally:
            for operator in made.operators:
                await asyncio.to_thread(operator.stop)
        await made.check_leaks(*made.values)
