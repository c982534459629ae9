"""What operators are killed in the midst of: each scenario is one entry of the table at the end.

A scenario says what is there before, what happens then, and what must hold at the end, however often the
operator died on the way. It knows nothing of requests: which there are is found out by watching one run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.faults import leader
from tests.faults.place import ACCOUNT, NEW_KEY, OLD_KEY, Place
from tests.integration.canary import CANARY
from tests.integration.world import Object, not_ready, ready

Step = Callable[[Place], Awaitable[None]]

_SHOWN: Final = "acme-method"
_PUBLISH: Final = {"configMap": {"name": _SHOWN, "key": "id"}}


async def _nothing(place: Place) -> None:
    del place


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way through the operator.

    `given` is done with the operator running (`change` None: before it starts, and the start is the change),
    `killed` right after it was killed. `settled` waits for the end. Then `stored` secrets were ever made, and
    `active` of them are left.
    On the way `points` requests are sent, `events` of them Events, which are posted in their own time. At
    each it is killed in `make test`; what is not `always` has the second kill there, with Method's keys
    forgotten, only in `make soak`.
    """

    name: str
    reason: str
    given: Step
    change: Step | None
    settled: Step
    stored: int
    active: int
    points: int
    events: int = 1
    killed: Step = _nothing
    always: bool = False

    def __str__(self) -> str:
        return self.name


async def problems(scenario: Scenario, place: Place) -> list[str]:
    """Return what is not as it must be at the end."""
    stored = await place.control.secrets()
    active = {secret["id"]: secret["metadata"] for secret in stored if secret["status"] == "active"}
    found = []
    if len(stored) != scenario.stored:
        found.append(f"{len(stored)} secrets were made, not {scenario.stored}")
    # By owner: an object that was applied anew must not have its predecessor's secret made a second time.
    revisions = [(made["k8s_owner"], made["k8s_revision"]) for made in active.values() if made is not None]
    if len(set(revisions)) != len(revisions):
        found.append("a revision has two active secrets")
    if len(active) != scenario.active:
        found.append(f"{len(active)} secrets are active, not {scenario.active}")
    current = [secret_id for secret_id in await place.control.has_value(place.value) if secret_id in active]
    named = [obj["status"]["id"] for obj in place.list()]
    if named != current:
        found.append(f"the statuses name {named}, the value is in {current}")
    shown = [
        item.get("data", {}).get("id")
        for item in place.list("configmaps")
        if item["metadata"]["name"] == _SHOWN
    ]
    wanted = [obj["status"]["id"] for obj in place.list() if "publish" in obj["spec"]]
    if shown != wanted:
        found.append(f"published are {shown}, not {wanted}")
    return found


def _manifest(**spec: Any) -> Step:  # noqa: ANN401 - fields of the spec
    async def write(place: Place) -> None:
        place.write_value()
        place.method_secret(**spec)

    return write


def _synced(**spec: Any) -> Step:  # noqa: ANN401 - fields of the spec
    async def sync(place: Place) -> None:
        await _manifest(**spec)(place)
        place.first = await place.until(ready())
        await place.until_event("Synced")  # posted in its own time: the next request is the change's

    return sync


async def _change_value(place: Place) -> None:
    place.write_value(f"{CANARY}-2")


async def _until_ready(place: Place) -> None:
    await place.until(ready())


async def _until_rotated(place: Place) -> None:
    def rotated(obj: Object) -> bool:
        status = obj["status"]
        return ready()(obj) and status["id"] != place.first["status"]["id"] and "superseded" not in status

    await place.until(rotated)


async def _until_unpublished(place: Place) -> None:
    await place.until(lambda obj: ready()(obj) and "published" not in obj["status"])


async def _delete(place: Place) -> None:
    place.delete("acme")


async def _until_gone(place: Place) -> None:
    await place.until_gone("acme")


async def _rotated(place: Place) -> None:
    await _synced(deletionPolicy="Delete")(place)
    place.write_value(f"{CANARY}-2")
    await _until_moved(place)
    await place.proxy.until(lambda log: [sent.label for sent in log if sent.status].count("POST events") == 2)


async def _elected(place: Place) -> None:
    await leader.elect(place)
    await _manifest()(place)


async def _until_elected(place: Place) -> None:
    await leader.follow(place)
    await _until_ready(place)


async def _seed(place: Place) -> None:
    await place.control.seed(value=CANARY, account=ACCOUNT)


async def _adopt(place: Place) -> None:
    (theirs,) = await place.control.secrets()
    await _manifest(adopt={"id": theirs["id"]})(place)


async def _former_gone(place: Place) -> None:
    place.write_value()
    place.method_secret("before")
    place.first = await place.until(ready(), "before")
    await place.until_event("Synced")
    place.delete("before")


async def _adopt_of_former(place: Place) -> None:
    place.method_secret(adopt={"id": place.first["status"]["id"]})


