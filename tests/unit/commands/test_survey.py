"""The survey: every sentence for what it could not judge, and what is asked once more before a deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest

from methodsecret_operator.commands.places import Unjudged
from methodsecret_operator.commands.survey import FRESH
from methodsecret_operator.core import identity
from methodsecret_operator.errors import KubeForbidden
from tests.unit import gen
from tests.unit.commands.scene import CONFIGMAPS, METHODSECRETS, Scene
from tests.unit.runtime.kube_server import SERVED

NONE: Final[Mapping[str, Any]] = MappingProxyType({})
OWN: Final = "the operator's own API key"
THEIRS: Final = f"Secret {gen.NAMESPACE}/method, key token"
OTHERS_KEY: Final = gen.revision(key=identity.DigestKey(b"another digest key for tests"))
MARS: Final = gen.own_account() | {"environment": "mars"}
X: Final = "sec_x"


class Row(NamedTuple):
    """What is there, and all that is not judged: what, why, and whether it should have been.

    `key_file` is what API_KEY_FILE holds; `account` is an object's, `key` the text in the Secret that it
    names; `fault` is met by each list at Method; `secret` is one that is there; `closed` are paths that the
    kube-apiserver refuses.
    """

    reason: str
    unjudged: list[tuple[str, str, bool]]
    flags: Mapping[str, str] = NONE
    key_file: str | None = None
    account: Mapping[str, Any] | None = None
    key: str | None = None
    fault: Mapping[str, Any] = NONE
    secret: Mapping[str, str] | None = None
    closed: tuple[str, ...] = ()


ROWS = [
    Row("all can be looked at", [], account=gen.own_account(), key="sk_theirs", secret={}),
    Row(
        "each object has an account of its own",
        [(OWN, "none is set: API_KEY_FILE, API_KEY", False)],
        flags={"api_key": ""},
    ),
    Row(
        "two words are no key",
        [(OWN, "what is there cannot be an API key", True)],
        flags={"api_key": ""},
        key_file="a b",
    ),
    Row("no Secret", [(THEIRS, "no API key can be read there", True)], account=gen.own_account()),
    Row("empty", [(THEIRS, "no API key can be read there", True)], account=gen.own_account(), key=" "),
    Row(
        "two words are no key there either",
        [(THEIRS, "what is there cannot be an API key", True)],
        account=gen.own_account(),
        key="a b",
    ),
    Row(
        "of another version's CRD",
        [
            (
                f"the account of MethodSecret {gen.NAMESPACE}/{gen.NAME}",
                "it does not fit this operator's schema",
                True,
            )
        ],
        account=MARS,
        key="sk_theirs",
    ),
    Row(
        "an API key that may not list",
        [(OWN, "it may not list secrets (403)", True)],
        fault={"kind": "status", "status": 403},
    ),
    Row(
        "an API key that is revoked",
        [(OWN, "list: HTTP 401", True)],
        fault={"kind": "status", "status": 401},
    ),
    Row("Method is away", [(OWN, "list: HTTP 500", True)], fault={"kind": "status"}),
    Row(
        "an entry without an id",
        [(f"{OWN}: secrets, 1", "they could not be understood", True)],
        fault={"kind": "no_id"},
        secret={},
    ),
    Row(
        "a namespace that may not be listed",
        [("namespace b", "list methodsecrets in namespace b: HTTP 403 Made", True)],
        flags={"namespaces": "a,b"},
        closed=(f"{SERVED}/namespaces/b/methodsecrets",),
    ),
    Row(
        "ConfigMaps that may not be listed",
        [
            (
                "whether a ConfigMap without its object still shows an id",
                "list configmaps in all namespaces: HTTP 403 Made",
                False,
            )
        ],
        closed=(CONFIGMAPS,),
    ),
    Row(
        "another cluster may go by our name",
        [("secrets, 1", "made with another digest key", False)],
        secret={"revision": OTHERS_KEY},
    ),
    Row(
        "of a namespace that is not ours to read",
        [("secrets, 1", "of a namespace that is not looked at", False)],
        flags={"namespaces": "a,b"},
        secret={},
    ),
    Row(
        "a status that the API has added since",
        [("secrets, 1", "of an unknown status, age or owner", False)],
        secret={"status": "frozen"},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
async def test_what_is_not_judged_is_said_once_and_with_its_reason(
    scene: Scene, row: Row, tmp_path: Path
) -> None:
    flags = dict(row.flags)
    if row.key_file is not None:
        (tmp_path / "key").write_text(row.key_file, encoding="utf-8")
        flags["api_key_file"] = str(tmp_path / "key")
    for namespace in ("a", "b"):
        scene.server.put_list(namespace=namespace)
        scene.put_configmaps(namespace=namespace)
    if row.account is not None:
        scene.server.put_list(gen.raw_object(spec=gen.raw_spec(account=row.account)))
    if row.key is not None:
        scene.server.put_secret("method", {"token": row.key.encode()})
    if row.secret is not None:
        await scene.seed(**row.secret)
    if row.fault:
        await scene.emulator.control.add_fault("list", count=None, **row.fault)
    for path in row.closed:
        scene.server.faults[f"GET {path}"] = [403] * 2  # objects are read twice
    survey = await scene.surveyor(**flags).survey()
    assert survey.unjudged == [
        Unjudged(what=what, why=why, failed=fails) for what, why, fails in row.unjudged
    ]
    assert survey.orphans == {}


async def test_an_account_that_comes_while_the_others_are_listed_is_not_judged(scene: Scene) -> None:
    held = await scene.emulator.control.add_fault("list", "hold")
    looking = asyncio.create_task(scene.surveyor().survey())
    await scene.emulator.control.wait_held(held)
    scene.server.put_secret("method", {"token": b"sk_theirs"})
    scene.server.put_list(gen.raw_object(spec=gen.raw_spec(account=gen.own_account())))
    await scene.emulator.control.release(held)
    assert (await looking).unjudged == [Unjudged(what=THEIRS, why="it came while the others were listed")]


# --- right before a deletion ------------------------------------------------------------------------


FORMER: Final = {"id": "sec_y", "superseded": [{"id": X, "supersededAt": gen.EARLIER}]}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"spec": gen.raw_spec(adopt={"id": X})}, "an object that wants it"),
        ({"status": gen.raw_ready_status(id=X)}, "one that goes by it"),
        ({"status": FORMER}, "one that went by it before"),
        ({"status": {"published": [{"configMap": "ids", "id": X}]}}, "one that shows it"),
        ({"status": {"id": X, "surprise": 1}, "spec": {"surprise": 1}}, "one of another version's CRD"),
    ],
)
async def test_every_place_where_an_object_names_an_id_counts(
    scene: Scene, changed: dict[str, Any], reason: str
) -> None:
    surveyor = scene.surveyor()
    await surveyor.survey()
    scene.server.put_list(gen.raw_object(**changed))
    assert await surveyor.named_by_somebody(X), reason
    assert not await surveyor.named_by_somebody("sec_another"), reason


async def test_what_a_configmap_shows_counts(scene: Scene) -> None:
    surveyor = scene.surveyor()
    scene.put_configmaps(X)
    assert await surveyor.named_by_somebody(X)


@pytest.mark.parametrize(
    ("since", "seen", "reason"),
    [
        (FRESH - timedelta(milliseconds=1), False, "it serves for one deletion after the other"),
        (FRESH, True, "it is too old"),
        (timedelta(milliseconds=-1), True, "the clock was put back: nobody knows how old it is"),
    ],
)
async def test_a_list_serves_for_a_moment(scene: Scene, since: timedelta, *, seen: bool, reason: str) -> None:
    surveyor = scene.surveyor()
    assert not await surveyor.named_by_somebody(X)
    scene.server.put_list(gen.raw_object(status=FORMER))
    scene.now += since
    assert await surveyor.named_by_somebody(X) is seen, reason


@pytest.mark.parametrize(
    "changed", [{"spec": gen.raw_spec(adopt={"id": X})}, {"status": gen.raw_ready_status(id=X)}]
)
async def test_what_gets_an_id_in_that_moment_is_asked_about(scene: Scene, changed: dict[str, Any]) -> None:
    surveyor = scene.surveyor()
    assert not await surveyor.named_by_somebody(X)
    scene.server.put_list(gen.raw_object(**changed))
    assert await surveyor.named_by_somebody(X)


async def test_only_namespaces_of_the_survey_are_asked_and_each_must_answer(scene: Scene) -> None:
    for namespace in ("a", "b", "c"):
        scene.server.put_list(namespace=namespace)
        scene.put_configmaps(namespace=namespace)
    scene.server.faults[f"GET {SERVED}/namespaces/c/methodsecrets"] = [403] * 9
    surveyor = scene.surveyor(namespaces="a,b,c")
    await surveyor.survey()
    assert not await surveyor.named_by_somebody(X)
    assert f"GET {METHODSECRETS}" not in scene.server.seen
    scene.now += FRESH
    scene.server.faults[f"GET {SERVED}/namespaces/b/methodsecrets"] = [403]
    with pytest.raises(KubeForbidden):
        await surveyor.named_by_somebody(X)
    scene.server.put_list(gen.raw_object(namespace="b", status=FORMER), namespace="b")
    assert await surveyor.named_by_somebody(X), "a list that failed is none"
