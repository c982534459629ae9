"""A model of the Method API: secrets, idempotency keys that may be forgotten, a list that may lag.

It keeps what the promise forbids from happening unseen: every create and every delete is judged as it is
carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import JsonValue, SecretStr

from methodsecret_operator.core.identity import MARKER_KEYS, DigestKey, Marker, revision
from methodsecret_operator.core.remote import ACTIVE, DELETED, RemoteSecret
from methodsecret_operator.errors import MethodError, MethodNotFound, MethodRejected, MethodUnauthorized
from methodsecret_operator.method.budget import Budget, Slot
from methodsecret_operator.method.client import MethodClient
from methodsecret_operator.method.wire import MAX_PAGE, Created, Page
from tests.faults.model.loop import Clock
from tests.faults.model.network import Network, Sender

KEY: Final = DigestKey(b"a digest key only made for the model")
CLUSTER: Final = "model"
_PAGE: Final = 3
_REMEMBERED_FOR: Final = 900.0
"""Seconds that an idempotency key is kept at least: longer than a create is ever open without a new scan."""


class Violation(AssertionError):
    """The promise is broken."""


@dataclass
class Stored:
    """A secret at Method; `listed_from` and `known_from` are when lists and reads begin to show it."""

    id: str
    metadata: dict[str, JsonValue]
    listed_from: float = 0.0
    known_from: float = 0.0
    status: str = ACTIVE

    @property
    def marker(self) -> Marker | None:
        """Whose it is."""
        return Marker.read(self.metadata)


@dataclass
class _Key:
    """What an idempotency key was first sent with, and answered with."""

    body: tuple[str, str]
    answer: Stored | MethodError
    since: float


@dataclass
class Method:
    """One account. `judge_create` and `judge_delete` are told of what is about to be done."""

    clock: Clock
    judge_create: Callable[[Marker, list[Stored]], None]
    judge_delete: Callable[[Stored], None]
    list_lag: float = 0.0
    read_lag: float = 0.0
    refuses_lists: bool = False
    secrets: dict[str, Stored] = field(default_factory=dict)
    keys: dict[str, _Key] = field(default_factory=dict)

    def active(self, uid: str) -> list[Stored]:
        """Return the active secrets of an object."""
        return [stored for stored, marker in self._marked() if marker.uid == uid]

    def twins(self, owner: str, wanted: str) -> list[Stored]:
        """Return the active secrets of an owner and a revision, whichever object of that name made them."""
        return [s for s, marker in self._marked() if (marker.owner, marker.revision) == (owner, wanted)]

    def _marked(self) -> Iterator[tuple[Stored, Marker]]:
        for stored in self.secrets.values():
            if stored.status == ACTIVE and (marker := stored.marker) is not None:
                yield stored, marker

    def create(self, value: str, metadata: Mapping[str, JsonValue], key: str) -> Created:
        """Create a secret, or repeat what this key was answered with. Raises MethodError."""
        body = (value, repr(sorted(metadata.items())))
        known = self.keys.get(key)
        if known is not None:
            if known.body != body:
                raise Violation(f"key {key} was sent with two bodies")
            if isinstance(known.answer, MethodError):
                raise MethodRejected(operation="create", kind="http", status=422, idem_status="replayed")
            replayed = RemoteSecret(id=known.answer.id, status=ACTIVE)
            return Created(secret=replayed, replayed=True, request_id=None)
        marker = self._marker(value, metadata)
        self.judge_create(marker, self.twins(marker.owner, marker.revision))
        now = self.clock.seconds
        stored = Stored(
            id=f"sec_{len(self.secrets)}",
            metadata=dict(metadata),
            listed_from=now + self.list_lag,
            known_from=now + self.read_lag,
        )
        self.secrets[stored.id] = stored
        self.keys[key] = _Key(body=body, answer=stored, since=now)
        return Created(secret=_shown(stored), replayed=False, request_id=None)

    def refuse(self, value: str, metadata: Mapping[str, JsonValue], key: str) -> Created:
        """Refuse a create for good, and keep that under its key. Raises MethodRejected."""
        if key not in self.keys:
            error = MethodRejected(operation="create", kind="http", status=422, idem_status="stored")
            body = (value, repr(sorted(metadata.items())))
            self.keys[key] = _Key(body=body, answer=error, since=self.clock.seconds)
            raise error
        return self.create(value, metadata, key)

    def retrieve(self, secret_id: str) -> RemoteSecret:
        """Return a secret. Raises MethodNotFound."""
        stored = self.secrets.get(secret_id)
        if stored is None or stored.known_from > self.clock.seconds:
            raise MethodNotFound(operation="retrieve", kind="http", status=404)
        return _shown(stored)

    def delete(self, secret_id: str) -> None:
        """Delete a secret. Raises MethodNotFound."""
        stored = self.secrets.get(secret_id)
        if stored is None or stored.status == DELETED:
            raise MethodNotFound(operation="delete", kind="http", status=404)
        self.judge_delete(stored)
        stored.status = DELETED

    def page(self, cursor: str | None) -> Page:
        """Return a page of what lists show by now, newest first. Raises MethodUnauthorized."""
        if self.refuses_lists:
            raise MethodUnauthorized(operation="list", kind="http", status=403)
        shown = [
            stored
            for stored in reversed(self.secrets.values())
            if stored.status != DELETED and stored.listed_from <= self.clock.seconds
        ]
        if cursor is not None:
            shown = [stored for stored in shown if _number(stored.id) <= _number(cursor)]
        following = shown[_PAGE].id if len(shown) > _PAGE else None
        secrets = tuple(_shown(stored) for stored in shown[:_PAGE])
        return Page(secrets=secrets, next_cursor=following, unreadable=0, total=None)

    def forget_keys(self) -> None:
        """Forget the keys that are old enough."""
        oldest = self.clock.seconds - _REMEMBERED_FOR
        self.keys = {key: known for key, known in self.keys.items() if known.since > oldest}

    def _marker(self, value: str, metadata: Mapping[str, JsonValue]) -> Marker:
        """Return a create's marker, which must tell the truth about its value."""
        marker = Marker.read(metadata)
        if marker is None:
            raise Violation("a create without a marker")
        _, namespace, name = marker.owner.split("/")
        user = {field: value for field, value in metadata.items() if field not in MARKER_KEYS}
        true = revision(
            key=KEY, namespace=namespace, name=name, environment="sandbox", value=value, metadata=user
        )
        if marker.revision != true:
            raise Violation(f"the marker {marker} is not that of the value sent with it")
        return marker


