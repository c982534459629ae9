"""What holds for every world that the model can describe."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from methodsecret_operator.core import identity
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.decision import created, decide
from methodsecret_operator.core.outcome import failed, gone
from methodsecret_operator.core.resource import FINALIZER, DeletionPolicy, Environment, MethodSecret
from methodsecret_operator.core.snapshot import (
    AccountReady,
    Action,
    Adoption,
    Confirm,
    Create,
    Delete,
    Examine,
    Finding,
    Leave,
    ListAnew,
    Problem,
    SetFinalizer,
    Snapshot,
)
from methodsecret_operator.core.status import overtaken, summarize, worth_writing
from methodsecret_operator.errors import (
    MethodError,
    MethodRateLimited,
    MethodRejected,
    MethodUnauthorized,
    MethodUnavailable,
)
from tests.unit import gen

# Few values of each kind, so that what should meet (the revision in status and the wanted one) does.
VALUES = st.sampled_from(["", "one", "two\n", "drei \U0001f511", "{id}"])
IDS = st.sampled_from([gen.SECRET_ID, "sec_new1", "sec_forged", "not an id"])
TOKENS = st.none() | st.sampled_from(["t1", "t2", "{field}"])
ENVIRONMENTS = st.sampled_from(["production", "sandbox", "dev"])
METADATA = st.sampled_from(
    [
        None,
        {},
        {"team": "payments"},
        {"n": 2**60},
        {"k8s_uid": "x"},
        {"long": "x" * 900},
        {"{brace}": [1.5, None]},
    ]
)
REVISIONS = st.builds(
    gen.revision,
    value=VALUES, metadata=st.sampled_from([None, {"team": "payments"}]), environment=ENVIRONMENTS,
) | st.sampled_from(["", "1:other:key", "no revision"])  # fmt: skip
ORDINALS = st.integers(0, 3)

TIMES = st.sampled_from([gen.NOW, gen.later(seconds=-61), gen.later(minutes=-11), gen.later(minutes=1)])
MARKED = st.builds(
    gen.marked,
    IDS,
    status=st.sampled_from(["active", "deleted"]),
    uid=st.sampled_from([gen.UID, "former"]),
    revision=REVISIONS,
)

NO_ACCOUNT = st.sampled_from(
    [
        Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY),
        Problem(Reason.NAMESPACE_NOT_ALLOWED, Sentence.NAMESPACE_NOT_ALLOWED),
        Problem(Reason.UNAUTHORIZED, Sentence.API_KEY_UNUSABLE),
    ]
)
NO_OWN_ACCOUNT = st.sampled_from(
    [
        Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_NOT_FOUND),
        Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_KEY_NOT_FOUND, retry="backoff"),
        Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_NOT_READABLE, retry="backoff"),
        Problem(Reason.UNAUTHORIZED, Sentence.API_KEY_UNUSABLE),
    ]
)
NO_SOURCE = st.sampled_from(
    [
        Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND),
        Problem(Reason.SOURCE_KEY_NOT_FOUND, Sentence.SOURCE_KEY_NOT_FOUND),
        Problem(Reason.PENDING, Sentence.SOURCE_NOT_READABLE, retry="backoff"),
        Problem(Reason.SOURCE_NOT_ALLOWED, Sentence.SOURCE_NOT_ALLOWED),
        Problem(Reason.INVALID_SOURCE, Sentence.SOURCE_NOT_TEXT),
        Problem(Reason.INVALID_SOURCE, Sentence.SOURCE_EMPTY),
    ]
)


@st.composite
def statuses(draw: st.DrawFn) -> dict[str, Any]:
    status = {
        "id": draw(st.none() | IDS),
        "status": draw(st.sampled_from([None, "active", "deleted", "novelty"])),
        "environment": draw(st.none() | ENVIRONMENTS),
        "observedGeneration": draw(st.integers(-1, 2)),
        "lastHandledReconcileAt": draw(TOKENS),
        "lastHandledRotationAt": draw(TOKENS),
        "source": draw(
            st.none()
            | st.fixed_dictionaries(
                {"uid": st.just(gen.SECRET_UID), "revision": REVISIONS, "resourceVersion": st.just("1")}
            )
        ),
        "pending": draw(st.none() | st.fixed_dictionaries({"revision": REVISIONS, "ordinal": ORDINALS})),
        "superseded": draw(
            st.lists(
                st.fixed_dictionaries(
                    {"id": IDS, "supersededAt": st.just(gen.EARLIER)},
                    optional={"revision": REVISIONS, "deleting": st.just(True)},  # noqa: FBT003 - a value
                ),
                max_size=2,
                unique_by=lambda entry: entry["id"],
            )
        ),
        "conditions": draw(
            st.lists(st.sampled_from(["Ready", "Stalled", "RotationPending"]), max_size=2, unique=True).map(
                lambda kinds: [gen.raw_condition(kind) for kind in kinds]
            )
        ),
    }
    return {name: value for name, value in status.items() if value is not None}


@st.composite
def objects(draw: st.DrawFn) -> MethodSecret:
    rotation = {"policy": draw(st.sampled_from(["Automatic", "OnRequest"]))}
    if draw(st.booleans()):
        rotation["deleteSupersededAfter"] = draw(st.sampled_from(["1h", "900h"]))
    spec = gen.raw_spec(rotation=rotation, deletionPolicy=draw(st.sampled_from(["Retain", "Delete"])))
    if draw(st.sampled_from([False, False, True])):
        spec["adopt"] = {"id": "sec_forged"}
    if (metadata := draw(METADATA)) is not None:
        spec["metadata"] = metadata
    if draw(st.booleans()):
        spec["account"] = gen.own_account(draw(ENVIRONMENTS))
    tokens = {
        gen.RECONCILE: draw(TOKENS),
        gen.ROTATE: draw(TOKENS),
        gen.PAUSED: draw(st.sampled_from([None, "true"])),
    }
    return gen.method_secret(
        generation=draw(st.integers(1, 2)),
        annotations={name: token for name, token in tokens.items() if token is not None},
        deleted=draw(st.sampled_from([False, False, True])),
        finalizers=draw(st.sampled_from([(), (FINALIZER,), ("a/b", FINALIZER)])),
        spec=spec,
        status=draw(statuses()),
    )


@st.composite
def creates(draw: st.DrawFn) -> Create:
    """Draw a create as one was decided on before: for another value, maybe."""
    whole = gen.snapshot(source=gen.source(draw(VALUES)))
    return gen.as_create(decide(whole))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    obj = draw(objects())
    own = obj.spec.account
    environment: Any = own.environment if own is not None else draw(ENVIRONMENTS)
    problem: Any = NO_ACCOUNT if own is None else NO_OWN_ACCOUNT
    attempts = st.builds(
        gen.attempt,
        revision=REVISIONS,
        ordinal=ORDINALS,
        unresolved=st.none() | creates(),
        since=TIMES,
        tried_at=st.none() | TIMES,
        failing_since=st.none() | TIMES,
    )
    remotes = st.builds(
        gen.remote,
        IDS,
        status=st.sampled_from(["active", "deleted", "novelty"]),
        metadata=st.none()
        | REVISIONS.map(lambda revision: gen.marker(revision=revision))
        | st.just({"a": 1}),
    )
    return gen.snapshot(
        obj,
        account=draw(st.just(AccountReady(environment=environment)) | problem),
        source=draw(VALUES.map(gen.source) | NO_SOURCE),
        attempt=draw(st.none() | attempts),
        trusted=draw(st.booleans()),
        evidence=draw(st.dictionaries(IDS, st.none() | remotes, max_size=2)),
        marked=tuple(draw(st.lists(MARKED, max_size=3, unique_by=lambda entry: entry.id))),
        scanned_at=draw(st.none() | TIMES),
        listed_at=draw(st.none() | TIMES),
        listed=draw(st.frozensets(IDS, max_size=2)),
        contended=draw(st.frozensets(IDS, max_size=2)),
        doubted=draw(st.booleans()),
        claimed=draw(st.frozensets(IDS, max_size=2)),
        missing=draw(st.dictionaries(IDS, TIMES, max_size=2)),
        account_changed=draw(st.booleans()),
        namespace_terminating=draw(st.booleans()),
        deletion_timeout=draw(st.sampled_from([30.0, 300.0])),
        adoption=draw(
            st.none()
            | st.builds(
                Adoption,
                remote=st.none() | remotes,
                claimed_by=st.none() | st.just("a/b"),
                owner_alive=st.booleans(),
            )
        ),
    )


ERRORS = st.builds(
    gen.error,
    st.sampled_from([MethodUnavailable, MethodRejected, MethodUnauthorized, MethodRateLimited]),
    kind=st.sampled_from(["http", "timeout", "unreadable", "refused"]),
    status=st.sampled_from([200, 400, 401, 409, 422, 429, 500, 503]),
    idem_status=st.sampled_from([None, "stored", "bypassed", "replayed"]),
    retry_after=st.sampled_from([None, 60.0]),
)


def check_finding(whole: Snapshot, finding: Finding) -> None:
    """Check what holds for whatever is said."""
    braces = "".join(part for part in ("{field}", "{id}", "{brace}") if part in finding.message)
    assert braces == "", finding.message
    assert "None" not in finding.message
    for value in ("drei", "two\n"):
        assert value not in finding.message
    assert isinstance(finding.retry, float) or finding.retry in {"backoff", "resync"}
    assert finding.base_id == whole.object.status.id
    assert finding.generation == whole.object.metadata.generation
    # Ready is only said where an id is named that it is said of.
    assert not finding.reason.ready or finding.secret is not None or finding.base_id is not None
    status = summarize(whole.object, finding, now=gen.NOW)
    assert {"Ready", "Reconciling", "Stalled", "RotationPending"} >= {c.type for c in status.conditions}
    assert len({"Reconciling", "Stalled"} & {c.type for c in status.conditions}) == (not finding.reason.ready)
    # What was known is known still: an id is current, or superseded; dropped only after its DELETE was due.
    ids = {status.id, *(entry.id for entry in status.superseded)}
    former = whole.object.status
    kept = [entry.id for entry in former.superseded if not entry.deleting]
    assert ids >= {former.id, *kept} - {None}
    # To say the same again is no write.
    written = whole.object.model_copy(update={"status": status})
    if not overtaken(written, finding):
        assert not worth_writing(status, summarize(written, finding, now=gen.later(hours=1)))


@gen.EXAMPLES
@given(snapshots())
def test_every_world_calls_for_one_action_always_the_same(whole: Snapshot) -> None:
    action = decide(whole)
    assert isinstance(action, Leave | Confirm | ListAnew | Examine | Create | Delete | SetFinalizer | Finding)
    assert decide(replace(whole, object=copy.deepcopy(whole.object))) == action
    if isinstance(action, Finding):
        check_finding(whole, action)


@gen.EXAMPLES
@given(snapshots())
def test_nothing_is_deleted_that_is_not_this_objects(whole: Snapshot) -> None:
    action = decide(whole)
    if not isinstance(action, Delete):
        return
    remote = whole.evidence[action.id]
    assert remote is not None
    marker = identity.Marker.read(remote.metadata)
    assert marker is not None
    assert marker.owner in whole.owners
    if whole.object.metadata.deletion_timestamp is None:
        # Either nobody can know it, or it was marked in the status before.
        entry = next((e for e in whole.object.status.superseded if e.id == action.id), None)
        assert action.id != whole.object.status.id or entry is not None
        assert entry.deleting if entry is not None else marker.uid == gen.UID


@gen.EXAMPLES
@given(snapshots())
def test_a_deleted_object_makes_nothing_new_and_gets_no_finalizer(whole: Snapshot) -> None:
    obj = gen.method_secret(
        deleted=True,
        finalizers=whole.object.metadata.finalizers,
        spec=whole.object.spec.model_dump(by_alias=True),
    ).model_copy(update={"status": whole.object.status})
    action = decide(replace(whole, object=obj))
    unresolved = whole.attempt.unresolved if whole.attempt is not None else None
    assert not isinstance(action, Create) or action is unresolved
    assert action != SetFinalizer(present=True)
    if FINALIZER not in obj.metadata.finalizers:
        assert action == Leave()


@gen.EXAMPLES
@given(snapshots(), VALUES, st.sampled_from(get_args(Environment)))
def test_where_the_account_seems_another_nothing_is_made_there(
    whole: Snapshot, value: str, environment: Environment
) -> None:
    """Not what is missing, and no other value either: it may be the wrong account."""
    obj, status = whole.object, whole.object.status
    in_the_way: dict[str, Any] = {"deletion_timestamp": None, "annotations": {}, "finalizers": ()}
    plain = obj.model_copy(
        update={
            "metadata": obj.metadata.model_copy(update=in_the_way),
            "spec": obj.spec.model_copy(update={"deletion_policy": DeletionPolicy.RETAIN, "metadata": None}),
        }
    )
    asked = replace(
        whole,
        object=plain,
        account=AccountReady(environment=environment),
        source=gen.source(value),
        account_changed=True,
        doubted=True,
        trusted=True,
        attempt=None,
        evidence={**whole.evidence, status.id or "": None},
    )
    assert status.id is None or not isinstance(decide(asked), Create)


@gen.EXAMPLES
@given(snapshots())
def test_what_a_list_shows_is_not_made_anew(whole: Snapshot) -> None:
    """A GET that does not know it, for however long, is outweighed by a list that does."""
    status = whole.object.status
    shown = replace(
        whole,
        attempt=None,
        trusted=True,
        doubted=True,
        evidence={**whole.evidence, status.id or "": None},
        missing={status.id or "": gen.later(hours=-1)},
        listed=frozenset({status.id or ""}),
    )
    action = decide(shown)
    source = status.adopted or status.source
    if status.id is None or source is None or status.status == "deleted" or not isinstance(action, Create):
        return
    token = whole.object.metadata.annotations.get(gen.ROTATE)
    adopted = status.adopted is not None and token not in (None, status.last_handled_rotation_at)
    assert adopted or action.revision != source.revision


@gen.EXAMPLES
@given(snapshots())
def test_a_create_is_within_bounds_and_its_key_is_its_own(whole: Snapshot) -> None:
    action = decide(whole)
    if not isinstance(action, Create) or (whole.attempt and whole.attempt.unresolved is action):
        return
    assert identity.size(action.metadata) <= identity.METADATA_LIMIT
    assert action.idempotency_key == identity.idempotency_key(
        uid=gen.UID, revision=action.revision, ordinal=action.ordinal
    )
    marker = identity.Marker.read(action.metadata)
    assert marker is not None
    assert marker.revision == action.revision == action.source.revision


@gen.EXAMPLES
@given(snapshots())
def test_asking_comes_to_an_end(whole: Snapshot) -> None:
    action = decide(whole)
    if isinstance(action, Confirm):
        for answer in (None, gen.remote(action.id), gen.remote(action.id, metadata=None)):
            # Each id is asked about once, and there are but so many.
            following: Action = action
            evidence = dict(whole.evidence)
            for _ in range(10):
                if not isinstance(following, Confirm):
                    break
                assert following.id not in evidence
                evidence[following.id] = answer and replace(answer, id=following.id)
                following = decide(replace(whole, evidence=evidence))
            assert not isinstance(following, Confirm)


@gen.EXAMPLES
@given(snapshots(), ERRORS)
def test_every_outcome_of_every_create_can_be_said(whole: Snapshot, error: MethodError) -> None:
    action = decide(whole)
    if not isinstance(action, Create):
        return
    for status in ("active", "novelty"):
        finding = created(whole, action, gen.remote(status=status))
        check_finding(whole, finding)
        assert finding.secret is not None
    for finding, attempt in (
        failed(whole, action, error),
        gone(whole, action, "sec_new1", deleted=False),
        gone(whole, action, "sec_new1", deleted=True),
    ):
        check_finding(whole, finding)
        assert finding.secret is None
        following = decide(replace(whole, attempt=attempt))
        # Either the very same create, or one under a key that was not used yet; never none without a word.
        assert (
            following is action
            or not isinstance(following, Create)
            or (following.idempotency_key != action.idempotency_key)
        )
