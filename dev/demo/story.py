"""What the demo shows, in order: each step is a few kubectl commands and one sentence on what to see.

Every wait is a `kubectl wait` for something real; the last step counts instead of claiming.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final

import yaml

from dev.demo.stage import API_KEY, NAMESPACE, ROOT, SERVICE_ACCOUNT
from method_emulator.control_client import EmulatorControl

if TYPE_CHECKING:
    from dev.demo.narrator import Narrator
    from dev.demo.stage import Stage

_SAMPLES: Final = "deploy/samples"
_BASE: Final = "deploy/kustomize/base"
_ACCOUNT: Final = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
_GET: Final = "kubectl get methodsecrets"
_REASON: Final = '{.status.conditions[?(@.type=="Ready")].reason}'
_MESSAGE: Final = '{.status.conditions[?(@.type=="Ready")].message}'
_WAIT: Final = "kubectl wait --timeout=30s"

# Each file's Secret holds one value that ends at Method, in the MethodSecret on the right. The value of
# the first is replaced on the way by that of the second.
_STORED: Final = {
    "ready.yaml": "acme-api-key",
    "ready-new-value.yaml": "acme-api-key",
    "source-arrives-later-secret.yaml": "billing-token",
    "bad-value-fixed.yaml": "ledger-password",
}


class ProofError(Exception):
    """The end of the demo is not what was promised; the text says in what."""


class Story:
    """The demo's steps, on a stage, told by a narrator."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage = stage
        self._narrator = narrator

    def tell(self, *, controller_manager: bool) -> None:
        """Tell it all; raises KubectlError, OperatorProcessError or ProofError where it goes wrong."""
        narrator = self._narrator
        with narrator.step("A cluster, an emulator of the Method API, and the operator"):
            self._set_up(controller_manager=controller_manager)
        with narrator.step("A MethodSecret becomes Ready, with its id at Method"):
            self._ready()
        with narrator.step("A MethodSecret is there before its Secret"):
            self._source_arrives_later()
        with narrator.step("A value that Method cannot store"):
            self._bad_value()
        with narrator.step("The value changes"):
            self._new_value()
        with narrator.step("Exactly once, and nothing leaked: counted"):
            self._count()

    def _set_up(self, *, controller_manager: bool) -> None:
        stage, narrator = self._stage, self._narrator
        stage.start_control_plane(controller_manager=controller_manager)
        narrator.output(f"etcd and kube-apiserver {stage.plane.version or ''} at {stage.plane.url}")
        stage.start_emulator()
        narrator.output(f"Method API, emulated, at {stage.emulator.url}")
        self._run("kubectl apply -f crds/methodsecrets.methodfi.com.yaml")
        self._run(f"{_WAIT} --for=condition=Established crd/methodsecrets.methodfi.com")
        self._run(f"kubectl apply -f {_BASE}/namespace.yaml -f {_BASE}/rbac.yaml")
        self._run(f"kubectl auth can-i delete secrets --as={_ACCOUNT}", check=False)
        stage.start_operator()
        narrator.output(f"operator running: process {stage.operator.pid}, as {_ACCOUNT}")
        narrator.see(
            "the operator is a process of its own, with its ServiceAccount's token and the RBAC we ship."
        )

    def _ready(self) -> None:
        self._run(f"kubectl apply -f {_SAMPLES}/ready.yaml")
        self._run(f"{_WAIT} --for=condition=Ready methodsecret/acme-api-key")
        self._run(_GET)
        self._narrator.see("the value is stored at Method; its id is in status.id and in the column ID.")

    def _source_arrives_later(self) -> None:
        self._run(f"kubectl apply -f {_SAMPLES}/source-arrives-later.yaml")
        self._run(f"{_WAIT} --for=jsonpath='{_REASON}'=SourceNotFound methodsecret/billing-token")
        self._run(_GET)
        self._narrator.see("it waits, and says for what.")
        self._run(f"kubectl apply -f {_SAMPLES}/source-arrives-later-secret.yaml")
        self._run(f"{_WAIT} --for=condition=Ready methodsecret/billing-token")
        self._run(_GET)
        self._narrator.see("the Secret's arrival woke it: no polling, no waiting for a resync.")

    def _bad_value(self) -> None:
        self._run(f"kubectl apply -f {_SAMPLES}/bad-value.yaml")
        self._run(f"{_WAIT} --for=condition=Stalled methodsecret/ledger-password")
        self._run(_GET)
        self._run(f"kubectl get methodsecret ledger-password -o jsonpath='{_MESSAGE}'")
        self._narrator.see("Stalled: a person must act, and is told why. Nothing is sent to Method.")
        self._run(f"kubectl apply -f {_SAMPLES}/bad-value-fixed.yaml")
        self._run(f"{_WAIT} --for=condition=Ready methodsecret/ledger-password")
        self._run(_GET)
        self._narrator.see("mended: the new value is picked up by itself.")

    def _new_value(self) -> None:
        former = self._id("acme-api-key")
        self._run(f"kubectl apply -f {_SAMPLES}/ready-new-value.yaml")
        self._run(f"{_WAIT} --for=jsonpath='{{.status.superseded[0].id}}'={former} methodsecret/acme-api-key")
        self._run(f"{_WAIT} --for=condition=Ready methodsecret/acme-api-key")
        self._run(_GET)
        self._narrator.see(
            f"Method has no update, so it is a new secret with a new id; {former} is in status.superseded."
        )

    def _count(self) -> None:
        self._narrator.output(asyncio.run(self._secrets_at_method()))
        self._narrator.output(self._no_value_in_sight())
        self._narrator.see(
            "one POST and one secret at Method for each value; no value outside its Secret and Method."
        )

    async def _secrets_at_method(self) -> str:
        """Compare what the emulator holds with the status of each object; return it in a line each."""
        values = {file: _value(file) for file in _STORED}
        async with EmulatorControl(self._stage.emulator.url) as control:
            posts = await control.count("create")
            secrets = await control.secrets()
            holders = {file: await control.has_value(value) for file, value in values.items()}
        if (posts, len(secrets)) != (len(_STORED), len(_STORED)):
            raise ProofError(f"Method got {posts} POSTs and holds {len(secrets)} secrets, not {len(_STORED)}")
        for file, ids in holders.items():
            name = _STORED[file]
            current = self._id(name)
            # The first value was replaced: its secret is kept, but no longer the object's own.
            if len(ids) != 1 or (ids == [current]) == (file == "ready.yaml"):
                raise ProofError(f"the value of {file} is at Method as {ids}; the id of {name} is {current}")
        return (
            f"POSTs to Method, and secrets there:        {posts}, {len(secrets)}\n"
            f"different values in the applied Secrets:   {len(set(values.values()))}, each under its own id"
        )

    def _no_value_in_sight(self) -> str:
        """Count the values, as text and in base64, in the log, the objects and the Events."""
        log = self._stage.operator_log()
        objects = self._stage.kubectl("kubectl get methodsecrets,events --all-namespaces -o yaml")
        if not log or "acme-api-key" not in objects:
            raise ProofError("there is nothing to look for the values in")
        needles = {API_KEY, *(_value(file) for file in _STORED)}
        needles |= {base64.b64encode(needle.encode()).decode() for needle in needles}
        found = {
            where: sum(text.count(needle) for needle in needles)
            for where, text in (("log", log), ("objects", objects))
        }
        if any(found.values()):
            raise ProofError(f"values or API keys leaked: {found}")
        return (
            f"values in the operator's log, {len(log.splitlines()):>3} lines:   {found['log']}\n"
            f"values in all MethodSecrets and Events:    {found['objects']}"
        )

    def _id(self, name: str) -> str:
        return self._stage.kubectl(f"kubectl get methodsecret {name} -o jsonpath='{{.status.id}}'").strip()

    def _run(self, command: str, *, check: bool = True) -> None:
        """Show a command, run it, and show what it printed."""
        self._narrator.command(command)
        self._narrator.output(self._stage.kubectl(command, check=check))


def _value(file: str) -> str:
    """Return the one value of the Secret in a sample."""
    documents = yaml.safe_load_all((ROOT / _SAMPLES / file).read_text(encoding="utf-8"))
    (value,) = (
        value
        for document in documents
        if document["kind"] == "Secret"
        for value in document["stringData"].values()
    )
    return str(value)
