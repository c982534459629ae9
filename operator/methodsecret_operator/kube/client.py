"""The calls to the kube-apiserver, each one request: send, read within bounds, parse.

Requests and answers are made and read by kube.wire. Nothing is cached, and nothing but a list's page
is ever repeated here: when to try again is for the caller, who knows what the call was for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from methodsecret_operator.core.snapshot import ConfigMapSeen
from methodsecret_operator.errors import KubeError, KubeUnavailable
from methodsecret_operator.kube import configmap, finalizer, review, wire
from methodsecret_operator.kube import lease as leases

if TYPE_CHECKING:
    from methodsecret_operator.kube.connection import Connection

LIST_ATTEMPTS: Final = 10
"""How often one page is asked for while the server answers 429."""

_MAX_LIST_WAIT: Final = 30.0
"""Seconds. A Retry-After longer than this is left to the caller."""


class Listing:
    """The objects of a list, page by page, one at a time: `async for item in listing`.

    `resource_version` is that of the whole list, known once the first page was read: where a watch
    would go on. Raises KubeError; KubeGone where the list went stale between two pages (list again).
    """

    def __init__(self, pages: AsyncIterator[wire.Page]) -> None:
        self.resource_version = ""
        self._pages = pages

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for page in self._pages:
            self.resource_version = page.resource_version
            for item in page.items:
                yield item


class KubeClient:
    """The few calls that the operator makes. Every one raises KubeError, and nothing else, on failure."""

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`timeout` is for one whole call from when it has its turn, in seconds."""
        self._connection = connection
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._sleep = sleep

    async def get_methodsecret(self, namespace: str, name: str) -> dict[str, Any]:
        """Read one MethodSecret as it is now."""
        request = wire.get_methodsecret(namespace, name)
        return wire.parse_object(request, await self.send(request))

    def list_methodsecrets(
        self, namespace: str | None, *, page: int = 250, selector: str | None = None
    ) -> Listing:
        """Read all MethodSecrets of a namespace, or of all of them (None), `page` at a time.

        `selector` is a field selector on one of the CRD's selectable fields.

        A 429 with Retry-After is waited out: a CRD just established answers so until its storage is up.
        """
        return Listing(
            self._pages(
                lambda token: wire.list_methodsecrets(namespace, limit=page, token=token, selector=selector)
            )
        )

    def list_published(self, namespace: str | None) -> Listing:
        """Read all ConfigMaps with our label, as list_methodsecrets does."""
        return Listing(self._pages(lambda token: configmap.list_request(namespace, token=token)))

    async def patch_methodsecret_status(
        self, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge the patch into the status, if the object is still the one that the patch was made for.

        `patch["metadata"]` must hold the resourceVersion and the uid; KubeConflict says that they are
        no longer those. Returns the object as it is after the write.
        """
        request = wire.patch_methodsecret(namespace, name, patch, status=True)
        return wire.parse_object(request, await self.send(request))

    async def patch_methodsecret(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge the patch into the object itself (finalizers, say), under the same lock as the status."""
        request = wire.patch_methodsecret(namespace, name, patch, status=False)
        return wire.parse_object(request, await self.send(request))

    async def remove_finalizer(
        self, namespace: str, name: str, *, uid: str, finalizers: Sequence[str]
    ) -> dict[str, Any]:
        """Take our finalizer off a MethodSecret, and nothing else; `finalizers` is the list as it was read.

        KubeRejected (422) where the list, or the object of that name, is another by now. Returns the object.
        """
        request = finalizer.remove_request(namespace, name, uid=uid, finalizers=finalizers)
        return wire.parse_object(request, await self.send(request))

    async def get_secret(self, namespace: str, name: str) -> wire.SecretObject:
        """Read one Secret, with its data."""
        request = wire.get_secret(namespace, name)
        return wire.parse_secret(request, await self.send(request))

    async def create_secret(
        self, namespace: str, name: str, data: Mapping[str, bytes], labels: Mapping[str, str]
    ) -> wire.SecretObject:
        """Create a Secret; KubeConflict (reason AlreadyExists) where the name is taken."""
        request = wire.create_secret(namespace, name, data, labels)
        return wire.parse_secret(request, await self.send(request))

    async def get_configmap(self, namespace: str, name: str) -> ConfigMapSeen:
        """Read who owns a ConfigMap, and its version."""
        request = configmap.get_request(namespace, name)
        return configmap.parse(request, await self.send(request))

    async def create_configmap(self, manifest: Mapping[str, Any]) -> ConfigMapSeen:
        """Create a ConfigMap; KubeConflict (reason AlreadyExists) where the name is taken."""
        request = configmap.create_request(manifest)
        return configmap.parse(request, await self.send(request))

    async def apply_configmap(self, manifest: Mapping[str, Any], *, onto: ConfigMapSeen) -> ConfigMapSeen:
        """Apply a ConfigMap onto the version that was seen; KubeConflict where it is no longer that one."""
        request = configmap.apply_request(manifest, onto=onto)
        return configmap.parse(request, await self.send(request))

    async def delete_configmap(self, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Delete a ConfigMap; KubeConflict where it is no longer that one in that version."""
        request = configmap.delete_request(namespace, name, uid=uid, resource_version=resource_version)
        wire.check(request, await self.send(request))

    async def namespace_uid(self, name: str) -> str:
        """Return the uid of a Namespace; that of kube-system is taken for the cluster's own."""
        request = wire.get_namespace(name)
        return wire.parse_uid(request, await self.send(request))

    async def namespace_terminating(self, name: str) -> bool:
        """Return whether a Namespace is being deleted."""
        request = wire.get_namespace(name)
        return wire.parse_terminating(request, await self.send(request))

    async def methodsecrets_served(self) -> bool:
        """Return whether the CRD is installed and established."""
        request = wire.discover_methodsecrets()
        return wire.parse_served(request, await self.send(request))

    async def version(self) -> tuple[str, str | None]:
        """Return the server's version, and the time of day that its answer bears."""
        request = review.version_request()
        answer = await self.send(request)
        return review.parse_version(request, answer), answer.date

    async def methodsecret_schema(self) -> dict[str, Any]:
        """Return the schema of MethodSecret as the server has it."""
        request = review.schema_request()
        return review.parse_schema(request, await self.send(request))

    async def allowed(self, access: review.Access) -> bool:
        """Return whether we may do something."""
        request = review.access_request(access)
        return review.parse_access(request, await self.send(request))

    async def create_event(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Post an Event made by kube.events."""
        request = wire.create_event(namespace, body)
        wire.check(request, await self.send(request))

    async def get_lease(self, namespace: str, name: str) -> leases.Lease:
        """Read one Lease."""
        request = leases.get_request(namespace, name)
        return leases.parse(request, await self._send_apart(request))

    async def write_lease(self, namespace: str, name: str, lease: leases.Lease) -> leases.Lease:
        """Replace the Lease that `lease` was made from, or create it; return it as it is then.

        KubeConflict where somebody else was faster, KubeNotFound where it is gone.
        """
        request = leases.write_request(namespace, name, lease)
        return leases.parse(request, await self._send_apart(request))

    async def send(self, request: wire.Request) -> wire.Answer:
        """Send one request and read the whole answer, whatever its status."""
        return await send(self._connection, request, limits=self._timeout)

    async def _send_apart(self, request: wire.Request) -> wire.Answer:
        """Send a request that waits for no other."""
        return await send(self._connection, request, limits=self._timeout, apart=True)

    async def _pages(self, request_for: Callable[[str | None], wire.Request]) -> AsyncIterator[wire.Page]:
        token: str | None = None
        while True:
            request = request_for(token)
            page = await self._page(request)
            yield page
            token = page.next_token
            if token is None:
                return

    async def _page(self, request: wire.Request) -> wire.Page:
        for attempt in range(1, LIST_ATTEMPTS + 1):
            try:
                return wire.parse_page(request, await self.send(request))
            except KubeUnavailable as error:
                wait = error.retry_after
                if error.status != 429 or wait is None or wait > _MAX_LIST_WAIT:  # noqa: PLR2004 - HTTP's own number
                    raise
                if attempt == LIST_ATTEMPTS:
                    raise
            await self._sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")


async def send(
    connection: Connection,
    request: wire.Request,
    *,
    limits: aiohttp.ClientTimeout,
    apart: bool = False,
) -> wire.Answer:
    """Send a request in its turn, or at once if `apart` from the others, and read the whole answer.

    Raises KubeUnavailable where there is none, or it is too long.
    """
    turn = contextlib.nullcontext() if apart else connection.turn
    session = connection.apart if apart else connection.session
    try:
        async with turn, _open(connection, session, request, limits) as response:
            answer = await _read(request, response)
    except Exception as error:  # noqa: BLE001 - looked at in _failure
        failure = _failure(connection, request, error)
    else:
        return answer
    # Raised out here, so that no library's error, which may quote headers, is its context.
    raise failure


async def stream(
    connection: Connection, request: wire.Request, *, limits: aiohttp.ClientTimeout
) -> AsyncGenerator[bytes, None]:
    """Send a request and yield its answer as it comes; raises KubeError unless its status is a 2xx."""
    try:
        async with _open(connection, connection.apart, request, limits) as response:
            if not response.ok:
                wire.check(request, await _read(request, response))
            async for chunk in response.content.iter_any():
                yield chunk
    except Exception as error:  # noqa: BLE001 - looked at in _failure
        failure = _failure(connection, request, error)
    else:
        return
    raise failure


def _open(
    connection: Connection,
    session: aiohttp.ClientSession,
    request: wire.Request,
    limits: aiohttp.ClientTimeout,
) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return session.request(
        request.method,
        URL(connection.server + request.path, encoded=True),
        params=request.params,
        headers=request.headers,
        data=request.body,
        timeout=limits,
        allow_redirects=False,
    )


async def _read(request: wire.Request, response: aiohttp.ClientResponse) -> wire.Answer:
    """Read the whole answer; KubeUnavailable where it is too long."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > request.max_body:
            response.close()  # the rest is not read, so the connection cannot be used again
            raise KubeUnavailable(
                verb=request.verb, what=request.what, kind="too-large", status=response.status
            )
        chunks.append(chunk)
    return wire.Answer(
        status=response.status,
        retry_after=response.headers.get("Retry-After"),
        body=b"".join(chunks),
        date=response.headers.get("Date"),
    )


def _failure(connection: Connection, request: wire.Request, error: Exception) -> KubeError:
    """Return the error by our name for it; what is no failure of the network is raised again as it is."""
    if isinstance(error, KubeError):
        return error
    if isinstance(error, TimeoutError):
        kind = "timeout"
    elif isinstance(error, aiohttp.ClientError | OSError) or connection.session.closed:
        kind = "connection"  # aiohttp says by a RuntimeError that the session was closed meanwhile
    else:
        raise error
    return KubeUnavailable(verb=request.verb, what=request.what, kind=kind)
