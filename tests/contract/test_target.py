"""The live run is refused wherever it could do harm, and its clean-up finds what an answer was lost for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from method_emulator.process import EmulatorProcess
from tests.contract.target import RUN_KEY, RefusedTargetError, Target, live_target, sweep

if TYPE_CHECKING:
    import pathlib


@pytest.mark.parametrize(
    ("environment", "said", "reason"),
    [
        (
            {"METHOD_ENVIRONMENT": "production", "METHOD_API_KEY": "sk_x"},
            "never",
            "production is refused by name",
        ),
        ({"METHOD_API_KEY": "sk_x"}, "METHOD_ENVIRONMENT", "no environment is not a default environment"),
        (
            {"METHOD_ENVIRONMENT": "Production ", "METHOD_API_KEY": "sk_x"},
            "sandbox or dev",
            "only two are allowed",
        ),
        ({"METHOD_ENVIRONMENT": "sandbox"}, "METHOD_API_KEY", "the key is missing"),
    ],
)
def test_refusals(environment: dict[str, str], said: str, reason: str) -> None:
    with pytest.raises(RefusedTargetError, match=said) as caught:
        live_target(environment)
    assert "sk_x" not in str(caught.value), reason


@pytest.mark.parametrize("name", ["sandbox", "dev"])
def test_the_two_environments(name: str) -> None:
    target = live_target({"METHOD_ENVIRONMENT": name, "METHOD_API_KEY": "sk_x"})
    assert target == Target(f"https://{name}.methodfi.com", "sk_x", live=True)
    assert "sk_x" not in repr(target)


def test_the_sweep_takes_this_run_and_leaves_the_rest(tmp_path: pathlib.Path) -> None:
    import asyncio  # noqa: PLC0415 - for this test's control calls only

    from method_emulator.control_client import EmulatorControl  # noqa: PLC0415 - same

    with EmulatorProcess(api_keys={"sk_s": "s"}, log_file=tmp_path / "log") as emulator:

        async def prepare() -> tuple[list[str], list[str]]:
            async with EmulatorControl(emulator.url) as control:
                ours = await control.seed(150, metadata={RUN_KEY: "run-1"})
                others = await control.seed(2, metadata={RUN_KEY: "run-2"})
                others += await control.seed(120)
                return ours, others

        async def active() -> list[str]:
            async with EmulatorControl(emulator.url) as control:
                return [secret["id"] for secret in await control.secrets() if secret["status"] == "active"]

        ours, others = asyncio.run(prepare())
        assert sorted(ours) == sorted(sweep(Target(emulator.url, "sk_s"), "run-1"))
        assert others == asyncio.run(active())
