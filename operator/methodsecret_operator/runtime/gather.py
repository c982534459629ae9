"""Gathers what one decision needs: the account, the value, and what is remembered of the last create."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.decision import AccountReady, Attempt, Problem, Snapshot
from methodsecret_operator.core.identity import DigestKey
from methodsecret_operator.core.remote import RemoteSecret
from methodsecret_operator.core.resource import Environment, MethodSecret
from methodsecret_operator.errors import MethodUnauthorized
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.method.client import MethodClient
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.sources import Sources


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who this operator works for: the cluster's name in markers, and its digest key."""

    name: str
    digest_key: DigestKey


class Gatherer:
    """Makes snapshots. `base_url_for` gives an environment's address, `clock` the time in UTC."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        accounts: Accounts,
        default_key: DefaultKey,
        sources: Sources,
        default_environment: Environment,
        default_namespaces: Collection[str],
        base_url_for: Callable[[Environment], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._accounts = accounts
        self._default_key = default_key
        self.sources = sources
        self._default_environment = default_environment
        self._default_namespaces = frozenset(default_namespaces)
        self._base_url_for = base_url_for
        self.clock = clock

    def environment(self, obj: MethodSecret) -> Environment:
        """Return the environment that an object's secret is to be in."""
        return obj.spec.account.environment if obj.spec.account is not None else self._default_environment

    async def gather(
        self,
        obj: MethodSecret,
        *,
        attempt: Attempt | None,
        trusted: bool,
        evidence: Mapping[str, RemoteSecret | None],
    ) -> tuple[Snapshot, MethodClient | None]:
        """Return the snapshot and the client for its account (None where the account has a problem).

        Raises KubeError where a Secret cannot be read for reasons that are not the object's.
        """
        client, account = await self._account(obj)
        # Without an account the value is of no use, so it is not read.
        source = account if isinstance(account, Problem) else await self.sources.value(obj)
        snapshot = Snapshot(
            now=self.clock(),
            object=obj,
            cluster=self._cluster.name,
            digest_key=self._cluster.digest_key,
            account=account,
            source=source,
            attempt=attempt,
            trusted=trusted,
            evidence=evidence,
        )
        return snapshot, client

    async def _account(self, obj: MethodSecret) -> tuple[MethodClient | None, AccountReady | Problem]:
        key = await self._api_key(obj)
        if isinstance(key, Problem):
            return None, key
        environment = self.environment(obj)
        try:
            client = await self._accounts.client(base_url=self._base_url_for(environment), api_key=key)
        except MethodUnauthorized:
            return None, Problem(Reason.UNAUTHORIZED, Sentence.API_KEY_UNUSABLE)
        return client, AccountReady(environment=environment)

    async def _api_key(self, obj: MethodSecret) -> SecretStr | Problem:
        if obj.spec.account is not None:
            return await self.sources.api_key(obj)
        if self._default_namespaces and obj.metadata.namespace not in self._default_namespaces:
            return Problem(Reason.NAMESPACE_NOT_ALLOWED, Sentence.NAMESPACE_NOT_ALLOWED)
        if self._default_key.value is None:
            return Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY)
        return self._default_key.value