class ModelClient(MethodClient):
    """One process's client of the model; `judge` is told of every create before it is sent."""

    def __init__(
        self,
        method: Method,
        network: Network,
        sender: Sender,
        judge: Callable[[Mapping[str, JsonValue], str], None],
    ) -> None:
        self._judge = judge
        self.writes = Budget(limit=10**9, clock=sender.loop)  # budgets are held to their own tests
        self.reads = Budget(limit=10**9, clock=sender.loop)
        self.method = method
        self._network = network
        self._sender = sender

    def silent(self, operation: str) -> bool:
        """Say no: with one object there is nobody else to keep a worker for."""
        del operation
        return False

    async def _call(
        self,
        operation: str,
        carry_out: Callable[[], Any],
        *,
        writes: bool = False,
        refuse: Callable[[], Any] | None = None,
    ) -> Any:  # noqa: ANN401 - the call's
        return await self._network.call(
            self._sender, "Method", operation, carry_out, writes=writes, refuse=refuse
        )

    async def create(
        self,
        *,
        value: SecretStr,
        metadata: Mapping[str, JsonValue],
        idempotency_key: str,
        slot: Slot | None = None,
    ) -> Created:
        """As the client does."""
        self._judge(metadata, idempotency_key)
        with slot or await self.writes.acquire() as taken:
            taken.use()
            text, sent = value.get_secret_value(), dict(metadata)
            answer: Created = await self._call(
                f"create {text} {idempotency_key[:8]}",
                lambda: self.method.create(text, sent, idempotency_key),
                writes=True,
                refuse=lambda: self.method.refuse(text, sent, idempotency_key),
            )
            return answer

    async def read_slot(self, operation: str) -> Slot:
        """As the client does, where nothing is blocked."""
        del operation
        return await self.reads.acquire()

    async def retrieve(self, secret_id: str, *, slot: Slot | None = None) -> RemoteSecret:
        """As the client does."""
        with slot or await self.reads.acquire() as taken:
            taken.use()
            answer: RemoteSecret = await self._call(
                f"retrieve {secret_id}", lambda: self.method.retrieve(secret_id)
            )
            return answer

    async def delete(self, secret_id: str, *, slot: Slot | None = None) -> None:
        """As the client does."""
        with slot or await self.writes.acquire() as taken:
            taken.use()
            await self._call(f"delete {secret_id}", lambda: self.method.delete(secret_id), writes=True)

    async def list_page(self, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """As the client does, with small pages."""
        del limit
        answer: Page = await self._call(f"list {cursor}", lambda: self.method.page(cursor))
        return answer


def _shown(stored: Stored) -> RemoteSecret:
    return RemoteSecret(id=stored.id, status=stored.status, metadata=dict(stored.metadata))


def _number(secret_id: str) -> int:
    return int(secret_id.removeprefix("sec_"))
