"""A server over a real socket that plays the few paths of the kube-apiserver that the runtime asks for.

For answers that a real kube-apiserver gives only when it is in trouble. What depends on how it counts
resourceVersions is tested on the real one (tests/integration).
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from methodsecret_operator.kube.connection import Connection, connect
from tests.unit import gen

SERVED = "/apis/methodfi.com/v1"


class KubeServer:
    """What it holds is in plain fields; `faults` are answered first, one a request, by method and path."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.faults: defaultdict[str, list[int]] = defaultdict(list)
        self.seen: list[str] = []
        self.posted: list[dict[str, Any]] = []
        self.patched: list[dict[str, Any]] = []

    def put_secret(
        self,
        name: str,
        data: Mapping[str, bytes],
        *,
        namespace: str = gen.NAMESPACE,
        version: str = gen.SECRET_VERSION,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Hold a Secret."""
        metadata = {"namespace": namespace, "name": name, "uid": gen.SECRET_UID, "resourceVersion": version}
        self.documents[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = {
            "metadata": metadata | ({"labels": dict(labels)} if labels else {}),
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }

    def put_list(self, *objects: Mapping[str, Any], version: int = 200, namespace: str | None = None) -> None:
        """Hold the list of MethodSecrets of a namespace, or of all."""
        place = "" if namespace is None else f"/namespaces/{namespace}"
        self.documents[f"{SERVED}{place}/methodsecrets"] = {
            "metadata": {"resourceVersion": str(version)},
            "items": list(objects) or None,
        }

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        line = f"{request.method} {request.path}"
        self.seen.append(line)
        if self.faults[line]:
            return web.json_response({"kind": "Status", "reason": "Made"}, status=self.faults[line].pop(0))
        if request.method == "POST":
            return self._post(request.path, await request.json())
        if request.method == "PATCH":
            return self._patch(request.path.removesuffix("/status"), json.loads(await request.read()))
        found = self.documents.get(request.path)
        if found and (selector := request.query.get("fieldSelector")):
            found = found | {"items": [one for one in found["items"] or () if _selected(one, selector)]}
        return web.json_response(
            found or {"kind": "Status", "reason": "NotFound"}, status=200 if found else 404
        )

    def _post(self, path: str, body: dict[str, Any]) -> web.Response:
        place = f"{path}/{body['metadata']['name']}"
        if place in self.documents:
            return web.json_response({"kind": "Status", "reason": "AlreadyExists"}, status=409)
        self.posted.append(body)
        body["metadata"] |= {"uid": gen.SECRET_UID, "resourceVersion": "1"}
        self.documents[place] = body
        return web.json_response(body, status=201)

    def _patch(self, path: str, body: Any) -> web.Response:  # noqa: ANN401 - either kind of patch
        stored = self.documents[path]
        if isinstance(body, list):
            return self._json_patch(stored, body)
        if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        self.patched.append(body)
        version = str(int(stored["metadata"]["resourceVersion"]) + 1)
        stored = _merged(stored, body)
        stored["metadata"]["resourceVersion"] = version
        self.documents[path] = stored
        return web.json_response(stored)

    def _json_patch(self, stored: dict[str, Any], operations: list[dict[str, Any]]) -> web.Response:
        """Apply `test` and `remove`; a test that fails is answered as the real one answers it."""
        for operation in operations:
            *way, last = operation["path"].split("/")[1:]
            holder: Any = stored
            for step in way:
                holder = holder[step]
            place: Any = int(last) if isinstance(holder, list) else last
            there = place < len(holder) if isinstance(holder, list) else place in holder
            if not there or (operation["op"] == "test" and holder[place] != operation["value"]):
                return web.json_response({"kind": "Status", "reason": "Invalid"}, status=422)
            if operation["op"] == "remove":
                del holder[place]
        return web.json_response(stored)


def _selected(document: Mapping[str, Any], selector: str) -> bool:
    """Whether `path=text` selects an object."""
    path, _, wanted = selector.partition("=")
    found: Any = document
    for name in path.split("."):
        found = found.get(name) or {}
    return bool(found == wanted)


def _merged(former: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON merge patch's result (RFC 7386)."""
    result = {name: value for name, value in former.items() if name not in patch}
    for name, value in patch.items():
        if isinstance(value, Mapping):
            result[name] = _merged(former.get(name) or {}, value)
        elif value is not None:
            result[name] = value
    return result


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[KubeServer, Connection]]:
    """Serve on a free port, and connect to it by a kubeconfig in the folder."""
    server = KubeServer()
    async with connected(server.answer, folder) as connection:
        yield server, connection


@asynccontextmanager
async def connected(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], folder: Path
) -> AsyncIterator[Connection]:
    """Serve whatever `answer` says on a free port, and connect to it by a kubeconfig in the folder."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config = {
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
            "users": [{"name": "u", "user": {"token": "made-up"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        async with await connect(kubeconfig=str(path)) as connection:
            yield connection
    finally:
        await runner.cleanup()
