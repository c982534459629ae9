"""Gathers what one decision needs: the account, the value, and what is remembered of the last create."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from methodsecret_operator.core import identity, orphans, salvage
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.identity import DigestKey
from methodsecret_operator.core.outcome import SERVER_ERROR_FOR, other_key_from
from methodsecret_operator.core.remote import ACTIVE, RemoteSecret
from methodsecret_operator.core.resource import Environment, MethodSecret
from methodsecret_operator.core.snapshot import (
    AccountReady,
    Adoption,
    Attempt,
    ConfigMapState,
    Problem,
    Snapshot,
)
from methodsecret_operator.errors import KubeForbidden, KubeNotFound, MethodUnauthorized
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.accounts import Account, Accounts
from methodsecret_operator.method.inventory import Inventory
from methodsecret_operator.runtime.claims import Claims
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.publications import Publications
from methodsecret_operator.runtime.sources import Sources

SETTLE_BY_SCAN_AFTER: Final = timedelta(seconds=60)
"""How long a create may be of unknown outcome before it is looked for in a fresh inventory."""

_log = structlog.get_logger(__name__)

_NOT_READ: Final = Problem(Reason.PENDING, Sentence.SETTLING)
"""Stands for a value that nobody needs."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who this operator works for: the cluster's name in markers (and former ones), and its digest key."""

    name: str
    digest_key: DigestKey
    aliases: tuple[str, ...] = ()


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
        kube: KubeClient,
        named_by_other: Callable[[str, str], bool],
        namespaces: Collection[str],
        publications: Publications,
        deletion_timeout: float,
    ) -> None:
        self._named_by_other = named_by_other
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._kube = kube
        self.publications = publications
        self._deletion_timeout = deletion_timeout
        self._cluster = cluster
        self._accounts = accounts
        self._default_key = default_key
        self.sources = sources
        self._default_environment = default_environment
        self._default_namespaces = frozenset(default_namespaces)
        self._base_url_for = base_url_for
        self.clock = clock
        self.claims = Claims()

    def environment(self, obj: MethodSecret) -> Environment:
        """Return the environment that an object's secret is to be in."""
        return obj.spec.account.environment if obj.spec.account is not None else self._default_environment

    def owners(self, obj: MethodSecret) -> frozenset[str]:
        """Return the names that mark an object's secrets."""
        names = (self._cluster.name, *self._cluster.aliases)
        return identity.owners(names, namespace=obj.metadata.namespace, name=obj.metadata.name)

    async def gather(
        self,
        obj: MethodSecret,
        *,
        attempt: Attempt | None,
        trusted: bool,
        evidence: Mapping[str, RemoteSecret | None],
        missing: Mapping[str, datetime],
        refused_since: datetime | None,
        adoption: Adoption | None,
        config_maps: Mapping[str, ConfigMapState],
    ) -> tuple[Snapshot, Account | None]:
        """Return the snapshot and the account (None where it has a problem).

        The inventory in it may be empty: see `with_inventory`. Raises KubeError where a Secret cannot be
        read for reasons that are not the object's.
        """
        account, state = await self.account(obj)
        deleting = obj.metadata.deletion_timestamp is not None
        nowhere = state if isinstance(state, Problem) else _NOT_READ
        # Without an account, and for a deletion, the value is of no use, so it is not read.
        source = nowhere if isinstance(state, Problem) or deleting else await self.sources.value(obj)
        snapshot = Snapshot(
            now=self.clock(),
            object=obj,
            cluster=self._cluster.name,
            digest_key=self._cluster.digest_key,
            account=state,
            source=source,
            attempt=attempt,
            trusted=trusted,
            evidence=evidence,
            aliases=self._cluster.aliases,
            missing=missing,
            refused_since=refused_since,
            adoption=adoption,
            config_maps=config_maps,
            config_map_version=await self.publications.version(obj),
            deletion_timeout=self._deletion_timeout,
            namespace_terminating=deleting and await self._terminating(obj.metadata.namespace),
        )
        return snapshot if account is None else self.with_inventory(snapshot, account), account

    async def examine(self, obj: MethodSecret, secret_id: str, remote: RemoteSecret | None) -> Adoption:
        """Find out whether a secret may be adopted: no other status names it, no living owner marks it.

        From here on it is kept for this object, until `claims` is told that the look is over: so of two that
        ask at once, one is first. It has to be before the list is asked for. Raises KubeError.
        """
        rival = self.claims.take(secret_id, obj.key)
        claimed_by = None
        for namespace in self._namespaces:
            selector = f"status.id={secret_id}"
            async for other in self._kube.list_methodsecrets(namespace, selector=selector):
                if other["metadata"]["uid"] != obj.metadata.uid:
                    claimed_by = f"{other['metadata']['namespace']}/{other['metadata']['name']}"
        marker = identity.Marker.read(remote.metadata if remote is not None else None)
        alive = marker is not None and await self._alive(marker)
        # Of a secret that neither of them gets, both shall say the same, whoever came first.
        claimed_by = claimed_by or (None if alive else rival)
        return Adoption(remote=remote, claimed_by=claimed_by, owner_alive=alive)

    def object_of(self, marker: identity.Marker) -> str | None:
        """Return the key of the object that a marker names; None where it is not for us to know.

        That is: of another cluster, under a digest key that is not ours, or of a namespace not served.
        """
        whose = orphans.owner(marker, frozenset((self._cluster.name, *self._cluster.aliases)))
        if whose is None or identity.revision_key_id(marker.revision) != self._cluster.digest_key.id:
            return None
        served = self._namespaces == (None,) or whose.namespace in self._namespaces
        return whose.key if served else None

    async def _alive(self, marker: identity.Marker) -> bool:
        """Whether the object that a mark names exists, or may exist: another cluster's, say.

        One that goes by our name shows only by its digest key.
        """
        cluster, _, place = marker.owner.partition("/")
        namespace, _, name = place.partition("/")
        ours = identity.revision_key_id(marker.revision) == self._cluster.digest_key.id
        if cluster not in (self._cluster.name, *self._cluster.aliases) or not name or not ours:
            return True
        try:
            await self._kube.get_methodsecret(namespace, name)
        except KubeNotFound:
            return False
        except KubeForbidden:
            return True
        return True

    async def inventory_ready(
        self, snapshot: Snapshot, account: Account, *, deleting_since: datetime | None
    ) -> Snapshot:
        """Return the snapshot with an inventory that is good enough for what is at stake. Raises MethodError.

        Before a create: any complete scan since the start, or since a create of unknown outcome was last let
        go, which may be this very one by another key. To settle a create that has been open for a
        while, and for a deletion: a scan from after that began; `deleting_since` is when it was first seen.
        Where the snapshot's own is good enough, as it mostly is, that very snapshot is returned.
        """
        attempt, deleted = snapshot.attempt, snapshot.object.metadata.deletion_timestamp
        unresolved = attempt is not None and attempt.unresolved is not None
        if account.inventory.current and deleted is None and not unresolved:
            return snapshot
        await account.inventory.ready()
        passed: list[datetime] = []
        if attempt is not None and unresolved:
            settling = (attempt.since + SETTLE_BY_SCAN_AFTER, attempt.since + SERVER_ERROR_FOR)
            moments = (*settling, other_key_from(attempt))
            passed = [moment for moment in moments if moment is not None and moment <= snapshot.now]
        if deleted is not None:
            # By our own clock: the server's may be ahead, and a scan "since" the future would never do.
            passed.append(deleting_since or snapshot.now)
        if passed:
            await account.inventory.scan(since=max(passed))
        return self.with_inventory(snapshot, account)

    def with_inventory(self, snapshot: Snapshot, account: Account) -> Snapshot:
        """Return the snapshot with what the account's inventory has for it by now."""
        marked = tuple(entry for owner in snapshot.owners for entry in account.inventory.of(owner))
        obj = snapshot.object
        ids = {obj.status.id or "", *(e.id for e in marked), *(e.id for e in obj.status.superseded)}
        return replace(
            snapshot,
            marked=marked,
            claimed=frozenset(one for one in ids if self._named_by_other(one, obj.key)),
            contended=frozenset(one for one in ids if self.claims.held_by_other(one, obj.key)),
            scanned_at=account.inventory.scanned_at,
            doubted=self.doubtful(snapshot.object, account),
            account_changed=account.inventory.mass_absence,
            vanished=frozenset(i for i in snapshot.evidence if account.inventory.vanished(i)),
            listed_at=account.inventory.listed_at,
            listed=_listed(snapshot, account.inventory),
        )

    def doubtful(self, obj: MethodSecret, account: Account) -> bool:
        """Whether the id in a status is not at Method as the status says: there, and active."""
        current = obj.status.id
        if current is None:
            return False
        marked = (entry for owner in self.owners(obj) for entry in account.inventory.of(owner))
        changed = any(entry.id == current and entry.status != ACTIVE for entry in marked)
        return changed or account.inventory.has(current) is False

    async def account(self, obj: MethodSecret) -> tuple[Account | None, AccountReady | Problem]:
        """Return an object's account at Method, or what is wrong with it. Raises KubeError."""
        key = await self._api_key(obj)
        if isinstance(key, Problem):
            return None, key
        environment = self.environment(obj)
        try:
            account = await self._accounts.account(base_url=self._base_url_for(environment), api_key=key)
        except MethodUnauthorized:
            return None, Problem(Reason.UNAUTHORIZED, Sentence.API_KEY_UNUSABLE)
        return account, AccountReady(environment=environment)

    async def end_round(self) -> None:
        """Let go of API keys and accounts that no object uses any more; called after each resync."""
        self.sources.end_round()
        if closed := await self._accounts.end_round():
            _log.info("accounts closed: no object uses them any more", count=closed)

    async def _terminating(self, namespace: str) -> bool:
        try:
            return await self._kube.namespace_terminating(namespace)
        except (KubeForbidden, KubeNotFound):
            return False

    async def _api_key(self, obj: MethodSecret) -> SecretStr | Problem:
        if salvage.ACCOUNT in obj.unread:  # and not of the operator's own: that is another account
            return Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.ACCOUNT_NOT_READABLE)
        if obj.spec.account is not None:
            return await self.sources.api_key(obj)
        if self._default_namespaces and obj.metadata.namespace not in self._default_namespaces:
            return Problem(Reason.NAMESPACE_NOT_ALLOWED, Sentence.NAMESPACE_NOT_ALLOWED)
        if self._default_key.value is None:
            return Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY)
        return self._default_key.value


def _listed(snapshot: Snapshot, inventory: Inventory) -> frozenset[str]:
    """Return those of the ids that were asked about which the list shows; none where that is refused."""
    asked = snapshot.evidence.keys() | snapshot.missing.keys()
    return frozenset(i for i in asked if inventory.has(i)) if not inventory.refused else frozenset()
