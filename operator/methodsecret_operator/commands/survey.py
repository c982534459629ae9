"""Looks at all that the operator has, in an order that makes it safe to call a secret an orphan.

Method first, then the cluster: what was in the list at Method existed before the objects were listed, so
the object that it was made for is among them, or is gone. Then each owner that seems to be gone is asked for
by name. What cannot be read is noted as not judged. Nothing is changed here.

A survey ages: a person thinks, and thousands of deletions take minutes. What the cluster has to say of one
secret right before it is deleted is asked here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from methodsecret_operator.commands.places import Place, Places, Unjudged
from methodsecret_operator.core import orphans
from methodsecret_operator.core.identity import Marker
from methodsecret_operator.core.orphans import Owner, Verdict, View
from methodsecret_operator.core.remote import RemoteSecret
from methodsecret_operator.core.resource import SELECTED
from methodsecret_operator.errors import (
    KubeForbidden,
    KubeNotFound,
    MethodError,
    MethodUnauthorized,
    SettingsError,
)
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.method.inventory import pages
from methodsecret_operator.runtime import startup
from methodsecret_operator.settings import Settings

FRESH: Final = timedelta(seconds=5)
"""How long a list of what the cluster names serves for one deletion after the other.

Of 10,000 objects one takes some two seconds: too long for each of thousands of ids.
"""

_FORBIDDEN: Final = 403

Documents = list[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An orphan, and where it was listed."""

    secret: RemoteSecret
    place: Place
    owner: Owner
    marker: Marker


@dataclass(slots=True, kw_only=True)
class Survey:
    """What was seen: the orphans by id, how many secrets of each verdict there are, what was not judged."""

    cluster: str
    view: View
    orphans: dict[str, Found] = field(default_factory=dict)
    counts: dict[Verdict, int] = field(default_factory=dict)
    unjudged: list[Unjudged] = field(default_factory=list)


