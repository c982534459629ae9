"""A client of the control endpoint, for tests and demos; it calls and parses, and decides nothing.

Answers are the JSON objects of the endpoint (see emulator/README.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class EmulatorControlError(Exception):
    """The emulator refused a control request; the text is the emulator's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class EmulatorControl:
    """The control endpoint of the emulator at `url`; use it as an async context manager, or `close` it."""

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/") + "/_emulator"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- faults --------------------------------------------------------------------------------

    async def add_fault(
        self,
        operation: str,
        kind: str,
        *,
        count: int | None = 1,
        **spec: Any,  # noqa: ANN401 - FaultSpec's fields
    ) -> int:
        """Put a fault in force and return its number; `spec` holds the other fields of FaultSpec."""
        body = {"operation": operation, "kind": kind, "count": count, **spec}
        return int((await self._call("POST", "/faults", json=body))["id"])

    async def fault(self, number: int) -> dict[str, Any]:
        """Return a fault with `seen`, `applied` and `held`."""
        return await self._call("GET", f"/faults/{number}")

    async def faults(self) -> list[dict[str, Any]]:
        """Return every fault in force, used up or not."""
        return list((await self._call("GET", "/faults"))["faults"])

    async def remove_fault(self, number: int) -> None:
        """Remove a fault; what it holds goes on."""
        await self._call("DELETE", f"/faults/{number}")

    async def clear_faults(self) -> None:
        """Remove every fault; what they hold goes on."""
        await self._call("DELETE", "/faults")

    async def wait_held(self, number: int, *, at_least: int = 1, timeout: float = 30.0) -> int:  # noqa: ASYNC109 - the server's
        """Wait until the fault holds so many requests at once; return how many it holds."""
        query = {"at_least": at_least, "timeout": timeout}
        return int((await self._call("GET", f"/faults/{number}/held", params=query))["held"])

    async def release(self, number: int, *, count: int | None = None) -> int:
        """Let the first `count` held requests go on (None: all); return how many."""
        return int((await self._call("POST", f"/faults/{number}/release", json={"count": count}))["released"])

    # --- secrets -------------------------------------------------------------------------------

    async def secrets(
        self, *, account: str | None = None, api_key: str | None = None
    ) -> list[dict[str, Any]]:
        """Return every secret, deleted ones too, oldest first, each with its account."""
        query = _given(account=account, api_key=api_key)
        return list((await self._call("GET", "/secrets", params=query))["secrets"])

    async def seed(
        self,
        count: int = 1,
        *,
        metadata: dict[str, Any] | None = None,
        status: str = "active",
        value: str = "",
        account: str | None = None,
        api_key: str | None = None,
        secret_id: str | None = None,
        created_at: str | None = None,
    ) -> list[str]:
        """Store secrets that nobody created through the API; `{n}` in metadata's texts becomes a number.

        One secret may be given its id, and any its time of creation.
        """
        body = {"count": count, "metadata": metadata, "status": status, "value": value}
        body |= _given(account=account, api_key=api_key, id=secret_id, created_at=created_at)
        return list((await self._call("POST", "/secrets", json=body))["ids"])

    async def change_secret(self, secret_id: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Set `status` or `metadata` behind the clients' backs."""
        return await self._call("PATCH", f"/secrets/{secret_id}", json=changes)

    async def vanish(self, secret_id: str) -> None:
        """Forget a secret without a trace."""
        await self._call("DELETE", f"/secrets/{secret_id}")

    async def vanish_all(self, *, account: str | None = None, api_key: str | None = None) -> int:
        """Forget every secret of the account, or of all; return how many."""
        query = _given(account=account, api_key=api_key)
        return int((await self._call("DELETE", "/secrets", params=query))["vanished"])

    async def has_value(self, value: str) -> list[str]:
        """Return the ids of the secrets that hold exactly this value."""
        return list((await self._call("POST", "/has-value", json={"value": value}))["ids"])

    # --- records, settings ---------------------------------------------------------------------

    async def requests(
        self, *, after: int = 0, operation: str | None = None, owner: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the log: requests numbered above `after`, of an operation, of owners that start so."""
        query = _given(after=after, operation=operation, owner=owner)
        return list((await self._call("GET", "/requests", params=query))["requests"])

    async def wait_for_requests(
        self,
        at_least: int,
        *,
        after: int = 0,
        operation: str | None = None,
        owner: str | None = None,
        timeout: float = 30.0,  # noqa: ASYNC109 - the server's
    ) -> list[dict[str, Any]]:
        """Wait until so many such requests are done, and return the log of them."""
        query = _given(after=after, operation=operation, owner=owner, at_least=at_least, timeout=timeout)
        return list((await self._call("GET", "/requests", params=query))["requests"])

    async def counters(self) -> dict[str, Any]:
        """Return requests, operations (status -> count), replayed, faults, creates, idempotency_keys."""
        return await self._call("GET", "/counters")

    async def count(self, operation: str, status: int | None = None) -> int:
        """Return how many requests of an operation are done, with a status or with any."""
        statuses = (await self.counters())["operations"].get(operation, {})
        return int(sum(statuses.values()) if status is None else statuses.get(str(status), 0))

    async def settings(self) -> dict[str, Any]:
        """Return the settings in force."""
        return await self._call("GET", "/settings")

    async def change_settings(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Change settings from the next request on."""
        return await self._call("PATCH", "/settings", json=changes)

    async def forget_idempotency(self) -> int:
        """Forget every answered Idempotency-Key, as if its time had run out; return how many."""
        return int((await self._call("POST", "/forget-idempotency"))["forgotten"])

    async def reset(self) -> None:
        """Forget everything but the settings."""
        await self._call("POST", "/reset")

    async def _call(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if self._session is None:
            # Waiting is bounded by the emulator, which answers 408.
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=330))
        async with self._session.request(method, self._base + path, json=json, params=params) as response:
            answer = await response.json()
            if not isinstance(answer, dict) or response.status != 200:  # noqa: PLR2004 - the endpoint's one success
                text = answer.get("error") if isinstance(answer, dict) else None
                raise EmulatorControlError(response.status, str(text))
            return answer


def _given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - query parameters
    return {name: value for name, value in values.items() if value is not None}
