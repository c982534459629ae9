"""The contract's fixtures: each test runs against the emulator, enveloped and bare, and where pytest was
asked for `-m live`, against the real API named by the environment; never in a plain run.
"""  # noqa: D205 - the first sentence needs two lines

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final

import httpx
import pytest
import pytest_asyncio

from method_emulator.testing import running_emulator
from tests.contract.target import MethodApi, RefusedTargetError, Target, headers, live_target, sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_OBSERVED: Final = pytest.StashKey[dict[tuple[str, str], str]]()
_EMULATOR_KEY: Final = "sk_contract"


def _asked_for_live(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr").strip() == "live")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a live run that the environment does not allow, before anything is sent.

    Raises pytest.UsageError.
    """
    config.stash[_OBSERVED] = {}
    if _asked_for_live(config):
        try:
            live_target(os.environ)
        except RefusedTargetError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the targets of a test that takes `method_api`."""
    if "method_api" not in metafunc.fixturenames:
        return
    targets: list[object] = ["emulator-envelope", "emulator-bare"]
    if _asked_for_live(metafunc.config):
        targets.append(pytest.param("live", marks=pytest.mark.live))
    metafunc.parametrize("target_name", targets)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the API does where Method documents nothing; the emulator's answers only with -v."""
    observed = config.stash[_OBSERVED]
    if config.get_verbosity() < 1:
        observed = {(fact, target): seen for (fact, target), seen in observed.items() if target == "live"}
    if observed:
        terminalreporter.section("undocumented, observed")
    for (fact, target), seen in sorted(observed.items()):
        terminalreporter.write_line(f"{fact} [{target}]: {seen}")


@pytest.fixture(scope="session")
def run_id() -> str:
    """Name this run in the metadata of what it creates."""
    return uuid.uuid4().hex


@pytest.fixture(scope="session")
def live(run_id: str) -> Iterator[Target]:
    """Give the real API, and leave nothing there, whatever happened."""
    target = live_target(os.environ)
    try:
        yield target
    finally:
        sweep(target, run_id)


@pytest_asyncio.fixture
async def method_api(
    target_name: str, run_id: str, request: pytest.FixtureRequest
) -> AsyncIterator[MethodApi]:
    """Give the API under test; what a test created is deleted after it."""
    observed = request.config.stash[_OBSERVED]

    def report(fact: str, seen: str) -> None:
        observed[fact, target_name] = seen

    if target_name == "live":
        target = request.getfixturevalue("live")
        async with _client(target) as client:
            api = MethodApi(target, client, run=run_id, report=report)
            try:
                yield api
            finally:
                await api.clean_up()
        return
    envelope = target_name == "emulator-envelope"
    async with running_emulator(envelope=envelope, api_keys={_EMULATOR_KEY: "contract"}) as emulator:
        target = Target(emulator.url, _EMULATOR_KEY)
        async with _client(target) as client:
            api = MethodApi(target, client, run=run_id, report=report)
            try:
                yield api
            finally:
                await api.clean_up()
                assert [s["id"] for s in await emulator.control.secrets() if s["status"] == "active"] == []


def _client(target: Target) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=target.base_url, headers=headers(target.api_key), timeout=30)
