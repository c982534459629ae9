"""Proxies and private certificates, by a real CONNECT proxy and real TLS on 127.0.0.1."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from dev.controlplane.certs import Authority
from methodsecret_operator import errors
from methodsecret_operator.method.accounts import Accounts
from tests.unit.method.servers import API_KEY, VALUE, always, raw_server, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from methodsecret_operator.method.client import MethodClient

HOST = "method.test"  # known to nobody but the proxy
LOGIN = base64.b64encode(b"user:p@ss").lower()
SECRET = b'{"id": "sec_a1", "status": "active"}'


@dataclass(frozen=True)
class Certificates:
    """A private authority's certificate as a file, and a server's TLS settings."""

    authority: Path
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    server = authority.server("server", dns=[HOST], addresses=[])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    return Certificates(authority.certificate, context)


@dataclass
class Proxy:
    """A CONNECT proxy that leads every name to one port, and remembers what it was asked."""

    leads_to: int
    refuses_with: bytes = b""
    heads: list[bytes] = field(default_factory=list)
    port: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        if self.refuses_with:
            writer.write(self.refuses_with)
        else:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(self._pipe(reader, there_writer), self._pipe(there_reader, writer))
        writer.close()

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxy(leads_to: int, refuses_with: bytes = b"") -> AsyncIterator[Proxy]:
    running = Proxy(leads_to, refuses_with)
    listener = await asyncio.start_server(running.handle, "127.0.0.1", 0)
    running.port = listener.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        listener.close()
        await listener.wait_closed()


@contextlib.asynccontextmanager
async def account(base_url: str) -> AsyncIterator[MethodClient]:
    accounts = Accounts(writes_per_minute=1800, reads_per_minute=6000)
    try:
        yield (await accounts.account(base_url=base_url, api_key=API_KEY)).client
    finally:
        await accounts.aclose()


async def test_through_a_proxy_with_a_password_to_a_private_authority(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    async with raw_server(tls=certificates.server) as server, proxy(server.port) as way:
        server.talk = always(server, reply(SECRET))
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@127.0.0.1:{way.port}")
        async with account(f"https://{HOST}:{server.port}") as client:
            await client.create(value=VALUE, metadata={}, idempotency_key="key-1")
            await client.retrieve("sec_a1")
    assert len(server.requests) == 2
    assert len(way.heads) == 1, "the way through the proxy is kept"
    head = way.heads[0]
    assert head.startswith(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n".encode())
    assert b"proxy-authorization: basic " + LOGIN + b"\r\n" in head.lower()
    assert b"canary" not in head, "the proxy sees neither API key nor value"
    assert b"proxy-authorization" not in server.requests[0].lower(), "nor the API the proxy's password"


async def test_through_a_proxy_with_a_password_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server() as way:
        way.talk = always(way, reply(SECRET))
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{way.port}")
        async with account(f"http://{HOST}") as client:
            await client.retrieve("sec_a1")
    (head,) = way.requests
    assert head.startswith(f"GET http://{HOST}/secrets/sec_a1 HTTP/1.1\r\n".encode())
    assert head.lower().count(b"proxy-authorization: basic " + LOGIN + b"\r\n") == 1


async def test_no_proxy_names_what_is_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server() as server, proxy(server.port) as way:
        server.talk = always(server, reply(SECRET))
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{way.port}")
        monkeypatch.setenv("NO_PROXY", "10.0.0.1,127.0.0.1")
        async with account(server.url) as client:
            await client.retrieve("sec_a1")
    assert (len(server.requests), way.heads) == (1, [])


async def test_a_certificate_of_an_unknown_authority_is_refused(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_server(tls=certificates.server) as server, proxy(server.port) as way:
        server.talk = always(server, reply(SECRET))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{way.port}")
        async with account(f"https://{HOST}:{server.port}") as client:
            with pytest.raises(errors.MethodUnavailable, match="create: connection"):
                await client.create(value=VALUE, metadata={}, idempotency_key="key-1")
        assert server.requests == []


async def test_a_certificate_for_another_name_is_refused(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    async with raw_server(tls=certificates.server) as server:
        server.talk = always(server, reply(SECRET))
        async with account(server.url) as client:  # by address; the certificate is for a name
            with pytest.raises(errors.MethodUnavailable, match="create: connection"):
                await client.create(value=VALUE, metadata={}, idempotency_key="key-1")
        assert server.requests == []


async def test_a_proxy_that_refuses_is_an_outage_and_quotes_nothing(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    refusal = b"HTTP/1.1 407 canary-password\r\nContent-Length: 0\r\n\r\n"
    async with proxy(1, refusal) as way:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary-password@127.0.0.1:{way.port}")
        async with account(f"https://{HOST}") as client:
            with pytest.raises(errors.MethodUnavailable) as caught:
                await client.create(value=VALUE, metadata={}, idempotency_key="key-1")
    assert len(way.heads) == 1
    assert caught.value.status is None
    assert caught.value.__context__ is None
    assert "canary" not in f"{caught.value}{vars(caught.value)}"


@pytest.mark.parametrize("url", ["ftp://user:canary@proxy", "http://user:canary@proxy:port"])
async def test_a_proxy_that_is_none_is_a_mistake_in_the_settings(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(errors.SettingsError, match="HTTPS_PROXY") as caught:
        async with account(f"https://{HOST}"):
            pass
    assert caught.value.__context__ is None
    assert "canary" not in str(caught.value)


def test_certificates_that_are_none_are_a_mistake_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(errors.SettingsError, match="SSL_CERT_FILE"):
            Accounts(writes_per_minute=1, reads_per_minute=1)
