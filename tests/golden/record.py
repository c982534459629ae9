"""Records this version's folder: `make golden`. pytest does not collect it by itself.

The operator of today brings every state about; what servers gave out is replaced by names and fixed ids and
times, so that a second run writes the same.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
import shutil
from typing import Any, Final

import yaml

from dev.controlplane import ControlPlane
from methodsecret_operator import __version__
from tests.faults.place import Place, place, token_of
from tests.golden import folder
from tests.golden.states import API_KEY, STATES, State
from tests.integration.world import Object, World, condition

_TIME: Final = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_ID: Final = re.compile(r"\bsec_[A-Za-z0-9]{13}\b")
_KEPT: Final = ("name", "labels", "annotations", "finalizers", "ownerReferences")


async def test_record(
    control_plane: ControlPlane, operator_kubeconfig: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = folder.HERE / __version__
    name = folder.namespace(__version__)
    token = token_of(operator_kubeconfig)
    async with place(plane=control_plane, token=token, directory=tmp_path, name=name) as at:
        folder.prepare(at)
        outside = folder.outside(at)
        adopt = {state.name: await _seed(state, at) for state in STATES if state.at_method is not None}
        for environment in ("sandbox", "production"):
            states = [state for state in STATES if state.first_environment == environment]
            operator = await at.start_operator(ENVIRONMENT=environment, **folder.settings(at))
            for state in states:
                await _bring_about(state, outside if state.outside else at, adopt.get(state.name))
            if environment == "production":
                for state in STATES:
                    wanted = "True" if state.ready.ready else "False"
                    world = outside if state.outside else at
                    await world.until(condition("Ready", wanted, state.ready), state.name)
            await asyncio.to_thread(operator.stop)
        at_method = await at.control.secrets()
        files = {s.name: _text(s, outside if s.outside else at, at_method) for s in STATES}
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for file, text in files.items():
        (target / f"{file}.yaml").write_text(text, encoding="utf-8")


async def _seed(state: State, at: World) -> str | None:
    """Put the secret at Method before the operator scans it; return its id if it is one to adopt."""
    metadata = {key: text.format(namespace=at.namespace) for key, text in (state.at_method or {}).items()}
    (secret_id,) = await at.control.seed(metadata=metadata or None, api_key=API_KEY)
    return None if metadata else secret_id


async def _bring_about(state: State, at: Place, adopt: str | None) -> None:
    spec = dict(state.spec) | ({} if adopt is None else {"adopt": {"id": adopt}})
    if state.api_key is not None:
        at.secret(f"{state.name}-key", **{"api-key": state.api_key})
    if state.config_map is not None:
        at.apply(
            "configmaps",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": state.config_map},
                "data": {"id": "x"},
            },
        )
    if state.value is not None:
        value = f"{state.value} of {state.name}" if state.value else ""
        at.values += [value] if value else []
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": state.name, "labels": dict(state.labels)},
            "stringData": {"value": value},
        }
        at.apply("secrets", body)
    at.method_secret(state.name, source=state.name, **spec)
    if state.change is not None or state.first_environment != "production":
        await at.until(condition("Ready", "True"), state.name)
    if state.change is not None:
        await state.change(at, state.name)


def _text(state: State, at: World, at_method: list[Object]) -> str:
    """Return the file's text."""
    obj = at.get(state.name)
    assert obj["metadata"]["generation"] == 1, "a loaded object's is 1"
    secrets = [body for body in at.list("secrets") if body["metadata"]["name"] in _secrets(obj)]
    published = obj["spec"].get("publish", {}).get("configMap", {}).get("name")
    maps = [body for body in at.list("configmaps") if body["metadata"]["name"] == published]
    said = json.dumps(obj)
    owner = f"golden/{at.namespace}/{state.name}"
    held = [s for s in at_method if s["id"] in said or (s["metadata"] or {}).get("k8s_owner") == owner]
    names = {
        body["metadata"][what]: f"<{what} {kind}/{body['metadata']['name']}>"
        for kind, bodies in (("methodsecrets", [obj]), ("secrets", secrets), ("configmaps", maps))
        for body in bodies
        for what in ("uid", "resourceVersion")
    }
    document = {
        "outside": state.outside,
        "object": {
            **_bare(obj, obj["kind"], obj["apiVersion"]),
            "spec": obj["spec"],
            "status": obj["status"],
        },
        "secrets": [{**_bare(body, "Secret"), "data": body.get("data", {})} for body in secrets],
        "config_maps": [
            {
                "manager": body["metadata"]["managedFields"][0]["manager"],
                "manifest": {**_bare(body, "ConfigMap"), "data": body["data"]},
            }
            for body in maps
        ],
        "at_method": [
            {key: secret[key] for key in ("id", "metadata", "status", "created_at", "updated_at")}
            for secret in held
        ],
    }
    text = yaml.safe_dump(
        _named(document, names), sort_keys=False, width=110, allow_unicode=True, default_flow_style=False
    )
    ids = list(dict.fromkeys(_ID.findall(text)))
    known = {secret["id"] for secret in at_method}
    stem = "".join(word[:3] for word in state.name.split("-")).ljust(12, "0")[:12]
    for number, secret_id in enumerate([found for found in ids if found in known], 1):
        text = text.replace(secret_id, f"sec_{stem}{number}")
    text = _TIME.sub(lambda found: f"2026-01-01T00:00:00{'.000' if found[1] else ''}Z", text)
    return f"# {state.ready}: {state.why}. Recorded by `make golden`; never edited.\n{text}"


def _secrets(obj: Object) -> set[str]:
    account = obj["spec"].get("account", {})
    used = [obj["spec"]["valueFrom"]["secretKeyRef"], account.get("apiKeySecretRef", {})]
    return {str(ref["name"]) for ref in used if ref}


def _bare(body: Object, kind: str, api: str = "v1") -> Object:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {key: body["metadata"][key] for key in _KEPT if key in body["metadata"]},
    }


def _named(value: Any, names: dict[str, str], field: str = "") -> Any:  # noqa: ANN401 - any JSON
    """Put names in place of what the kube-apiserver gave out; a version that is no more becomes "1"."""
    if isinstance(value, dict):
        return {key: _named(item, names, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if field == "resourceVersion":
        return names.get(value, "1")
    return names.get(value, value) if field in ("uid", "k8s_uid") else value
