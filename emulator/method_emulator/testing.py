"""For tests in the same process: `async with running_emulator(...) as emulator`. No subprocess."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from method_emulator.control_client import EmulatorControl
from method_emulator.server import serve
from method_emulator.settings import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """A served emulator: where it listens, and its control client."""

    url: str
    control: EmulatorControl


@contextlib.asynccontextmanager
async def running_emulator(**settings: object) -> AsyncIterator[RunningEmulator]:
    """Serve an emulator on a free port of 127.0.0.1; settings as in `Settings`.

    Raises SettingsError.
    """
    async with serve(DEFAULTS.changed(settings)) as url, EmulatorControl(url) as control:
        yield RunningEmulator(url, control)
