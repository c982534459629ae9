"""`release`: takes our finalizer off MethodSecrets, so that they can be deleted with no operator running.

For an uninstall. Nothing is deleted, here or at Method: the ids that stay there are printed, for whoever
is to see to them. Not for use beside a working operator, which would put each finalizer back: a leader is
noticed by its Lease, by our own clock alone, as a candidate would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from methodsecret_operator.commands.asking import confirmed
from methodsecret_operator.core.resource import FINALIZER
from methodsecret_operator.errors import (
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeNotFound,
    KubeRejected,
)
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import connect
from methodsecret_operator.kube.lease import Lease
from methodsecret_operator.method.wire import is_secret_id
from methodsecret_operator.runtime.leadership import RETRY_SHARE, Watched
from methodsecret_operator.settings import Settings

ATTEMPTS: Final = 5
"""How often one object is tried that others change meanwhile."""

_LEASE_SECONDS: Final = 15.0
"""For a Lease that does not say how long it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An object with our finalizer. `ids` are those that its status names: they stay at Method."""

    namespace: str
    name: str
    uid: str
    finalizers: tuple[str, ...]
    deleting: bool
    ids: tuple[str, ...]

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


def held(document: Mapping[str, Any]) -> Held | None:
    """Return what is to be released of an object as the server has it; None where it is not held by us.

    Reads no more of it than it needs: an object of another version's schema is to be released as well.
    """
    metadata, status = document["metadata"], document.get("status") or {}
    finalizers = tuple(metadata.get("finalizers") or ())
    if FINALIZER not in finalizers:
        return None
    former = status.get("superseded") or ()
    named: list[Any] = [status.get("id"), *(entry.get("id") for entry in former if isinstance(entry, dict))]
    return Held(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        finalizers=finalizers,
        deleting="deletionTimestamp" in metadata,
        ids=tuple(dict.fromkeys(found for found in named if is_secret_id(found))),
    )


async def run(settings: Settings, *, dry_run: bool, yes: bool, force: bool) -> int:
    """Release every MethodSecret of the settings' namespaces; return the exit code.

    0: none is held by us any more; 1: some still are, or an operator is at work. Raises OperatorError.
    """
    async with await connect(kubeconfig=settings.kubeconfig) as connection:
        kube = KubeClient(connection)
        found = [one async for one in _all_held(kube, settings.namespaces)]
        where = f"in {', '.join(settings.namespaces)}" if settings.namespaces else "in any namespace"
        if not found:
            click.echo(f"No MethodSecret {where} has the finalizer {FINALIZER}.")
            return 0
        for one in found:
            click.echo(_line(one))
        if dry_run:
            click.echo(f"{len(found)} to release; this was a dry run, nothing was changed.")
            return 0
        if not force and (why := await _in_the_way(kube, settings)) is not None:
            click.echo(f"Nothing was released: {why}", err=True)
            return 1
        question = f"Release {len(found)} MethodSecrets, so that what they stored stays at Method?"
        if not confirmed(question, yes=yes):
            click.echo("Nothing was released.", err=True)
            return 1
        failed = [one for one in found if not await _released(kube, one)]
        left = [one async for one in _all_held(kube, settings.namespaces)]
        return _summary(found, failed=failed, left=left)


async def release(kube: KubeClient, one: Held) -> None:
    """Take our finalizer off one object. It is fine if it, or the object, is gone by then.

    Raises KubeError: KubeConflict or KubeRejected where that failed ATTEMPTS times in a row.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await kube.remove_finalizer(one.namespace, one.name, uid=one.uid, finalizers=one.finalizers)
        except KubeNotFound:
            return
        except (KubeConflict, KubeRejected):
            try:
                now = held(await kube.get_methodsecret(one.namespace, one.name))
            except KubeNotFound:
                return
            if now is None or now.uid != one.uid:  # an object of the same name is not the one that was shown
                return
            # Refused again with the list as it is: then it is the object that the server does not take.
            if attempt == ATTEMPTS:
                raise
            one = now
        else:
            return


async def leader(
    kube: KubeClient,
    namespace: str,
    name: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> str | None:
    """Return who renews the Lease of the operators, after a wait for that; None where nobody does.

    Raises KubeError: KubeNotFound where there is no Lease.
    """
    watched, first = Watched(seconds=_LEASE_SECONDS), None
    while True:
        lease: Lease = await kube.get_lease(namespace, name)
        if watched.free(lease, now=clock()):
            return None
        first = first or lease
        if lease.spec != first.spec:
            return lease.holder
        await sleep((lease.seconds or _LEASE_SECONDS) * RETRY_SHARE)


async def _in_the_way(kube: KubeClient, settings: Settings) -> str | None:
    namespace, name = settings.operator_namespace, settings.lease_name
    click.echo(f"Looking whether an operator renews the Lease {namespace}/{name} …", err=True)
    try:
        holder = await leader(kube, namespace, name)
    except KubeNotFound:
        click.echo(
            f"There is no Lease {namespace}/{name}. An operator in another namespace (--operator-namespace),"
            " with another Lease (--lease-name) or without leader election cannot be noticed by it: make sure"
            " that none is running.",
            err=True,
        )
        return None
    except KubeForbidden as error:
        return f"whether an operator is at work cannot be seen ({error}). Allow that, or give --force."
    if holder is None:
        return None
    return (  # the shipped Deployments are called as their Lease
        f"the operator {holder} is at work and would put the finalizers back. Stop it first"
        f" (kubectl -n {namespace} scale deployment {name} --replicas=0), or give --force."
    )


async def _all_held(kube: KubeClient, namespaces: tuple[str, ...]) -> AsyncIterator[Held]:
    for namespace in namespaces or (None,):
        try:
            async for document in kube.list_methodsecrets(namespace):
                if (one := held(document)) is not None:
                    yield one
        except KubeNotFound:  # the CustomResourceDefinition is gone, and every object with it
            return


async def _released(kube: KubeClient, one: Held) -> bool:
    try:
        await release(kube, one)
    except KubeError as error:
        click.echo(f"{one.key}: not released: {error}", err=True)
        return False
    return True


def _line(one: Held) -> str:
    state = "is being deleted, and goes when released" if one.deleting else "is held"
    stays = f"stays at Method: {', '.join(one.ids)}" if one.ids else "its status names nothing at Method"
    return f"{one.key}: {state}; {stays}"


def _summary(found: list[Held], *, failed: list[Held], left: list[Held]) -> int:
    ids = sum(len(one.ids) for one in found)
    click.echo(
        f"{len(found) - len(failed)} of {len(found)} released; ids that stay at Method, see above: {ids}"
    )
    released = {one.uid for one in found} - {one.uid for one in failed}
    if back := [one.key for one in left if one.uid in released]:
        keys = ", ".join(back)
        click.echo(
            f"Somebody has put the finalizer back on {keys}: stop the operator, then release again.", err=True
        )
    if new := [one.key for one in left if one.uid not in {shown.uid for shown in found}]:
        click.echo(f"Held since the list was made: {', '.join(new)}. Release again.", err=True)
    return 1 if failed or left else 0
