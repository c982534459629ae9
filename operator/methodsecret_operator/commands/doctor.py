"""`doctor`: looks at everything that the operator depends on, and says what to do. Nothing is changed.

Each check stands for itself: one that cannot be made is a line with what to do, and the others go on.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import click
from tabulate import tabulate

from methodsecret_operator import settings as all_settings
from methodsecret_operator.commands import checks, permissions
from methodsecret_operator.commands.checks import Level, Line
from methodsecret_operator.errors import (
    KubeError,
    KubeNotFound,
    MethodError,
    MethodUnauthorized,
    SettingsError,
)
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import connect
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.runtime import startup
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.settings import Settings

T = TypeVar("T")
_AT_ONCE: Final = 8
_FORBIDDEN: Final = 403


async def run(settings: Settings, *, output: Literal["table", "json"]) -> int:
    """Make every check, print them, and return the exit code: 1 where something is to do, else 0.

    Raises SettingsError where the kubeconfig cannot be used.
    """
    lines = [
        Line("settings", Level.TODO, sentence, "correct or remove the variable")
        for sentence in all_settings.unknown_variables(os.environ)
    ]
    async with await connect(kubeconfig=settings.kubeconfig) as connection:
        lines += [line async for line in cluster(settings, KubeClient(connection), connection.server)]
    accounts = Accounts(
        writes_per_minute=settings.writes_per_minute, reads_per_minute=settings.reads_per_minute
    )
    try:
        lines += [line async for line in method(settings, accounts)]
    finally:
        await accounts.aclose()
    click.echo(
        json.dumps({"checks": [asdict(line) for line in lines]}, indent=2)
        if output == "json"
        else table(lines)
    )
    return 1 if any(line.level is Level.TODO for line in lines) else 0


def table(lines: list[Line]) -> str:
    """Return the checks for people."""
    rows = [(line.level, line.check, line.found, line.todo) for line in lines]
    headers = ("", "CHECK", "FOUND", "WHAT TO DO")
    shown = tabulate(rows, headers, "plain", disable_numparse=True, maxcolwidths=[None, None, 48, 48])
    return "\n".join(row.rstrip() for row in shown.splitlines())


async def cluster(settings: Settings, kube: KubeClient, server: str) -> AsyncIterator[Line]:
    """Yield the checks of the cluster; of one that does not answer, only that."""
    try:
        (version, date), sent, received = await _timed(kube.version)
    except KubeError as error:
        yield Line("kube-apiserver", Level.TODO, f"{server}: {error}", "check the way to it, and KUBECONFIG")
        return
    yield Line("kube-apiserver", Level.OK, f"{version} at {server}")
    yield checks.clock("kube-apiserver", date, sent=sent, received=received)
    yield await _crd(kube)
    try:
        key = await startup.digest_key(kube, settings.operator_namespace, settings.digest_key_secret)
        digest, made = Line("digest key", Level.OK, f"id {key.id}; keep a backup of its Secret"), True
    except KubeNotFound:
        what = f"{settings.operator_namespace}/{settings.digest_key_secret}"
        todo = "the operator makes it at its first start; restore it first if there was one"
        digest, made = Line("digest key", Level.ADVICE, f"there is no Secret {what}", todo), False
    except (KubeError, SettingsError) as error:
        digest, made = Line("digest key", Level.TODO, str(error), "see DIGEST_KEY_SECRET"), True
    async for line in _rights(settings, kube, key_there=made):
        yield line
    yield digest
    yield checks.cluster_name(settings.cluster_name)
    if settings.leader_election:
        yield await _leader(kube, settings.operator_namespace, settings.lease_name)
    else:
        yield Line("leader", Level.OK, "LEADER_ELECTION is off: run one operator and no more")


async def method(settings: Settings, accounts: Accounts) -> AsyncIterator[Line]:
    """Yield the checks of the operator's own account at Method."""
    base_url = settings.base_url_for(settings.environment)
    key = DefaultKey(api_key=settings.api_key, path=settings.api_key_file).value
    if key is None:
        if settings.api_key_file is not None:
            yield Line("API key", Level.TODO, "the file of API_KEY_FILE holds none", "put it there")
        else:
            found = "none of the operator's own: only objects with spec.account are served"
            yield Line("API key", Level.ADVICE, found, "set API_KEY_FILE, unless that is meant")
        return
    todo = f"check that it is a key of {settings.environment} and not revoked"
    try:
        account = await accounts.account(base_url=base_url, api_key=key)
        date, sent, received = await _timed(account.client.ping)
    except MethodUnauthorized as error:
        yield Line("API key", Level.TODO, f"refused by {base_url} ({error})", todo)
        return
    except MethodError as error:
        yield Line("Method", Level.TODO, f"{base_url}: {error}", "check the way to it (proxy, firewall)")
        return
    yield Line("API key", Level.OK, f"accepted by {base_url}")
    yield checks.clock("Method", date, sent=sent, received=received)
    try:
        await account.client.list_page(limit=1)
    except MethodError as error:
        found, todo = f"refused or failed: {error}", "let the key list secrets"
        if error.status == _FORBIDDEN:
            found = "refused: only idempotency keys guard against duplicates, and nothing lost is found again"
        yield Line("list at Method", Level.TODO, found, todo)
    else:
        yield Line("list at Method", Level.OK, "allowed")


async def _crd(kube: KubeClient) -> Line:
    todo = "apply crds/ of this version"
    try:
        if not await kube.methodsecrets_served():
            return Line("CRD", Level.TODO, "the kind MethodSecret is not served", todo)
        return checks.schema(await kube.methodsecret_schema())
    except KubeError as error:
        return Line("CRD", Level.TODO, f"cannot be read: {error}", todo)


async def _rights(settings: Settings, kube: KubeClient, *, key_there: bool) -> AsyncIterator[Line]:
    needs = [*permissions.needed(settings)]
    if not key_there:
        needs.append(permissions.to_make_the_digest_key(settings))
    turn = asyncio.Semaphore(_AT_ONCE)

    async def ask(need: permissions.Need) -> tuple[permissions.Need, bool]:
        async with turn:
            return need, await kube.allowed(need.access)

    try:
        answers = await asyncio.gather(*map(ask, needs))
    except KubeError as error:
        yield Line("rights", Level.TODO, f"cannot be asked: {error}", "allow selfsubjectaccessreviews")
        return
    for line in checks.rights(answers):
        yield line


async def _leader(kube: KubeClient, namespace: str, name: str) -> Line:
    try:
        lease = await kube.get_lease(namespace, name)
    except KubeNotFound:
        lease = None
    except KubeError as error:
        return Line("leader", Level.ADVICE, f"the Lease cannot be read: {error}", "see rights")
    return checks.leader(lease, now=datetime.now(UTC))


async def _timed(ask: Callable[[], Awaitable[T]]) -> tuple[T, datetime, datetime]:
    """Return an answer, and the times between which it was given."""
    sent = datetime.now(UTC)
    answer = await ask()
    return answer, sent, datetime.now(UTC)
