"""The accounts at Method that the operator uses: its own, and those that objects name. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from methodsecret_operator.core.resource import Environment, MethodSecret
from methodsecret_operator.core.snapshot import Problem
from methodsecret_operator.errors import MethodUnauthorized
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.accounts import Account, Accounts
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.sources import Sources
from methodsecret_operator.settings import Settings

_OWN: Final = "the operator's own API key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An account at Method: in words, and how to reach it."""

    label: str
    environment: Environment
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """What could not be looked at, and why. `failed`: it is in the settings' scope, and should have been."""

    what: str
    why: str
    failed: bool = True


class Places:
    """Finds accounts, each once however many objects and API keys lead to it. `unjudged` has the others."""

    def __init__(self, *, settings: Settings, kube: KubeClient, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts
        self._sources = Sources(kube=kube, watch=None, selector=None)
        self._found: dict[int, Place] = {}
        self.unjudged: list[Unjudged] = []

    async def own(self) -> list[Place]:
        """Return the account of the operator's own API key, if it has one."""
        settings = self._settings
        key = DefaultKey(api_key=settings.api_key, path=settings.api_key_file).value
        if key is None:
            why = "none is set: API_KEY_FILE, API_KEY"
            self.unjudged.append(Unjudged(what=_OWN, why=why, failed=False))
            return []
        return await self._opened(_OWN, settings.environment, key)

    async def of(self, documents: Iterable[Mapping[str, Any]]) -> list[Place]:
        """Return the accounts that these objects name and that were not returned before. Raises KubeError."""
        places: list[Place] = []
        seen: set[tuple[str, str]] = set()
        for document in documents:
            if not (document.get("spec") or {}).get("account"):
                continue
            try:
                obj = MethodSecret.model_validate(document)
            except ValidationError:
                metadata = document["metadata"]
                what = f"the account of MethodSecret {metadata['namespace']}/{metadata['name']}"
                self.unjudged.append(Unjudged(what=what, why="it does not fit this operator's schema"))
                continue
            if (account := obj.spec.account) is None:
                continue
            ref = account.api_key_secret_ref
            label = f"Secret {obj.metadata.namespace}/{ref.name}, key {ref.key}"
            if (label, account.environment) in seen:
                continue
            seen.add((label, account.environment))
            key = await self._sources.api_key(obj)
            if isinstance(key, Problem):
                self.unjudged.append(Unjudged(what=label, why="no API key can be read there"))
            else:
                places += await self._opened(label, account.environment, key)
        return places

    async def _opened(self, label: str, environment: Environment, key: SecretStr) -> list[Place]:
        """Return the account as a list of one; of none where it was returned before, or the key is none."""
        base_url = self._settings.base_url_for(environment)
        try:
            account = await self._accounts.account(base_url=base_url, api_key=key)
        except MethodUnauthorized:
            self.unjudged.append(Unjudged(what=label, why="what is there cannot be an API key"))
            return []
        if id(account) in self._found:
            return []
        place = self._found[id(account)] = Place(label=label, environment=environment, account=account)
        return [place]
