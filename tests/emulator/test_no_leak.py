"""A value sent to the emulator is found nowhere afterwards: answers, control answers, logs, reprs, memory."""

from __future__ import annotations

import base64
import gc
import json
import logging
import urllib.parse
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from method_emulator.app import API, build_app
from method_emulator.process import EmulatorProcess
from method_emulator.settings import DEFAULTS

if TYPE_CHECKING:
    import pathlib

    from method_emulator.testing import RunningEmulator

CANARY = 'canary "vålue" \\ 7f3a9c'
KEY = "sk_canary_key_51c8"


def spellings(text: str) -> list[str]:
    """Return the ways in which a value could hide in a text."""
    raw = text.encode()
    found = [text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    found += [raw.hex(), urllib.parse.quote(text), urllib.parse.quote_plus(text)]
    # Base64 of a longer text holds one of three shifts of this one; the ends depend on the neighbours.
    found += [base64.b64encode(b"\0" * shift + raw).decode()[4:-4] for shift in range(3)]
    return found


def assert_absent(haystack: str, where: str) -> None:
    for text in (CANARY, KEY):
        assert not [spelling for spelling in spellings(text) if spelling in haystack], f"found in {where}"


async def exercise(client: httpx.AsyncClient) -> list[str]:
    """Send the canary in every way that the emulator handles differently; return all answers."""
    key = {"Idempotency-Key": "k-1"}
    bodies: list[dict[str, Any]] = [
        {"json": {"value": CANARY}, "headers": key},
        {"json": {"value": CANARY}, "headers": key},
        {"json": {"value": CANARY, "metadata": "no object"}},
        {"json": {"value": [CANARY]}},
        {"json": {CANARY: CANARY}},
        {"content": json.dumps(CANARY)},
        {"content": '{"value": "' + CANARY},
        {"content": "[" * 100_000 + CANARY},
    ]
    responses = [await client.post("/secrets", **body) for body in bodies]
    responses.append(await client.get("/secrets"))
    responses.append(await client.get("/secrets", headers={"Authorization": f"Bearer {KEY}x"}))
    return [response.text + str(response.headers) for response in responses]


async def test_answers_and_control_answers(
    emulator: RunningEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpcore", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    await emulator.control.change_settings(api_keys={KEY: "team"})
    headers = {"Authorization": f"Bearer {KEY}", "Method-Version": "2026-03-30"}
    async with httpx.AsyncClient(base_url=emulator.url, headers=headers) as client:
        for answer in await exercise(client):
            assert_absent(answer, "an answer")
        asked = await client.post("/_emulator/has-value", json={"value": CANARY})
        assert len(asked.json()["ids"]) == 1
        for path in ("secrets", "requests", "counters", "settings", "faults"):
            assert_absent((await client.get(f"/_emulator/{path}")).text, path)
    assert "operation=create" in caplog.text, "the log was looked at"
    assert_absent(caplog.text, "the log")


async def test_logs_of_a_process_at_its_chattiest(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    headers = {"Authorization": f"Bearer {KEY}", "Method-Version": "2026-03-30"}
    with EmulatorProcess(log_file=log, log_level="debug", api_keys={KEY: "team"}) as emulator:
        async with httpx.AsyncClient(base_url=emulator.url, headers=headers) as client:
            await exercise(client)
    assert "operation=create" in log.read_text()
    assert_absent(log.read_text(), "the log")


async def test_an_inner_failure_tells_only_its_type(
    emulator: RunningEmulator, client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("method_emulator.store.SecretStore.create", broken)
    response = await client.post(f"{emulator.url}/secrets", json={"value": CANARY})
    assert response.status_code == 500
    assert "RuntimeError" in caplog.text
    assert_absent(response.text + caplog.text, "an inner failure")


async def test_nothing_in_memory_holds_the_value() -> None:
    marker = "memory-canary-0b77e1"
    api = build_app(DEFAULTS)[API]
    from method_emulator.api import Call, parse_body  # noqa: PLC0415 - next to its only use
    from method_emulator.faults import Operation  # noqa: PLC0415 - same

    raw = json.dumps({"value": marker}).encode()
    call = Call(
        operation=Operation.CREATE, account="a", request_id="r", body=parse_body(raw), raw_body=raw,
        idempotency_key="k",
    )  # fmt: skip
    assert marker not in repr(call)
    assert (await api.once(call)).status == 200
    assert marker not in repr(list(api.store.secrets()))
    del call, raw
    gc.collect()
    reached, todo = set[int](), [api]
    while todo:
        found = todo.pop()
        if id(found) in reached or isinstance(found, type):
            continue
        reached.add(id(found))
        if isinstance(found, str | bytes):
            text = found if isinstance(found, str) else found.decode("latin-1")
            assert marker not in text
        elif type(found).__module__.startswith("method_emulator") or isinstance(
            found, dict | list | tuple | set
        ):
            todo += gc.get_referents(found)
    assert len(reached) > 50, "the walk went through the stores"
