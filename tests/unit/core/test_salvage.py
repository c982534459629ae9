"""What is read of an object that is being deleted and does not fit, and that it is always something."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from methodsecret_operator.core import salvage
from methodsecret_operator.core.resource import FINALIZER, MethodSecret
from tests.unit import gen

DELETE = gen.raw_spec(deletionPolicy="Delete", account=gen.own_account())
OLD = {"id": "sec_old1", "revision": gen.revision(), "supersededAt": gen.EARLIER, "deleting": True}


def document(spec: Any = DELETE, status: Any = None) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a deleted object whose spec and status are these, whatever they are."""
    whole = gen.raw_object(deleted=True, finalizers=(FINALIZER,))
    return whole | {"spec": spec, "status": gen.raw_ready_status() if status is None else status}


class Row(NamedTuple):
    """A document, the fields that are left out, and what of the object is as it would be without them."""

    reason: str
    document: dict[str, Any]
    unread: tuple[str, ...]
    like: dict[str, Any]


TABLE = [
    Row("what fits is all there", document(), (), document()),
    Row(
        "an environment that came later",
        document({**DELETE, "account": gen.own_account("staging")}),
        ("spec.account",),
        document(gen.raw_spec(deletionPolicy="Delete")),
    ),
    Row(
        "a policy that came later",
        document({**DELETE, "deletionPolicy": "Archive"}),
        ("spec.deletionPolicy",),
        document(gen.raw_spec(account=gen.own_account())),
    ),
    Row(
        "two fields of no use to a deletion",
        document({**DELETE, "rotation": {"policy": "Weekly"}, "adopt": 7}),
        ("spec.rotation", "spec.adopt"),
        document(),
    ),
    Row(
        "one field of a status leaves the others",
        document(status=gen.raw_ready_status(conditions=[{"type": "Ready"}])),
        ("status.conditions",),
        document(status=gen.raw_ready_status(conditions=[])),
    ),
    Row(
        "one former secret leaves the others",
        document(status=gen.raw_ready_status(superseded=[OLD, 7])),
        ("status.superseded.1",),
        document(status=gen.raw_ready_status(superseded=[OLD])),
    ),
    Row(
        "a former secret is read for its id",
        document(status=gen.raw_ready_status(superseded=[{"id": "sec_old1", "supersededAt": "lately"}])),
        ("status.superseded.0",),
        document(
            status=gen.raw_ready_status(
                superseded=[{"id": "sec_old1", "supersededAt": "1970-01-01T00:00:00Z"}]
            )
        ),
    ),
    Row(
        "no list of former secrets",
        document(status=gen.raw_ready_status(superseded="many")),
        ("status.superseded",),
        document(),
    ),
    Row("no status at all", document(status=[]), ("status",), document(status={})),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_what_is_read(row: Row) -> None:
    found = salvage.read(row.document)
    assert found.unread == row.unread
    assert found.model_copy(update={"unread": ()}) == MethodSecret.model_validate(row.like)


def test_a_source_that_cannot_be_read_is_none() -> None:
    found = salvage.read(document({"deletionPolicy": "Delete", "valueFrom": {"vaultRef": {}}}))
    assert found.unread == ("spec.valueFrom",)
    assert found.spec.deletion_policy == "Delete"
    assert salvage.read(document(None)).unread == ("spec",)


def test_a_longer_list_than_ours_is_read_whole() -> None:
    many = [{**OLD, "id": f"sec_old{number}"} for number in range(150)]
    found = salvage.read(document(status=gen.raw_ready_status(superseded=many)))
    assert [entry.id for entry in found.status.superseded] == [entry["id"] for entry in many]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SPECS = JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(DELETE, JSON))
STATUSES = JSON | st.fixed_dictionaries(
    {}, optional=dict.fromkeys([*gen.raw_ready_status(), "superseded"], JSON)
)


@gen.EXAMPLES
@given(spec=SPECS, status=STATUSES)
def test_something_is_always_read(spec: Any, status: Any) -> None:  # noqa: ANN401 - any JSON
    found = salvage.read(document() | {"spec": spec, "status": status})
    assert (found.key, found.metadata.finalizers) == (f"{gen.NAMESPACE}/{gen.NAME}", (FINALIZER,))
    try:
        whole = MethodSecret.model_validate(document() | {"spec": spec, "status": status})
    except ValidationError:
        assert found.unread
    else:
        assert found == whole
