"""The operator's own API key: from a setting, or from a file that is read again when it changes.

A mounted Secret is swapped in place by the kubelet, so the file is looked at twice a second: a stat costs
microseconds, and a key that was corrected is used at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr

_EVERY: Final = 0.5
_log = structlog.get_logger(__name__)


class DefaultKey:
    """The key as it is now; None where there is none. A missing file is no error: it may come later."""

    def __init__(self, *, api_key: SecretStr | None, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self.value = api_key
        if path is not None:
            self.refresh()
            if self.value is None:
                _log.warning("no API key in the file that API_KEY_FILE names, waiting for it", path=str(path))

    def refresh(self) -> bool:
        """Read the file if it is another one than last time; return whether the key has changed."""
        if self._path is None:
            return False
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return False
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            seen, text = None, ""
            if self._seen is not None:
                _log.warning("api key file cannot be read", path=str(self._path), error=type(error).__name__)
        self._seen = seen
        former, self.value = self.value, SecretStr(text) if text else None
        return self.value != former

    async def watch(self, *, changed: Callable[[], None]) -> None:
        """Look at the file for ever; call `changed` when the key has."""
        while self._path is not None:
            await asyncio.sleep(_EVERY)
            if self.refresh():
                _log.info("api key changed", path=str(self._path), present=self.value is not None)
                changed()