async def _until_adopted(place: Place) -> None:
    await place.until(ready("Adopted"))


async def _account_key_revoked(place: Place) -> None:
    place.secret("method", key=OLD_KEY)
    account = {"environment": "sandbox", "apiKeySecretRef": {"name": "method", "key": "key"}}
    await _key_revoked(place, account=account)


async def _write_account_key(place: Place) -> None:
    place.secret("method", key=NEW_KEY)


async def _key_revoked(place: Place, **spec: Any) -> None:  # noqa: ANN401 - fields of the spec
    await _synced(**spec)(place)
    await place.control.change_settings(api_keys={NEW_KEY: ACCOUNT})
    await _change_value(place)
    await place.until(not_ready("Unauthorized"))
    await place.until_event("Unauthorized")


async def _write_key(place: Place) -> None:
    place.api_key_file.write_text(f"{NEW_KEY}\n")


async def _until_moved(place: Place) -> None:
    await place.until(lambda obj: ready()(obj) and obj["status"]["id"] != place.first["status"]["id"])


SCENARIOS = (
    Scenario(
        name="create",
        reason="a manifest of the default policy, Retain, is applied",
        given=_nothing,
        change=_manifest(),
        settled=_until_ready,
        stored=1,
        active=1,
        points=5,
        always=True,
    ),
    Scenario(
        name="rotate",
        reason="the value changes, and the former secret is to be deleted at once",
        given=_synced(rotation={"deleteSupersededAfter": "0s"}),
        change=_change_value,
        settled=_until_rotated,
        stored=2,
        active=1,
        points=14,
        always=True,
    ),
    Scenario(
        name="start",
        reason="the first start ever, with a manifest that waits: the digest key is made on the way",
        given=_manifest(),
        change=None,
        settled=_until_ready,
        stored=1,
        active=1,
        points=20,
    ),
    Scenario(
        name="create-delete-policy",
        reason="a manifest with deletionPolicy Delete is applied: the finalizer comes before the secret",
        given=_nothing,
        change=_manifest(deletionPolicy="Delete"),
        settled=_until_ready,
        stored=1,
        active=1,
        points=7,
    ),
    Scenario(
        name="delete",
        reason="an object with deletionPolicy Delete is deleted",
        given=_synced(deletionPolicy="Delete"),
        change=_delete,
        settled=_until_gone,
        stored=1,
        active=0,
        points=8,
        events=0,
    ),
    Scenario(
        name="delete-rotated",
        reason="an object with deletionPolicy Delete is deleted, and its former secret with it",
        given=_rotated,
        change=_delete,
        settled=_until_gone,
        stored=2,
        active=0,
        points=13,
        events=0,
    ),
    Scenario(
        name="start-elected",
        reason="the first start ever, where a leader is elected first",
        given=_elected,
        change=None,
        killed=leader.hurry,
        settled=_until_elected,
        stored=1,
        active=1,
        points=22,
    ),
    Scenario(
        name="api-key-replaced",
        reason="the API key was revoked while a new value waits; then the new key arrives in the file",
        given=_key_revoked,
        change=_write_key,
        settled=_until_moved,
        stored=2,
        active=2,
        points=6,
    ),
    Scenario(
        name="account-key-replaced",
        reason="the API key of an account of the object's own was revoked; the new one arrives in its Secret",
        given=_account_key_revoked,
        change=_write_account_key,
        settled=_until_moved,
        stored=2,
        active=2,
        points=7,
    ),
    Scenario(
        name="adopt",
        reason="a secret that is at Method already is taken over, and none is created",
        given=_seed,
        change=_adopt,
        settled=_until_adopted,
        stored=1,
        active=1,
        points=7,
    ),
    Scenario(
        name="adopt-renamed",
        reason="the secret of an object that is gone is taken along: its owner is looked for first",
        given=_former_gone,
        change=_adopt_of_former,
        settled=_until_adopted,
        stored=1,
        active=1,
        points=8,
    ),
    Scenario(
        name="publish",
        reason="a manifest that publishes its id is applied: it is Ready only with the ConfigMap there",
        given=_nothing,
        change=_manifest(publish=_PUBLISH),
        settled=_until_ready,
        stored=1,
        active=1,
        points=16,
        events=2,
    ),
    Scenario(
        name="publish-rotate",
        reason="the value changes: the ConfigMap moves on before the former secret is deleted",
        given=_synced(publish=_PUBLISH, rotation={"deleteSupersededAfter": "0s"}),
        change=_change_value,
        settled=_until_rotated,
        stored=2,
        active=1,
        points=20,
        events=2,
    ),
    Scenario(
        name="unpublish",
        reason="the ConfigMap is not asked for any more: it goes, and then its name in the status",
        given=_synced(publish=_PUBLISH),
        change=_manifest(),
        settled=_until_unpublished,
        stored=1,
        active=1,
        points=7,
        events=0,
    ),
)
