"""`orphans`: lists the secrets at Method that no object stands behind, and deletes those that a person names.

An object deleted with deletionPolicy Retain, the default, leaves its secrets there on purpose; nothing tells
these from forgotten ones, so nothing is deleted without being asked for. What is deleted must be an orphan by
the survey just made, and by a look at both ends right before the DELETE.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import click
from pydantic import TypeAdapter, ValidationError
from tabulate import tabulate

from methodsecret_operator.commands.asking import confirmed
from methodsecret_operator.commands.survey import Found, Survey, Surveyor
from methodsecret_operator.core import orphans
from methodsecret_operator.core.identity import Marker
from methodsecret_operator.core.orphans import Verdict
from methodsecret_operator.core.resource import Duration, parse_duration
from methodsecret_operator.errors import KubeError, MethodError, MethodNotFound
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import connect
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.settings import Settings

Output = Literal["table", "json"]

RETAINED: Final = (
    "An object deleted with deletionPolicy Retain, the default, leaves its secrets at Method on purpose, and"
    " takes them over when it is applied again. They look like forgotten ones: delete only what nobody uses."
)

NOT_KNOWN: Final = "Method does not know it when asked, though its list had it: run the command again later"
"""A 404 does not outweigh a list (decision 14); what somebody else has deleted is soon in none."""

_DURATION: Final = TypeAdapter[str](Duration)


def parse_age(text: str) -> timedelta | None:
    """Return the length of a duration such as 1h30m; None where it is none."""
    try:
        return parse_duration(_DURATION.validate_python(text))
    except ValidationError:
        return None


async def run(
    settings: Settings,
    *,
    min_age: timedelta,
    output: Output,
    delete: Collection[str] | Literal["all"],
    yes: bool,
) -> int:
    """List orphans, and delete those in `delete`; return the exit code.

    0: done; 1: something in the settings' scope was not judged, or not deleted. Raises OperatorError.
    """
    accounts = Accounts(
        writes_per_minute=settings.writes_per_minute, reads_per_minute=settings.reads_per_minute
    )
    try:
        async with await connect(kubeconfig=settings.kubeconfig) as connection:
            surveyor = Surveyor(
                settings=settings,
                kube=KubeClient(connection),
                accounts=accounts,
                clock=lambda: datetime.now(UTC),
                min_age=min_age,
            )
            survey = await surveyor.survey()
            # The table is for the person who is asked; the document comes once, when all is done.
            if output == "table":
                click.echo(as_table(survey))
            done = await _delete(surveyor, survey, delete, yes=yes)
            if output == "json":
                click.echo(json.dumps(as_document(survey, deletions=done), indent=2))
    finally:
        await accounts.aclose()
    failed = any(why is not None for why in done.values())
    return 1 if failed or any(one.failed for one in survey.unjudged) else 0


def as_table(survey: Survey) -> str:
    """Return a survey for people."""
    rows = [
        (one.secret.id, one.owner.key, one.place.environment, one.secret.created_at, one.place.label)
        for one in _sorted(survey.orphans.values())
    ]
    lines = [f"{len(rows)} orphans of cluster {survey.cluster}, digest key {survey.view.key_id}."]
    if rows:
        headers = ("ID", "OWNER THAT IS GONE", "ENVIRONMENT", "CREATED", "ACCOUNT")
        lines += ["", tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True), "", RETAINED]
    others = [(count, verdict) for verdict, count in survey.counts.items() if verdict is not Verdict.ORPHAN]
    lines += [f"Not orphans: {count} {verdict}" for count, verdict in sorted(others) if verdict.judged]
    lines += [f"Not judged: {one.what}: {one.why}" for one in survey.unjudged]
    return "\n".join(lines)


def as_document(survey: Survey, *, deletions: dict[str, str | None]) -> dict[str, Any]:
    """Return a survey, and what became of the deletions, for programs."""
    return {
        "cluster": survey.cluster,
        "digestKeyId": survey.view.key_id,
        "orphans": [
            {
                "id": one.secret.id,
                "namespace": one.owner.namespace,
                "name": one.owner.name,
                "uid": one.marker.uid,
                "environment": one.place.environment,
                "account": one.place.label,
                "createdAt": one.secret.created_at,
            }
            for one in _sorted(survey.orphans.values())
        ],
        "counts": {str(verdict): count for verdict, count in sorted(survey.counts.items())},
        "notJudged": [{"what": one.what, "why": one.why, "failed": one.failed} for one in survey.unjudged],
        "deleted": [secret_id for secret_id, why in deletions.items() if why is None],
        "notDeleted": {secret_id: why for secret_id, why in deletions.items() if why is not None},
    }


async def _delete(
    surveyor: Surveyor, survey: Survey, wanted: Collection[str] | Literal["all"], *, yes: bool
) -> dict[str, str | None]:
    """Delete what is wanted; return each id with why it was not deleted, None where it was."""
    if wanted == "all":
        if (why := _too_much(survey)) is not None:
            raise click.UsageError(why)
        count, alive = len(survey.orphans), len(survey.view.live)
        question = f"Delete these {count} secrets at Method for good? ({alive} MethodSecrets exist here.)"
        if not count or not confirmed(question, yes=yes):
            return {}
        wanted = [one.secret.id for one in _sorted(survey.orphans.values())]
    done: dict[str, str | None] = {}
    for secret_id in dict.fromkeys(wanted):
        found = survey.orphans.get(secret_id)
        why = "it is not in the list of orphans" if found is None else await delete(surveyor, survey, found)
        done[secret_id] = why
        click.echo(f"{secret_id}: {'deleted' if why is None else f'not deleted: {why}'}", err=True)
    return done


async def delete(surveyor: Surveyor, survey: Survey, found: Found) -> str | None:
    """Delete an orphan if it still is one; return why not, or None.

    Method is asked first, the cluster last: the object may have been applied again since, or another one that
    adopts it. All of it is asked when the DELETE has its turn, for which it may wait for a minute.
    """
    client, secret_id = found.place.account.client, found.secret.id
    try:
        # No worker is kept from anything here: a 429 to one of many is sat out for the rest of them.
        with await client.writes.acquire() as slot, await client.reads.acquire() as first:
            now = await client.retrieve(secret_id, slot=first)
            if Marker.read(now.metadata) != found.marker:
                return "its marker is another than in the list"
            # By the view of the survey: what may have come in the cluster since is asked below.
            if (verdict := orphans.judge(now, survey.view)) is not Verdict.ORPHAN:
                return f"it is {verdict} by now"
            if await surveyor.named_by_somebody(secret_id):
                return "a MethodSecret or a ConfigMap names it by now"
            if await surveyor.alive(found.owner) is not False:
                return f"MethodSecret {found.owner.key} exists by now"
            await client.delete(secret_id, slot=slot)
    except MethodNotFound:
        return NOT_KNOWN
    except (MethodError, KubeError) as error:
        return str(error)
    return None


def _too_much(survey: Survey) -> str | None:
    """Return why not all orphans may be deleted at one word, or None."""
    if survey.view.namespaces is not None:
        return (
            "--all is for all namespaces: with NAMESPACES set it is not seen whether an object elsewhere has"
            " adopted a secret; name the ids"
        )
    if not survey.view.live:
        return (
            "--all is refused while this cluster has no MethodSecret at all: one that is being rebuilt would"
            " lose everything; name the ids"
        )
    return None


def _sorted(found: Iterable[Found]) -> list[Found]:
    return sorted(found, key=lambda one: (one.owner.key, one.secret.created_at or "", one.secret.id))
