"""The way to the kube-apiserver: where it is, who we are, and the connections of everybody.

Credentials are found by the official client library (kubeconfig, exec plugins, OIDC, service account);
its API classes are not used. A request gets its Authorization header when it is sent, so that a token
renewed meanwhile is used by sessions that live as long as the process: ours, and the one given to kopf.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import structlog
from yarl import URL

from methodsecret_operator import __version__
from methodsecret_operator.errors import SettingsError
from methodsecret_operator.kube.nesting import ShallowResponse
from methodsecret_operator.kube.official import Configuration, InClusterConfigLoader, load_kube_config

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a Pod's token, CA and namespace."""

REFRESH_SECONDS: Final = 60.0
"""How old a token may get before its origin is asked again; client-go and the library use the same."""

POOL_SIZE: Final = 16
"""Requests at a time, each on a connection of some 0.3 MB. At 5 ms an answer, that is 3,000 a second."""
_GOODBYE_SECONDS: Final = 0.1
_READ_BUFFER: Final = 256 * 1024

log = structlog.get_logger(__name__)


class Connection:
    """A server, a default namespace, and sessions whose requests carry current credentials.

    `server` is the URL without a trailing slash (it may have a path). `session` is for requests, each in its
    `turn`: first come, first served. A limit of aiohttp's would let whoever gives a connection back take it
    again before those who wait, and many who read could hold up one who writes for seconds.
    `apart` is for what must not wait: watches, which may be as many as there are namespaces, and the Lease.
    Whoever closes the sessions it is given, as kopf does on a 401, gets one of its own by `new_session()`.
    """

    def __init__(
        self,
        *,
        server: str,
        namespace: str,
        tls: ssl.SSLContext,
        credentials: Credentials,
        proxy: str | None,
        server_name: str | None,
    ) -> None:
        self.server = server
        self.namespace = namespace
        self._origin = URL(server).origin()
        self.turn = asyncio.Semaphore(POOL_SIZE)
        self._pool = aiohttp.TCPConnector(limit=0, ssl=tls)
        self._streams = aiohttp.TCPConnector(limit=0, ssl=tls)
        self._credentials = credentials
        self._proxy = proxy
        self._server_name = server_name
        self.session = self._session(self._pool)
        self.apart = self.new_session()

    def new_session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Return another session for watches: to close it closes no other.

        `middlewares` see each request before it gets its credentials, and its answer.
        """
        return self._session(self._streams, *middlewares)

    def _session(
        self, connector: aiohttp.BaseConnector, *middlewares: aiohttp.ClientMiddlewareType
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"methodsecret-operator/{__version__}", "Accept": "application/json"},
            middlewares=(*middlewares, self._authorize),
            proxy=self._proxy,
            trust_env=False,  # proxies are settled once, in connect(); ~/.netrc is not for us
            read_bufsize=_READ_BUFFER,
            response_class=ShallowResponse,
        )

    async def close(self) -> None:
        """Close our sessions and, under them and all others, the connections."""
        await self.session.close()
        await self.apart.close()
        await self._pool.close()
        await self._streams.close()
        if self._origin.scheme == "https":
            # Streams that were broken off still say goodbye to the server, out of the pool's sight.
            await asyncio.sleep(_GOODBYE_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        # A redirect elsewhere, if somebody follows it, must not take the token along.
        if request.url.origin() == self._origin:
            header = await self._credentials.header()
            if header is not None:
                request.headers["Authorization"] = header
            if self._server_name is not None:
                request.server_hostname = self._server_name
        return await handler(request)


class Credentials:
    """The Authorization header of this moment, renewed by the library's own hook.

    Where a renewal fails, the last header stays in use: a token is renewed long before it ends, so the
    next try is likely to come in time, and if not, the server's 401 says so.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._lock = asyncio.Lock()
        self._header: str | None = None
        self._failing = False

    async def header(self) -> str | None:
        """Return the header's value; None where a client certificate says who we are, or nothing does."""
        async with self._lock:
            try:
                token = await self._configuration.get_api_key_with_prefix("BearerToken")
            except Exception as error:  # noqa: BLE001 - files, subprocesses, HTTP: the origin can fail in any way
                if not self._failing:
                    # The error's text stays out: it can quote a plugin's output.
                    log.warning("kubernetes credentials could not be renewed", error=type(error).__name__)
                self._failing = True
            else:
                self._failing = False
                # A file's last newline is no part of the token.
                self._header = token.strip() if token else None
            return self._header