class Surveyor:
    """Makes one survey. `clock` gives the time in UTC; `min_age` is how old an orphan must be."""

    def __init__(
        self,
        *,
        settings: Settings,
        kube: KubeClient,
        accounts: Accounts,
        clock: Callable[[], datetime],
        min_age: timedelta,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._places = Places(settings=settings, kube=kube, accounts=accounts)
        self._clock = clock
        self._min_age = min_age
        self._hidden: dict[str, Unjudged] = {}  # namespaces that may not be listed
        self._named: frozenset[str] = frozenset()
        self._named_at: datetime | None = None  # when that was last read; the survey itself does not count

    async def survey(self) -> Survey:
        """Look at everything. Raises OperatorError where nothing could be judged."""
        name, key_id = await self._identity()
        listed, unjudged = await self._secrets(await self._objects())
        documents = await self._objects()  # after Method, see above
        for place in await self._places.of(documents):
            unjudged.append(Unjudged(what=place.label, why="it came while the others were listed"))
        shown, unseen = await self._published()
        named = (secret_id for document in documents for secret_id in orphans.named(document))
        view = View(
            clusters=frozenset((name, *self._settings.cluster_aliases)),
            key_id=key_id,
            live=frozenset(_key(document) for document in documents),
            named=shown.union(named),
            namespaces=frozenset(self._settings.namespaces) - self._hidden.keys()
            if self._settings.namespaces
            else None,
            now=self._clock(),
            min_age=self._min_age,
        )
        survey = Survey(cluster=name, view=view)
        await self._judge(survey, listed)
        survey.unjudged = [
            *self._hidden.values(),
            *dict.fromkeys(self._places.unjudged),  # the objects were read twice
            *unjudged,
            *unseen,
            *(
                Unjudged(what=f"secrets, {count}", why=str(verdict), failed=False)
                for verdict, count in sorted(survey.counts.items())
                if not verdict.judged
            ),
        ]
        return survey

    async def alive(self, owner: Owner) -> bool | None:
        """Ask whether an object exists at this moment; None where that may not be asked. Raises KubeError."""
        try:
            await self._kube.get_methodsecret(owner.namespace, owner.name)
        except KubeNotFound:
            return False
        except KubeForbidden:
            return None
        return True

    async def named_by_somebody(self, secret_id: str) -> bool:
        """Ask whether an object, or a ConfigMap of ours, names this id by now. Raises KubeError.

        Only a list shows every place where one may stand (core.orphans.named). It may be a moment old
        (FRESH), so the server is then asked for the two fields by which an id gets into an object. What is
        left: an object that got it, went on to another id and lost `spec.adopt`, all since that list; one
        whose status somebody has edited or restored since; one that is written after the last answer.
        """
        now = self._clock()
        # Time of day goes on while a machine sleeps; put back, it must not keep an old list young.
        if self._named_at is None or not timedelta(0) <= now - self._named_at < FRESH:
            self._named, self._named_at = await self._names(), now
        if secret_id in self._named:
            return True
        for namespace in self._looked_at():
            for path in SELECTED:
                async for _ in self._kube.list_methodsecrets(namespace, selector=f"{path}={secret_id}"):
                    return True
        return False

    async def _names(self) -> frozenset[str]:
        """Read every id that is named in the cluster. Raises KubeError."""
        shown, _ = await self._published()
        named = set(shown)
        for namespace in self._looked_at():
            async for document in self._kube.list_methodsecrets(namespace):
                named.update(orphans.named(document))
        return frozenset(named)

    def _looked_at(self) -> list[str | None]:
        """Return the namespaces that the survey could list; None stands for all of them."""
        return [one for one in self._settings.namespaces or (None,) if one not in self._hidden]

    async def _judge(self, survey: Survey, listed: Mapping[str, tuple[RemoteSecret, Place]]) -> None:
        alive: dict[Owner, bool | None] = {}
        for secret, place in listed.values():
            verdict, marker = orphans.judge(secret, survey.view), Marker.read(secret.metadata)
            owner = None if marker is None else orphans.owner(marker, survey.view.clusters)
            if verdict is Verdict.ORPHAN and marker is not None and owner is not None:
                if owner not in alive:
                    alive[owner] = await self.alive(owner)
                if alive[owner] is False:
                    found = Found(secret=secret, place=place, owner=owner, marker=marker)
                    survey.orphans[secret.id] = found
                else:
                    verdict = Verdict.IN_USE if alive[owner] else Verdict.OTHER_NAMESPACE
            survey.counts[verdict] = survey.counts.get(verdict, 0) + 1

    async def _identity(self) -> tuple[str, str]:
        """Return the cluster's name and the id of its digest key; nothing is made where they are missing."""
        settings = self._settings
        name = settings.cluster_name or await self._kube.namespace_uid(startup.SYSTEM_NAMESPACE)
        namespace, secret = settings.operator_namespace, settings.digest_key_secret
        try:
            key = await startup.digest_key(self._kube, namespace, secret)
        except KubeNotFound:
            raise SettingsError(
                f"there is no Secret {namespace}/{secret} with the digest key: without it no secret can be"
                " told to be this cluster's (OPERATOR_NAMESPACE, DIGEST_KEY_SECRET)"
            ) from None
        return name, key.id

    async def _objects(self) -> Documents:
        """List every MethodSecret that may be listed. Raises KubeError.

        Also where the kind is not there: without it every secret would look like an orphan.
        """
        if not self._settings.namespaces:
            return [document async for document in self._kube.list_methodsecrets(None)]
        documents: Documents = []
        for namespace in self._settings.namespaces:
            try:
                documents += [document async for document in self._kube.list_methodsecrets(namespace)]
            except KubeForbidden as error:
                self._hidden[namespace] = Unjudged(what=f"namespace {namespace}", why=str(error))
        return documents

    async def _secrets(
        self, documents: Documents
    ) -> tuple[dict[str, tuple[RemoteSecret, Place]], list[Unjudged]]:
        """List every account whole, each secret once: two API keys may open one account."""
        listed: dict[str, tuple[RemoteSecret, Place]] = {}
        unjudged: list[Unjudged] = []
        for place in [*await self._places.own(), *await self._places.of(documents)]:
            secrets: list[RemoteSecret] = []
            unreadable = 0
            try:
                async for page in pages(place.account.client):
                    secrets += page.secrets
                    unreadable += page.unreadable
            except MethodError as error:
                refused = isinstance(error, MethodUnauthorized) and error.status == _FORBIDDEN
                why = "it may not list secrets (403)" if refused else str(error)
                unjudged.append(Unjudged(what=place.label, why=why))
                continue  # what came before the failure is not used
            for secret in secrets:
                listed.setdefault(secret.id, (secret, place))
            if unreadable:
                what = f"{place.label}: secrets, {unreadable}"
                unjudged.append(Unjudged(what=what, why="they could not be understood"))
        return listed, unjudged

    async def _published(self) -> tuple[frozenset[str], list[Unjudged]]:
        """Return what ConfigMaps of ours show to Pods: in use, whether or not an object is behind it."""
        shown: set[str] = set()
        unseen: list[Unjudged] = []
        for namespace in self._settings.namespaces or (None,):
            try:
                async for found in self._kube.list_published(namespace):
                    shown.update(text for text in (found.get("data") or {}).values() if isinstance(text, str))
            except KubeForbidden as error:
                what = "whether a ConfigMap without its object still shows an id"
                unseen.append(Unjudged(what=what, why=str(error), failed=False))
        return frozenset(shown), unseen


def _key(document: Mapping[str, Any]) -> str:
    return f"{document['metadata']['namespace']}/{document['metadata']['name']}"
