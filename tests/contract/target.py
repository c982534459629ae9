"""Which API the contract is held against, and a client that remembers what it created.

It knows nothing of the operator and nothing of the emulator's inside: only documented HTTP.
"""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METHOD_VERSION: Final = "2026-03-30"
RUN_KEY: Final = "methodsecret_contract_run"  # in the metadata of everything that the suite creates
SECRET_ID: Final = re.compile(r"sec_\w+", re.ASCII)
_ENVIRONMENTS: Final = ("sandbox", "dev")
_LEFT_BEHIND: Final = timedelta(hours=1)


class RefusedTargetError(ValueError):
    """The live run is refused; the text says what to set."""


@dataclass(frozen=True)
class Target:
    """A base URL and an API key that is accepted there."""

    base_url: str
    api_key: str = field(repr=False)
    live: bool = False


def live_target(environment: Mapping[str, str]) -> Target:
    """Return the real API that METHOD_API_KEY and METHOD_ENVIRONMENT name.

    Raises RefusedTargetError: production is refused, and so is whatever is not plainly sandbox or dev.
    """
    name, api_key = environment.get("METHOD_ENVIRONMENT", ""), environment.get("METHOD_API_KEY", "")
    if name == "production":
        raise RefusedTargetError(
            "The contract is never run against production: set METHOD_ENVIRONMENT to sandbox or dev, "
            "and METHOD_API_KEY to a key of that environment."
        )
    if name not in _ENVIRONMENTS:
        raise RefusedTargetError(
            "Set METHOD_ENVIRONMENT to sandbox or dev, to say where METHOD_API_KEY belongs."
        )
    if not api_key:
        raise RefusedTargetError(f"Set METHOD_API_KEY to an API key of Method's {name} environment.")
    return Target(base_url=f"https://{name}.methodfi.com", api_key=api_key, live=True)


def headers(api_key: str) -> dict[str, str]:
    """Return what every request carries."""
    return {"Authorization": f"Bearer {api_key}", "Method-Version": METHOD_VERSION}


def unwrapped(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """Return an answer's data, out of the envelope where there is one."""
    body = response.json()
    return body["data"] if isinstance(body, dict) and "success" in body else body


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return an answer's error object; fail where it has none."""
    found = unwrapped(response)["error"]
    assert isinstance(found, dict)
    return found


class MethodApi:
    """The API under test. Every answer is searched for the values sent; every id made is remembered."""

    def __init__(
        self, target: Target, client: httpx.AsyncClient, *, run: str, report: Callable[[str, str], None]
    ) -> None:
        self.target = target
        self.client = client
        self.run = run
        self._report = report
        self._values: set[str] = set()
        self.created: list[str] = []

    @property
    def live(self) -> bool:
        """Whether this is the real API."""
        return self.target.live

    def observe(self, fact: str, seen: str) -> None:
        """Report how the API behaves where nothing is documented."""
        self._report(fact, seen)

    def new_value(self) -> str:
        """Return a value that nobody else uses; no answer may hold it."""
        value = f"contract-value-{secrets.token_hex(16)}"
        self._values.add(value)
        return value

    def metadata(self, **more: object) -> dict[str, object]:
        """Return metadata by which the clean-up finds a secret even where its answer was lost."""
        return {RUN_KEY: self.run, **more}

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's options
        """Send a request and check what holds for every answer."""
        response = await self.client.request(method, path, **options)
        leaked = [value for value in self._values if value in response.text or value in str(response.headers)]
        assert not leaked, f"{method} {path} gave a value back"
        if method == "POST" and response.status_code == httpx.codes.OK:
            secret_id = unwrapped(response).get("id")
            if isinstance(secret_id, str):
                self.created.append(secret_id)
        return response

    async def create(self, body: object = None, *, key: str | None = None) -> httpx.Response:
        """Create a secret, or send `body` to see it refused."""
        if body is None:
            body = {"value": self.new_value(), "metadata": self.metadata()}
        return await self.request(
            "POST", "/secrets", json=body, headers={"Idempotency-Key": key or str(uuid.uuid4())}
        )

    async def create_ok(self, body: object = None) -> dict[str, Any]:
        """Create a secret and return it."""
        response = await self.create(body)
        assert response.status_code == 200, error_of(response).get("sub_type")
        secret = unwrapped(response)
        assert isinstance(secret, dict)
        return secret

    async def clean_up(self) -> None:
        """Delete everything that this client created."""
        for secret_id in self.created:
            response = await self.client.delete(f"/secrets/{secret_id}")
            assert response.status_code in (200, 404), f"clean-up of {secret_id}: {response.status_code}"


def sweep(target: Target, run: str) -> list[str]:
    """Delete what is left of this run, and of runs that were killed over an hour ago; return the ids."""
    left = []
    with httpx.Client(base_url=target.base_url, headers=headers(target.api_key), timeout=30) as client:
        cursor: str | None = None
        while True:
            query = {"page_limit": "100"} | ({"page_cursor": cursor} if cursor else {})
            response = client.get("/secrets", params=query).raise_for_status()
            left += [secret["id"] for secret in unwrapped(response) if _is_left(secret, run)]
            following = response.headers.get("Pagination-Page-Cursor-Next") or None
            if following in (None, "null", cursor):
                break
            cursor = following
        for secret_id in left:
            client.delete(f"/secrets/{secret_id}")
    return left


def _is_left(secret: dict[str, Any], run: str) -> bool:
    owner = (secret.get("metadata") or {}).get(RUN_KEY)
    if not owner or secret.get("status") != "active":
        return False
    made = datetime.fromisoformat(secret["created_at"])
    return bool(owner == run) or datetime.now(UTC) - made > _LEFT_BEHIND
