"""Where the cluster is, who we are there, and that the token follows its file."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
from kubernetes.aio.config import incluster_config
from structlog.testing import capture_logs

from dev.controlplane.certs import Authority
from methodsecret_operator.errors import SettingsError
from methodsecret_operator.kube.connection import REFRESH_SECONDS, Connection, connect

if TYPE_CHECKING:
    from tests.unit.kube.conftest import ScriptedServer
else:
    ScriptedServer = Any

TOKEN = "canary-token"
Write = Callable[..., Path]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def authorization(
    server: ScriptedServer, session: aiohttp.ClientSession, path: str = "/x"
) -> str | None:
    """Send a request, and return the Authorization header as the server got it."""
    server.answer(200, b"{}")
    async with session.get(server.url + path) as response:
        await response.read()
    return server.seen[-1].headers.get("authorization")


def service_account(directory: Path, *, token: str = TOKEN) -> Path:
    """Make a directory like the one that Kubernetes mounts into a Pod."""
    directory.mkdir()
    Authority(directory)  # writes ca.crt
    (directory / "token").write_text(token, encoding="utf-8")
    (directory / "namespace").write_text("payments\n", encoding="utf-8")
    return directory


async def test_the_first_origin_that_is_there_counts(
    kubeconfig: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = service_account(tmp_path / "mounted")
    given = kubeconfig("http://given:1", name="given")
    named = kubeconfig("http://named:1", name="named", namespace="team")
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    kubeconfig("http://home:1").rename(home / ".kube" / "config")
    monkeypatch.setenv("HOME", str(home))
    pod = {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "443"}

    async def found(path: Path | None, environ: dict[str, str]) -> tuple[str, str]:
        async with await connect(
            kubeconfig=str(path) if path else None, environ=environ, service_account=mounted
        ) as connection:
            return connection.server, connection.namespace

    assert await found(given, {"KUBECONFIG": str(named), **pod}) == ("http://given:1", "default")
    assert await found(None, {"KUBECONFIG": str(named), **pod}) == ("http://named:1", "team")
    assert await found(None, pod) == ("https://[::1]:443", "payments")
    assert await found(None, {}) == ("http://home:1", "default")
    assert await found(None, {"KUBECONFIG": f"/nowhere:{named}"}) == ("http://named:1", "team")


async def test_a_context_can_be_chosen(kubeconfig: Write) -> None:
    path = kubeconfig("http://first:1")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["clusters"].append({"name": "d", "cluster": {"server": "http://second:1/k8s/clusters/c-1/"}})
    document["contexts"].append({"name": "there", "context": {"cluster": "d", "user": "u"}})
    path.write_text(json.dumps(document), encoding="utf-8")
    async with await connect(kubeconfig=str(path), context="there") as connection:
        assert connection.server == "http://second:1/k8s/clusters/c-1"


async def test_a_token_file_is_read_again(server: ScriptedServer, kubeconfig: Write, tmp_path: Path) -> None:
    clock = Clock()
    token = tmp_path / "token"
    token.write_text("first\n", encoding="utf-8")
    path = kubeconfig(server.url, user={"tokenFile": str(token)})
    async with await connect(kubeconfig=str(path), clock=clock) as connection:
        theirs = connection.new_session()
        assert await authorization(server, connection.session) == "Bearer first"
        token.write_text("second\n", encoding="utf-8")
        assert await authorization(server, theirs) == "Bearer first", "not read for every request"
        clock.now += REFRESH_SECONDS
        assert await authorization(server, theirs) == "Bearer second", "a long-lived session follows"
        assert await authorization(server, connection.session) == "Bearer second"
        token.unlink()
        clock.now += REFRESH_SECONDS
        with capture_logs() as logs:
            assert await authorization(server, connection.session) == "Bearer second", "the last stays in use"
        assert [entry["error"] for entry in logs] == ["FileNotFoundError"]
        token.write_text("third", encoding="utf-8")
        clock.now += REFRESH_SECONDS
        assert await authorization(server, connection.session) == "Bearer third"
        await theirs.close()


async def test_a_service_account_token_is_read_again(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LaterTime(datetime):
        later = timedelta()

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> LaterTime:
            return super().now(tz) + cls.later

    # The library's own clock, which it lets nobody pass in.
    monkeypatch.setattr(
        incluster_config, "datetime", SimpleNamespace(datetime=LaterTime, timedelta=timedelta)
    )
    mounted = service_account(tmp_path / "mounted", token="first\n")
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    async with await connect(kubeconfig=None, environ=environ, service_account=mounted) as connection:
        credentials = connection._credentials
        assert await credentials.header() == "bearer first"
        (mounted / "token").write_text("second\n", encoding="utf-8")
        assert await credentials.header() == "bearer first"
        LaterTime.later = timedelta(seconds=61)
        assert await credentials.header() == "bearer second"


async def test_an_exec_plugin_is_asked_again_when_its_token_ends(
    server: ScriptedServer, kubeconfig: Write, tmp_path: Path
) -> None:
    clock = Clock()
    answer = tmp_path / "answer.json"

    def answers(token: str, expiry: str) -> None:
        status = {"token": token, "expirationTimestamp": expiry}
        kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        answer.write_text(json.dumps(kind | {"status": status}), encoding="utf-8")

    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [str(answer)]}
    answers("first", "2020-01-01T00:00:00Z")
    path = kubeconfig(server.url, user={"exec": plugin})
    async with await connect(kubeconfig=str(path), clock=clock) as connection:
        assert await authorization(server, connection.session) == "Bearer first"
        answers("second", "2999-01-01T00:00:00Z")
        clock.now += REFRESH_SECONDS
        assert await authorization(server, connection.session) == "Bearer second"
        answers("third", "2999-01-01T00:00:00Z")
        clock.now += REFRESH_SECONDS
        assert await authorization(server, connection.session) == "Bearer second", "it is still good"


async def test_many_requests_at_once_make_one_renewal(
    server: ScriptedServer, kubeconfig: Write, tmp_path: Path
) -> None:
    clock = Clock()
    count = tmp_path / "count"
    status = {"status": {"token": "t"}, "apiVersion": "v1", "kind": "ExecCredential"}
    script = f"echo x >> {count}; echo '{json.dumps(status)}'"
    plugin = {"apiVersion": "v1", "command": "sh", "args": ["-c", script]}
    path = kubeconfig(server.url, user={"exec": plugin})
    async with await connect(kubeconfig=str(path), clock=clock) as connection:
        clock.now += REFRESH_SECONDS
        await asyncio.gather(*(authorization(server, connection.session) for _ in range(20)))
        assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer t"}
        assert count.read_text(encoding="utf-8").count("x") == 2, "at the start, and once renewed"


async def test_the_token_goes_to_no_other_server(
    server: ScriptedServer, connection: Connection, kubeconfig: Write
) -> None:
    other = kubeconfig("http://127.0.0.1:1", user={"token": TOKEN}, name="other")
    async with await connect(kubeconfig=str(other)) as elsewhere:
        assert await authorization(server, elsewhere.session) is None
    assert await authorization(server, connection.session) == "Bearer made-up"


async def test_a_session_given_away_can_be_closed(server: ScriptedServer, connection: Connection) -> None:
    theirs = connection.new_session()
    assert await authorization(server, theirs) == "Bearer made-up"
    await theirs.close()
    assert await authorization(server, connection.session) == "Bearer made-up"


async def test_cookies_are_ignored(server: ScriptedServer, connection: Connection) -> None:
    url = f"http://localhost:{server.port}"  # from a bare address aiohttp takes no cookies anyway
    server.answer(200, b"{}", headers={"Set-Cookie": "sticky=1"})
    server.answer(200, b"{}")
    for _ in range(2):
        async with connection.session.get(url):
            pass
    assert "cookie" not in server.seen[-1].headers


async def test_a_netrc_is_not_read(
    server: ScriptedServer, kubeconfig: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    async with await connect(kubeconfig=str(kubeconfig(server.url, user={"username": "u"}))) as connection:
        assert await authorization(server, connection.session) is None


class ProxyRow(NamedTuple):
    """Settings, and whether the request then goes through the proxy."""

    reason: str
    environment: dict[str, str]
    cluster: dict[str, str]
    proxied: bool


PROXY = "http://user:pass@127.0.0.1:{port}"
PROXIES = [
    ProxyRow("nothing set", {}, {}, proxied=False),
    ProxyRow("the environment names one", {"HTTP_PROXY": PROXY}, {}, proxied=True),
    ProxyRow("NO_PROXY takes it back", {"HTTP_PROXY": PROXY, "NO_PROXY": "cluster.test"}, {}, proxied=False),
    ProxyRow("the kubeconfig names one", {}, {"proxy-url": PROXY}, proxied=True),
    ProxyRow("the kubeconfig's wins over NO_PROXY", {"NO_PROXY": "*"}, {"proxy-url": PROXY}, proxied=True),
    ProxyRow("one for another scheme", {"HTTPS_PROXY": PROXY}, {}, proxied=False),
]


@pytest.mark.parametrize("row", PROXIES, ids=lambda row: row.reason)
async def test_proxies(
    server: ScriptedServer, kubeconfig: Write, monkeypatch: pytest.MonkeyPatch, row: ProxyRow
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in row.environment.items():
        monkeypatch.setenv(name, value.format(port=server.port))
    cluster = {key: value.format(port=server.port) for key, value in row.cluster.items()}
    server.answer(200, b"{}")
    path = kubeconfig("http://cluster.test", cluster=cluster)
    async with await connect(kubeconfig=str(path)) as connection:
        if not row.proxied:
            assert connection._proxy is None, row.reason
            return
        async with connection.session.get("http://cluster.test/version"):
            pass
    [seen] = server.seen
    assert seen.target == "http://cluster.test/version"
    assert seen.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert seen.headers["authorization"] == "Bearer made-up"


class Broken(NamedTuple):
    """A kubeconfig that cannot be used."""

    reason: str
    text: str


BROKEN = [
    Broken("empty", ""),
    Broken("no YAML", f"\t{TOKEN}: ["),
    Broken("no object", f"[{TOKEN}]"),
    Broken("no current context", json.dumps({"users": [{"name": "u", "user": {"token": TOKEN}}]})),
    Broken(
        "a context of no such cluster",
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "clusters": [],
            }
        ),
    ),
    Broken(
        "a server without a scheme",
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "clusters": [{"name": "c", "cluster": {"server": "127.0.0.1"}}],
            }
        ),
    ),
    Broken(
        "a cluster without a server",
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "clusters": [{"name": "c", "cluster": {"insecure-skip-tls-verify": False}}],
            }
        ),
    ),
    Broken(
        "a CA that is none",
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "clusters": [
                    {"name": "c", "cluster": {"server": "https://x", "certificate-authority-data": "eHg="}}
                ],
            }
        ),
    ),
]


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row.reason)
async def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, row: Broken) -> None:
    path = tmp_path / "config"
    path.write_text(row.text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        await connect(kubeconfig=str(path))
    assert str(path) in str(caught.value), row.reason
    assert TOKEN not in str(caught.value)


async def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist or cannot be used"):
        await connect(kubeconfig=str(tmp_path / "nowhere"))


async def test_a_pod_without_a_service_account(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(SettingsError, match="automountServiceAccountToken"):
        await connect(kubeconfig=None, environ=environ, service_account=tmp_path)
