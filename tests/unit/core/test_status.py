"""The status that a finding gives, the rebase where the object has moved on, and the patch between two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.resource import SUPERSEDED_LIMIT, Adopted, PendingCreate, Source, Status
from methodsecret_operator.core.status import (
    merge_patch,
    overtaken,
    summarize,
    transition,
    worth_writing,
)
from tests.unit import gen

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW_SOURCE = Source(uid=gen.SECRET_UID, revision=gen.revision(value="new"), resource_version="9000")
WHEN = "2026-05-04T12:00:00Z"


def old(number: int, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"id": f"sec_old{number}", "revision": f"1:k:{number}", "supersededAt": gen.EARLIER, **changed}


# --- what a finding gives ---------------------------------------------------------------------------


def test_the_first_secret() -> None:
    status = summarize(gen.method_secret(), gen.finding(reconcile_token="t", rotation_token="r"), now=gen.NOW)
    assert status.to_wire() == {
        "id": "sec_new1",
        "status": "active",
        "createdAt": "2026-05-04T12:00:00.024Z",
        "updatedAt": "2026-05-04T12:00:00.025Z",
        "environment": "production",
        "observedGeneration": 1,
        "source": {"uid": gen.SECRET_UID, "revision": gen.revision(), "resourceVersion": gen.SECRET_VERSION},
        "lastHandledReconcileAt": "t",
        "lastHandledRotationAt": "r",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "observedGeneration": 1,
                "lastTransitionTime": WHEN,
                "reason": "Synced",
                "message": "sec_new1 at Method holds the value.",
            }
        ],
    }


def test_a_new_secret_supersedes_the_former_one() -> None:
    found = gen.finding(base_id=gen.SECRET_ID, source=NEW_SOURCE)
    status = summarize(gen.synced(status={"superseded": [old(1)]}), found, now=gen.NOW)
    assert status.id == "sec_new1"
    assert status.source == NEW_SOURCE
    assert status.to_wire()["superseded"] == [
        old(1),
        {"id": gen.SECRET_ID, "revision": gen.revision(), "supersededAt": WHEN},
    ]


def test_a_former_secret_of_unknown_content_is_superseded_without_a_revision() -> None:
    status = summarize(gen.synced(status={"source": None}), gen.finding(base_id=gen.SECRET_ID), now=gen.NOW)
    assert status.to_wire()["superseded"] == [{"id": gen.SECRET_ID, "supersededAt": WHEN}]


def test_an_id_leaves_superseded_when_it_is_current_again() -> None:
    former = gen.synced(status={"superseded": [old(1), old(2)]})
    status = summarize(former, gen.finding(base_id=gen.SECRET_ID, secret=gen.remote("sec_old1")), now=gen.NOW)
    assert [entry.id for entry in status.superseded] == ["sec_old2", gen.SECRET_ID]


def test_former_secrets_are_as_the_finding_has_them() -> None:
    former = gen.synced(status={"superseded": [old(1), old(2)]})
    marked = former.status.superseded[1].model_copy(update={"deleting": True})
    found = gen.finding(base_id=gen.SECRET_ID, secret=None, superseded=(marked,))
    assert summarize(former, found, now=gen.NOW).to_wire()["superseded"] == [old(2, deleting=True)]
    # None left is none left; and where a finding says nothing of them, they stay.
    assert summarize(former, replace(found, superseded=()), now=gen.NOW).superseded == ()
    assert (
        summarize(former, replace(found, superseded=None), now=gen.NOW).superseded == former.status.superseded
    )


def test_a_secret_found_deleted_is_not_called_active() -> None:
    found = gen.finding(reason=Reason.REMOTE_DELETED, base_id=gen.SECRET_ID, secret=None)
    status = summarize(gen.synced(), found, now=gen.NOW)
    assert (status.id, status.status) == (gen.SECRET_ID, "deleted")


def test_an_adopted_secret_and_a_known_value_take_turns() -> None:
    adopted = Adopted(id="sec_new1", **NEW_SOURCE.model_dump())
    taken = gen.method_secret().model_copy(
        update={
            "status": summarize(gen.method_secret(), gen.finding(adopted=adopted, source=None), now=gen.NOW)
        }
    )
    assert (taken.status.adopted, taken.status.source) == (adopted, None)
    rotated = summarize(
        taken, gen.finding(base_id="sec_new1", secret=gen.remote("sec_new2"), source=NEW_SOURCE), now=gen.NOW
    )
    assert (rotated.adopted, rotated.source) == (None, NEW_SOURCE)


def test_an_id_is_superseded_once_and_keeps_what_is_known_of_it() -> None:
    known = {"id": gen.SECRET_ID, "revision": "1:k:0", "supersededAt": gen.EARLIER, "deleting": True}
    former = gen.synced(status={"superseded": [known]})
    status = summarize(former, gen.finding(base_id=gen.SECRET_ID), now=gen.NOW)
    assert status.to_wire()["superseded"] == [known]


def test_superseded_is_bounded_and_the_oldest_go_first() -> None:
    former = gen.synced(status={"superseded": [old(number) for number in range(SUPERSEDED_LIMIT)]})
    status = summarize(former, gen.finding(base_id=gen.SECRET_ID), now=gen.NOW)
    assert len(status.superseded) == SUPERSEDED_LIMIT
    assert [status.superseded[0].id, status.superseded[-1].id] == ["sec_old1", gen.SECRET_ID]


def test_one_whose_delete_was_sent_is_never_cut() -> None:
    """Without its mark it could be linked again, while the DELETE is still on its way."""
    entries = [old(0, deleting=True), old(1, deleting=True)]
    entries += [old(number) for number in range(2, SUPERSEDED_LIMIT)]
    former = gen.synced(status={"superseded": entries})
    status = summarize(former, gen.finding(base_id=gen.SECRET_ID), now=gen.NOW)
    assert len(status.superseded) == SUPERSEDED_LIMIT
    assert [entry.id for entry in status.superseded[:3]] == ["sec_old0", "sec_old1", "sec_old3"]
    assert status.superseded[-1].id == gen.SECRET_ID


def test_where_all_are_being_deleted_the_newest_waits_for_room() -> None:
    """The inventory has it, and it joins again (core.deletion.extras)."""
    former = gen.synced(
        status={"superseded": [old(number, deleting=True) for number in range(SUPERSEDED_LIMIT)]}
    )
    status = summarize(former, gen.finding(base_id=gen.SECRET_ID), now=gen.NOW)
    assert status.superseded == former.status.superseded


def test_an_opinion_leaves_id_source_and_environment_alone() -> None:
    pending = PendingCreate(revision="1:k:d", ordinal=1)
    found = gen.finding(
        reason=Reason.METHOD_UNAVAILABLE,
        base_id=gen.SECRET_ID,
        secret=None,
        source=None,
        environment=None,
        pending=pending,
        generation=7,
    )
    former = gen.synced(generation=7)
    status = summarize(former, found, now=gen.NOW)
    kept = {"id", "status", "created_at", "updated_at", "environment", "source", "superseded"}
    assert status.model_dump(include=kept) == former.status.model_dump(include=kept)
    assert status.observed_generation == 7
    assert status.pending == pending


def test_what_was_pending_is_settled_by_a_secret() -> None:
    former = gen.synced(status={"pending": {"revision": "1:k:d", "ordinal": 1}})
    assert summarize(former, gen.finding(base_id=gen.SECRET_ID), now=gen.NOW).pending is None


# --- rebase -----------------------------------------------------------------------------------------


def test_where_the_id_has_moved_ours_joins_superseded_and_nothing_else_changes() -> None:
    fresh = gen.synced(status={"id": "sec_theirs", "superseded": [old(1)]})
    found = gen.finding(base_id=gen.SECRET_ID, reason=Reason.PENDING, generation=9)
    assert overtaken(fresh, found)
    status = summarize(fresh, found, now=gen.NOW)
    assert status.to_wire() == fresh.status.to_wire() | {
        "superseded": [old(1), {"id": "sec_new1", "revision": gen.revision(), "supersededAt": WHEN}]
    }


def test_where_the_id_has_come_from_nowhere_ours_joins_superseded_too() -> None:
    fresh = gen.synced()
    found = gen.finding(base_id=None, source=None)
    assert overtaken(fresh, found)
    assert summarize(fresh, found, now=gen.NOW).to_wire()["superseded"] == [
        {"id": "sec_new1", "supersededAt": WHEN}
    ]


def test_a_rebase_is_a_union_and_is_bounded() -> None:
    known = [old(number) for number in range(SUPERSEDED_LIMIT - 1)]
    fresh = gen.synced(status={"id": "sec_theirs", "superseded": [*known, old(1000, id="sec_new1")]})
    found = gen.finding(base_id=gen.SECRET_ID)
    assert summarize(fresh, found, now=gen.NOW) == fresh.status  # ours is there already
    full = gen.synced(status={"id": "sec_theirs", "superseded": [*known, old(1000)]})
    status = summarize(full, found, now=gen.NOW)
    assert len(status.superseded) == SUPERSEDED_LIMIT
    assert status.superseded[-1].id == "sec_new1"


def test_a_status_that_names_ours_by_now_is_not_overtaken() -> None:
    fresh = gen.synced(status={"id": "sec_new1"})
    found = gen.finding(base_id=gen.SECRET_ID)
    assert not overtaken(fresh, found)
    assert summarize(fresh, found, now=gen.NOW).superseded == ()


def test_an_opinion_on_another_id_is_none() -> None:
    # Else "synced" would be said, and believed, of an id that nobody has looked at.
    opinion = gen.finding(base_id=gen.SECRET_ID, secret=None)
    for fresh in (gen.synced(status={"id": "sec_theirs"}), gen.synced(status={"id": None})):
        assert overtaken(fresh, opinion)
        assert summarize(fresh, opinion, now=gen.NOW) == fresh.status
    first = gen.finding(base_id=None, secret=None)
    assert overtaken(gen.synced(), first)
    assert not overtaken(gen.method_secret(), first)


# --- worth writing, transitions ---------------------------------------------------------------------


def test_an_ordinal_alone_is_not_worth_a_write() -> None:
    before = gen.synced(status={"pending": {"revision": "1:k:d", "ordinal": 1}}).status
    after = before.model_copy(update={"pending": PendingCreate(revision="1:k:d", ordinal=2)})
    assert not worth_writing(before, after)
    assert worth_writing(before, after.model_copy(update={"observed_generation": 2}))
    assert not worth_writing(before, before)


def test_saying_the_same_again_later_is_not_worth_a_write() -> None:
    obj = gen.method_secret()
    first = summarize(obj, gen.finding(), now=gen.NOW)
    written = obj.model_copy(update={"status": Status.model_validate(first.to_wire())})
    again = gen.finding(base_id="sec_new1", secret=None)
    assert not worth_writing(written.status, summarize(written, again, now=gen.later(hours=1)))


def test_another_reason_or_another_id_is_a_transition() -> None:
    synced = gen.synced().status
    assert not transition(synced, synced.model_copy(update={"observed_generation": 2}))
    assert transition(synced, synced.model_copy(update={"id": "sec_new1"}))
    assert transition(gen.method_secret().status, synced)
    waiting = gen.synced(
        status={"conditions": [gen.raw_condition("Ready", "False", reason="Pending")]}
    ).status
    assert transition(synced, waiting)


# --- merge patch ------------------------------------------------------------------------------------

# Without null: a stored object has none (the kube-apiserver drops them), and a patch means removal by it.
JSON = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a"]) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)
DOCUMENT = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def rfc7386(target: object, patch: object) -> object:
    """Apply a patch as section 2 of RFC 7386 says."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = rfc7386(result.get(key), value)
    return result


@gen.EXAMPLES
@given(DOCUMENT, DOCUMENT)
def test_a_patch_turns_the_former_into_the_new(former: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    patch = merge_patch(former, new)
    assert rfc7386(former, patch) == new
    assert (patch == {}) is (former == new)


@gen.EXAMPLES
@given(st.sampled_from([None, "sec_a"]), st.sampled_from([None, "sec_a", "sec_b"]), st.integers(0, 2))
def test_a_patch_carries_a_status_over_the_wire(
    before: str | None, after: str | None, superseded: int
) -> None:
    former = gen.synced(status={"id": before, "superseded": [old(1), old(2)]}).status
    entries = former.superseded[:superseded]
    new = former.model_copy(update={"id": after, "superseded": entries, "source": None})
    result = rfc7386(former.to_wire(), merge_patch(former.to_wire(), new.to_wire()))
    assert Status.model_validate(result) == new
