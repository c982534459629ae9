"""The pydantic models and the CRD say the same, in both directions: by structure and by generated objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from methodsecret_operator.core.resource import (
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    MethodSecret,
    Spec,
    Status,
    parse_duration,
)
from tests.crd.objects import FULL, MINIMAL, STATUS, create, method_secret, set_status, try_create, url, walk
from tests.crd.schemas import accepts, damaged, fitting, simplified
from tests.fixtures_crd import read_crd, read_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.controlplane import ControlPlane

_PARTS: Final = read_schema()["properties"]
_CRD: Final = {part: simplified(_PARTS[part]) for part in ("spec", "status")}
_MODEL: Final = {
    "spec": simplified(Spec.model_json_schema(by_alias=True)),
    "status": simplified(Status.model_json_schema(by_alias=True)),
}


def _same_each_time(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(max_examples=examples, derandomize=True, database=None, deadline=None)


def _parses(spec: object) -> bool:
    try:
        Spec.model_validate(spec)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("part", ["spec", "status"])
def test_names_types_and_limits_are_the_same(part: str) -> None:
    assert _MODEL[part] == _CRD[part]


def test_nothing_is_nullable() -> None:
    """`simplified` leaves null out because of this."""
    assert [path for path, node in walk(read_schema()) if "nullable" in node] == []


def test_names_of_the_kind_are_the_same() -> None:
    spec = read_crd()["spec"]
    assert (spec["group"], spec["versions"][0]["name"]) == (GROUP, VERSION)
    assert (spec["names"]["kind"], spec["names"]["plural"]) == (KIND, PLURAL)


@_same_each_time(200)
@given(fitting(_CRD["spec"]))
def test_models_parse_every_spec_of_the_crd(spec: dict[str, Any]) -> None:
    assert accepts(_CRD["spec"], spec)
    parsed = Spec.model_validate(spec)
    if parsed.rotation.delete_superseded_after is not None:
        parse_duration(parsed.rotation.delete_superseded_after)


@_same_each_time(200)
@given(fitting(_MODEL["spec"]))
def test_crd_takes_every_spec_of_the_models(spec: dict[str, Any]) -> None:
    Spec.model_validate(spec)
    assert accepts(_CRD["spec"], spec)


@_same_each_time(200)
@given(damaged(_CRD["spec"]))
def test_both_refuse_the_same_specs(spec: dict[str, Any]) -> None:
    assert _parses(spec) == accepts(_CRD["spec"], spec)


@_same_each_time(200)
@given(fitting(_CRD["status"]))
def test_models_parse_every_status_of_the_crd_and_lose_nothing(status: dict[str, Any]) -> None:
    parsed = Status.model_validate(status)
    assert Status.model_validate(parsed.to_wire()) == parsed
    empty = {name for name, value in status.items() if value == []}
    assert parsed.to_wire().keys() == status.keys() - empty | {"observedGeneration"}


@_same_each_time(200)
@given(fitting(_MODEL["status"]))
def test_crd_takes_every_status_that_the_models_write(status: dict[str, Any]) -> None:
    assert accepts(_CRD["status"], Status.model_validate(status).to_wire())


def test_server_decides_like_the_models(control_plane: ControlPlane, crd: dict[str, Any]) -> None:
    outcomes: list[bool] = []

    @_same_each_time(120)
    @given(st.one_of(fitting(_MODEL["spec"]), damaged(_CRD["spec"])))
    def run(spec: dict[str, Any]) -> None:
        answer = try_create(control_plane, method_secret(spec))
        assert answer.status_code in (201, 422), answer.text
        assert (answer.status_code == 201) == _parses(spec), answer.text
        if answer.status_code == 201:
            Spec.model_validate(answer.json()["spec"])
        outcomes.append(answer.status_code == 201)

    run()
    assert crd["kind"] == "CustomResourceDefinition"
    assert min(outcomes.count(True), outcomes.count(False)) > 20


def test_server_stores_every_status_that_the_models_write(
    control_plane: ControlPlane, crd: dict[str, Any], namespace: str
) -> None:
    assert crd["kind"] == "CustomResourceDefinition"
    stored = create(control_plane, namespace, method_secret(MINIMAL))

    @_same_each_time(60)
    @given(fitting(_MODEL["status"]))
    def run(status: dict[str, Any]) -> None:
        written = Status.model_validate(status).to_wire()
        answer = set_status(control_plane, stored, written, dry_run=True)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == written

    run()


def test_models_read_a_whole_object(control_plane: ControlPlane, crd: dict[str, Any], namespace: str) -> None:
    assert crd["kind"] == "CustomResourceDefinition"
    stored = create(control_plane, namespace, method_secret(FULL))
    new = MethodSecret.model_validate(stored)
    assert new.status == Status()
    assert new.key == f"{namespace}/acme-api-key"
    set_status(control_plane, stored, STATUS).raise_for_status()
    seen = MethodSecret.model_validate(control_plane.http.get(url(namespace, "acme-api-key")).json())
    assert seen.spec.model_dump(mode="json", by_alias=True, exclude_none=True) == FULL
    assert seen.status.to_wire() == STATUS
