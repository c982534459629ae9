"""The resource as Python objects: what is read, what is tolerated, and what goes back on the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methodsecret_operator.core.resource import (
    DeletionPolicy,
    MethodSecret,
    RotationPolicy,
    Status,
    parse_duration,
    rfc3339,
)
from tests.unit import gen


def test_defaults_are_the_crds() -> None:
    spec = gen.method_secret().spec
    assert (spec.deletion_policy, spec.rotation.policy) == (DeletionPolicy.RETAIN, RotationPolicy.AUTOMATIC)
    assert (spec.metadata, spec.account, spec.adopt, spec.publish) == (None, None, None, None)
    assert spec.rotation.delete_superseded_after is None


def test_an_object_knows_its_key() -> None:
    assert gen.method_secret().key == "payments/acme-api-key"


@pytest.mark.parametrize(("text", "paused"), [("true", True), ("True", False), ("", False), (None, False)])
def test_only_true_pauses(text: str | None, *, paused: bool) -> None:
    annotations = {} if text is None else {gen.PAUSED: text}
    assert gen.method_secret(annotations=annotations).paused is paused


def test_fields_of_a_newer_version_are_no_error() -> None:
    raw = gen.raw_object(spec=gen.raw_spec(novelty={"a": 1}), status=gen.raw_ready_status(novelty=True))
    assert MethodSecret.model_validate(raw) == gen.synced()


def test_an_error_does_not_repeat_what_was_given() -> None:
    raw = gen.raw_object(spec={"valueFrom": gen.CANARY})
    with pytest.raises(pydantic.ValidationError) as caught:
        MethodSecret.model_validate(raw)
    assert gen.CANARY not in str(caught.value)


def test_objects_are_never_changed_in_place() -> None:
    with pytest.raises(pydantic.ValidationError):
        gen.method_secret().spec.metadata = {}  # type: ignore[misc]  # that is the test


def test_a_status_goes_back_as_it_came() -> None:
    raw = gen.raw_ready_status(
        superseded=[{"id": "sec_old", "revision": "1:k:d", "supersededAt": gen.EARLIER, "deleting": True}],
        pending={"revision": "1:k:d", "ordinal": 0},
        lastHandledReconcileAt="a",
        lastHandledRotationAt="b",
    )
    assert Status.model_validate(raw).to_wire() == raw


def test_what_is_unset_does_not_go_on_the_wire() -> None:
    assert Status().to_wire() == {"observedGeneration": -1}


def test_conditions_are_found_by_type() -> None:
    status = gen.synced().status
    ready = status.condition("Ready")
    assert ready is not None
    assert ready.type == "Ready"
    assert status.condition("Stalled") is None


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1m1m", timedelta(minutes=2)),
        ("0.001s", timedelta(milliseconds=1)),
        ("999999h", timedelta(hours=999999)),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    spec = gen.method_secret(spec=gen.raw_spec(rotation={"deleteSupersededAfter": text})).spec
    assert spec.rotation.delete_superseded_after == text
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["1d", "h", "", "1", "-1h", "1.h", "1h ", "1234567s", "1.2345s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        gen.method_secret(spec=gen.raw_spec(rotation={"deleteSupersededAfter": text}))


PARTS = st.lists(
    st.tuples(st.integers(0, 999999), st.sampled_from("smh")).map(lambda part: f"{part[0]}{part[1]}"),
    min_size=1,
    max_size=4,
)


@gen.EXAMPLES
@given(PARTS)
def test_every_duration_added_to_a_time_is_a_time(parts: list[str]) -> None:
    assert gen.NOW + parse_duration("".join(parts)) >= gen.NOW


def test_times_on_the_wire_are_utc_in_whole_seconds() -> None:
    assert rfc3339(gen.NOW) == "2026-05-04T12:00:00Z"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("name", "UPPER"), ("name", "a/b"), ("name", "a" * 254), ("name", ""), ("name", "../x"),
        ("key", "a/b"), ("key", ""), ("key", "a b"),
    ],
)  # fmt: skip
def test_references_hold_names_only(place: str, value: str) -> None:
    reference: dict[str, Any] = {"name": "acme", "key": "api-key", place: value}
    with pytest.raises(pydantic.ValidationError):
        gen.method_secret(spec={"valueFrom": {"secretKeyRef": reference}})