async def connect(
    *,
    kubeconfig: str | None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    clock: Callable[[], float] = time.monotonic,
) -> Connection:
    """Find the cluster and the credentials for it; nothing is sent yet.

    The first of these that is there counts: `kubeconfig`, the files in `KUBECONFIG`, the Pod's service
    account (`KUBERNETES_SERVICE_HOST`), ~/.kube/config. Raises SettingsError where it cannot be used.
    """
    configuration = Configuration()
    origin = kubeconfig or environ.get("KUBECONFIG")
    if origin is None and environ.get("KUBERNETES_SERVICE_HOST"):
        namespace = _load_service_account(configuration, service_account, environ)
        origin = "the service account"
    else:
        origin = origin or str(Path.home() / ".kube" / "config")
        namespace = await _load_kubeconfig(configuration, origin, context, clock)
    server = configuration.host.rstrip("/")
    if URL(server).scheme not in {"http", "https"}:
        raise SettingsError(f"{origin}: the cluster's server is not an http:// or https:// URL")
    if not configuration.verify_ssl:
        log.warning(
            "the kube-apiserver's certificate is not verified: insecure-skip-tls-verify is set",
            kubeconfig=origin,
        )
    try:
        tls = _tls_context(configuration)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = type(error).__name__
        raise SettingsError(f"{origin}: its certificates or key cannot be loaded ({reason})") from None
    return Connection(
        server=server,
        namespace=namespace,
        tls=tls,
        credentials=Credentials(configuration),
        proxy=configuration.proxy or _proxy_for(URL(server)),
        server_name=configuration.tls_server_name,
    )


async def _load_kubeconfig(
    configuration: Configuration, paths: str, context: str | None, clock: Callable[[], float]
) -> str:
    """Fill the configuration from kubeconfig files, and return the context's namespace."""
    configuration.host = ""
    try:
        # Tokens that the library renews stay in memory: the user's file is not ours to write.
        loader: Any = await load_kube_config(  # type: ignore[no-untyped-call]  # the library is untyped
            config_file=paths, context=context, client_configuration=configuration, persist_config=False
        )
        namespace = loader.current_context["context"].get("namespace") or "default"
    except Exception as error:  # noqa: BLE001 - the library raises whatever its parsing trips over
        # The error's text stays out: it can quote the file, tokens included.
        raise SettingsError(
            f"kubeconfig {paths}: it does not exist or cannot be used ({type(error).__name__}); "
            f"see what kubectl makes of it: kubectl config view --minify"
            f"{f' --context {context}' if context else ''}"
        ) from None
    next_refresh = clock() + REFRESH_SECONDS

    async def refresh(_: Configuration) -> None:
        nonlocal next_refresh
        if clock() < next_refresh:
            return
        next_refresh = clock() + REFRESH_SECONDS
        # Reads a token file again, runs an exec plugin or asks the OIDC issuer if the token is due.
        await loader.load_and_set(configuration)

    # The attribute is for such functions, sync or async; the library's code gives it no type but None's.
    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    return str(namespace)


def _load_service_account(configuration: Configuration, directory: Path, environ: Mapping[str, str]) -> str:
    """Fill the configuration from the Pod's service account, and return the Pod's namespace."""
    loader: Any = InClusterConfigLoader(  # type: ignore[no-untyped-call]  # the library is untyped
        token_filename=str(directory / "token"), cert_filename=str(directory / "ca.crt"), environ=environ
    )
    try:
        # Sets the library's hook, which reads the token file again after a minute.
        loader.load_and_set(configuration)
        return (directory / "namespace").read_text(encoding="utf-8").strip()
    except Exception as error:  # noqa: BLE001 - the library raises its own classes besides OSError
        raise SettingsError(
            f"KUBERNETES_SERVICE_HOST is set, but the service account in {directory} cannot be used "
            f"({type(error).__name__}): the Pod needs automountServiceAccountToken, or set KUBECONFIG"
        ) from None


def _tls_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy_for(server: URL) -> str | None:
    """Return the proxy that the environment names for this server (HTTPS_PROXY, NO_PROXY and so on).

    Asked once: aiohttp's own trust_env would ask in a thread for every request, and read ~/.netrc.
    """
    proxies = urllib.request.getproxies()
    host = server.host_port_subcomponent or ""
    if urllib.request.proxy_bypass(host):
        return None
    return proxies.get(server.scheme)
