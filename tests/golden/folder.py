"""A version's folder: its files read, written, and put into a cluster and an emulator.

A file is what there is of one object, as its version left it. Only what servers give out stands under a
name: `<uid methodsecrets/acme>`, `<resourceVersion secrets/acme>`. Nothing here asks the operator's code.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.faults.place import OLD_KEY, Place
from tests.golden.states import OUTSIDE, SETTINGS
from tests.integration.world import OBJECTS, Object

HERE: Final = Path(__file__).parent
DIGEST_KEY: Final = base64.b64encode(b"the digest key of golden folders").decode()
SYSTEM: Final = "methodsecret-system"
_NAMED: Final = re.compile(r"<(?:uid|resourceVersion) [^<>]+>")


@dataclass(frozen=True)
class Golden:
    """One file; `object` is the MethodSecret with its status."""

    outside: bool
    object: Object
    secrets: list[Object]
    config_maps: list[Object]
    at_method: list[Object]

    @property
    def name(self) -> str:
        """The object's name, and the file's."""
        return str(self.object["metadata"]["name"])

    @property
    def values(self) -> list[str]:
        """What its Secrets hold: values to store and API keys."""
        held = [text for body in self.secrets for text in body["data"].values()]
        return [value for text in held if (value := base64.b64decode(text).decode())]

    @property
    def reason(self) -> str:
        """Why the object is Ready, or is not."""
        return next(str(c["reason"]) for c in self.object["status"]["conditions"] if c["type"] == "Ready")


def versions() -> list[str]:
    """Return the versions that have a folder."""
    return sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name[0].isdigit())


def namespace(version: str) -> str:
    """Return the namespace that a version's objects are in: it is part of their revisions."""
    return f"golden-{version.replace('.', '-')}"


def read(version: str) -> list[Golden]:
    """Return what a version has left behind."""
    files = sorted((HERE / version).glob("*.yaml"))
    return [Golden(**yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]


def settings(place: Place) -> dict[str, Any]:
    """Return the operator's settings."""
    return {
        **SETTINGS,
        "NAMESPACES": f"{place.namespace},{place.namespace}{OUTSIDE}",
        "DEFAULT_ACCOUNT_NAMESPACES": place.namespace,
    }


def outside(place: Place) -> Place:
    """Return the same place, seen from the other namespace."""
    other = copy.copy(place)
    other.namespace += OUTSIDE
    return other


def prepare(place: Place) -> None:
    """Make the second namespace and the digest key."""
    post(place, "/api/v1/namespaces", {"metadata": {"name": place.namespace + OUTSIDE}})
    place.namespaces.append(place.namespace + OUTSIDE)
    key = {"metadata": {"name": f"digest-key-{place.namespace}"}, "data": {"digest-key": DIGEST_KEY}}
    post(place, f"/api/v1/namespaces/{SYSTEM}/secrets", key)


def post(place: Place, path: str, body: Object) -> None:
    """Create an object; it may be there already."""
    answer = place.plane.http.post(path, json=body)
    if answer.status_code != 409:
        answer.raise_for_status()


async def load(place: Place, goldens: list[Golden]) -> None:
    """Bring about what the files say. The operator must not run yet."""
    prepare(place)
    for golden in goldens:
        at = outside(place) if golden.outside else place
        place.values += golden.values
        known: dict[str, str] = {}
        for kind, bodies in (("secrets", golden.secrets), ("methodsecrets", [golden.object])):
            for body in bodies:
                _remember(known, kind, at.apply(kind, {k: v for k, v in body.items() if k != "status"}))
        for body in golden.config_maps:
            manager, wanted = body["manager"], _filled(body["manifest"], known)
            answer = at.plane.http.patch(
                at.path("configmaps", wanted["metadata"]["name"]),
                params={"fieldManager": manager, "force": "true"},
                headers={"Content-Type": "application/apply-patch+yaml"},
                content=json.dumps(wanted),
            )
            _remember(known, "configmaps", answer.raise_for_status().json())
        at.edit_status(golden.name, **_filled(golden.object["status"], known))
        for entry in golden.at_method:
            await place.control.seed(
                metadata=_filled(entry["metadata"], known),
                status=entry["status"],
                secret_id=entry["id"],
                created_at=entry["created_at"],
                api_key=OLD_KEY,
            )


def statuses(place: Place) -> dict[str, tuple[str, Any]]:
    """Return each object's resourceVersion and status, by name."""
    return {
        obj["metadata"]["name"]: (obj["metadata"]["resourceVersion"], obj.get("status"))
        for at in (place, outside(place))
        for obj in at.list()
    }


def _remember(known: dict[str, str], kind: str, obj: Mapping[str, Any]) -> None:
    meta = obj["metadata"]
    for what in ("uid", "resourceVersion"):
        known[f"<{what} {kind}/{meta['name']}>"] = meta[what]


def _filled(value: Any, known: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(_NAMED.sub(lambda found: known[found[0]], json.dumps(value, ensure_ascii=False)))


def clear(place: Place) -> None:
    """Take everything away again, so that the namespaces can be filled anew."""
    for at in (place, outside(place)):
        for obj in at.list():
            if obj["metadata"].get("finalizers"):
                at.plane.http.patch(
                    f"{OBJECTS}/namespaces/{at.namespace}/methodsecrets/{obj['metadata']['name']}",
                    headers={"Content-Type": "application/merge-patch+json"},
                    content=json.dumps({"metadata": {"finalizers": None}}),
                ).raise_for_status()
        for kind in ("methodsecrets", "secrets", "configmaps"):
            at.plane.http.delete(at.path(kind)).raise_for_status()
