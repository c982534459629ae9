"""What the server refuses by the CRD alone, with which words, and what it lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.crd.objects import (
    ABSENT,
    FULL,
    LONGEST_NAME,
    MINIMAL,
    STATUS,
    causes,
    changed,
    create,
    method_secret,
    set_status,
    try_create,
    url,
    walk,
)
from tests.fixtures_crd import read_schema

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

pytestmark = pytest.mark.usefixtures("crd")

_CONFIG_MAP = "publish.configMap"
_INVALID, _FORBIDDEN = "FieldValueInvalid", "FieldValueForbidden"


class Refusal(NamedTuple):
    """One field of a full spec set to a value that one rule refuses."""

    path: str
    value: Any
    cause: str
    message: str
    reason: str
    field: str | None = None  # where the server points, if not at `path`


REFUSALS = [
    *(
        Refusal(path, value, _INVALID, f"no {kind} can have this name: ", reason)
        for path, kind in (
            ("valueFrom.secretKeyRef.name", "Secret"),
            ("account.apiKeySecretRef.name", "Secret"),
            (f"{_CONFIG_MAP}.name", "ConfigMap"),
        )
        for value, reason in (
            ("Acme", "names have no capitals"),
            ("payments/acme", "no other namespace can be named"),
            ("-acme", "a name starts with a letter or digit"),
            ("acme.", "a name ends with a letter or digit"),
            ("acme\n", "a newline at the end is not overlooked"),
            ("", "an empty name names nothing"),
        )
    ),
    *(
        Refusal(path, value, _INVALID, f"no {kind} can have this key: ", reason)
        for path, kind in (
            ("valueFrom.secretKeyRef.key", "Secret"),
            ("account.apiKeySecretRef.key", "Secret"),
            (f"{_CONFIG_MAP}.key", "ConfigMap"),
        )
        for value, reason in (
            ("api key", "keys have no spaces"),
            ("api/key", "keys have no slashes"),
            ("", "an empty key names nothing"),
        )
    ),
    *(
        Refusal(f"metadata.{key}", value, _FORBIDDEN, f"{key} is reserved: the operator writes it", reason)
        for key in ("k8s_owner", "k8s_uid", "k8s_revision")
        for value, reason in (
            ("somebody", "the operator's marker cannot be forged"),
            ("", "nor emptied"),
        )
    ),
    *(
        Refusal("rotation.deleteSupersededAfter", value, _INVALID, "not a duration: write hours (h)", reason)
        for value, reason in (
            ("7d", "there are no days"),
            ("24", "a number alone has no unit"),
            ("-1h", "nothing is deleted before it is superseded"),
            ("1h 30m", "no spaces"),
            ("1234567h", "more than 999,999 would overflow the calendar"),
        )
    ),
    *(
        Refusal("adopt.id", value, _INVALID, "not the id of a secret at Method", reason)
        for value, reason in (
            ("acc_abc", "an id of something else"),
            ("sec_", "an id has more than its prefix"),
            ("sec_a/../b", "the id becomes a part of a URL"),
        )
    ),
    *(
        Refusal(
            f"{_CONFIG_MAP}.{kind}s",
            {key: "x"},
            _INVALID,
            f"not the name of a{n} {kind}: use up to 63",
            reason,
        )
        for kind, n in (("label", ""), ("annotation", "n"))
        for key, reason in (
            ("a b", "no spaces"),
            ("a/b/c", "one prefix only"),
            ("", "an empty name"),
            ("a" * 64, "longer than Kubernetes takes"),
        )
    ),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.path}={str(row.value)[:12]!r}")
def test_refused_by_a_rule(control_plane: ControlPlane, row: Refusal) -> None:
    found = causes(try_create(control_plane, method_secret(changed(FULL, row.path, row.value))))
    field = f"spec.{row.path}"
    assert [1 for at, cause, text in found if at == field and cause == row.cause and row.message in text], (
        f"{row.reason}: {found}"
    )
    assert {at for at, _, _ in found} == {field}, row.reason


def test_account_is_neither_added_nor_removed(control_plane: ControlPlane, namespace: str) -> None:
    without = changed(FULL, "account", ABSENT)
    for name, before, after in (("adding", without, FULL), ("removing", FULL, without)):
        stored = create(control_plane, namespace, method_secret(before, name=name))
        answer = control_plane.http.put(url(namespace, name), json={**stored, "spec": after})
        ((field, cause, message),) = causes(answer)
        assert (field, cause) == ("spec.account", _FORBIDDEN), name
        assert "account can be neither added nor removed" in message
        assert "Create another MethodSecret" in message


def test_environment_does_not_change(control_plane: ControlPlane, namespace: str) -> None:
    stored = create(control_plane, namespace, method_secret(FULL))
    after = changed(FULL, "account.environment", "production")
    answer = control_plane.http.put(url(namespace, "acme-api-key"), json={**stored, "spec": after})
    ((field, cause, message),) = causes(answer)
    assert (field, cause) == ("spec.account.environment", _FORBIDDEN)
    assert "environment cannot be changed" in message
    assert "Create another MethodSecret" in message


def test_everything_else_changes(control_plane: ControlPlane, namespace: str) -> None:
    stored = create(control_plane, namespace, method_secret(FULL))
    after = {
        "valueFrom": {"secretKeyRef": {"name": "other", "key": "other"}},
        "account": {"environment": "sandbox", "apiKeySecretRef": {"name": "other", "key": "other"}},
        "deletionPolicy": "Retain",
    }
    answer = control_plane.http.put(url(namespace, "acme-api-key"), json={**stored, "spec": after})
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"] == after


def test_every_rule_is_tried() -> None:
    """No rule without a row above: each message of the CRD is looked for by one of them."""
    looked_for = {row.message for row in REFUSALS} | {
        "account can be neither added nor removed",
        "environment cannot be changed",
    }
    rules = [
        rule["message"]
        for _, node in walk(read_schema())
        for rule in node.get("x-kubernetes-validations", ())
    ]
    assert len(rules) == 15
    assert [message for message in rules if not any(text in message for text in looked_for)] == []


def _spec_fields() -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, node) for path, node in walk(read_schema()["properties"]["spec"]) if not path.endswith("}")
    ]


_RESERVED = "metadata.k8s_"  # any value there is refused, see REFUSALS


@pytest.mark.parametrize("path", [path for path, _ in _spec_fields() if not path.startswith(_RESERVED)])
def test_refuses_another_type(control_plane: ControlPlane, path: str) -> None:
    wrong: object
    for wrong in ([], 7):
        found = causes(try_create(control_plane, method_secret(changed(FULL, path, wrong))))
        assert (f"spec.{path}", "FieldValueTypeInvalid") in {(at, cause) for at, cause, _ in found}
        assert any("must be of type" in message for _, _, message in found)


@pytest.mark.parametrize("kind", ["labels", "annotations"])
@pytest.mark.parametrize("wrong", [True, 7, {}, []])
def test_refuses_labels_that_are_no_text(control_plane: ControlPlane, kind: str, wrong: object) -> None:
    path = f"{_CONFIG_MAP}.{kind}"
    found = causes(try_create(control_plane, method_secret(changed(FULL, path, {"a": wrong}))))
    assert (f"spec.{path}.a", "FieldValueTypeInvalid") in {(at, cause) for at, cause, _ in found}


@pytest.mark.parametrize(
    "path",
    [
        f"{path}.{name}".lstrip(".")
        for path, node in [("", read_schema()["properties"]["spec"]), *_spec_fields()]
        for name in node.get("required", ())
    ],
)
def test_refuses_a_missing_field(control_plane: ControlPlane, path: str) -> None:
    for nothing in (ABSENT, None):
        found = causes(try_create(control_plane, method_secret(changed(FULL, path, nothing))))
        assert (f"spec.{path}", "FieldValueRequired") in {(at, cause) for at, cause, _ in found}


def test_refuses_a_missing_spec(control_plane: ControlPlane) -> None:
    body = method_secret(MINIMAL)
    del body["spec"]
    assert [(at, cause) for at, cause, _ in causes(try_create(control_plane, body))] == [
        ("spec", "FieldValueRequired")
    ]


_LONGEST = {
    "valueFrom.secretKeyRef.name": LONGEST_NAME,
    "valueFrom.secretKeyRef.key": LONGEST_NAME,
    "account.apiKeySecretRef.name": LONGEST_NAME,
    "account.apiKeySecretRef.key": LONGEST_NAME,
    f"{_CONFIG_MAP}.name": LONGEST_NAME,
    f"{_CONFIG_MAP}.key": LONGEST_NAME,
    "adopt.id": "sec_" + "a" * 251,
    "rotation.deleteSupersededAfter": "999999h" * 4 + "999h",
}


def test_every_text_has_a_limit() -> None:
    limited = {path for path, node in walk(read_schema()) if node["type"] == "string" and "maxLength" in node}
    texts = {path for path, node in walk(read_schema()) if node["type"] == "string" and "enum" not in node}
    times = {path for path, node in walk(read_schema()) if node.get("format") == "date-time"}
    assert texts - times - limited == {"apiVersion", "kind"}  # of these the server takes one value only
    of_spec = {path for path, node in _spec_fields() if "maxLength" in node}
    assert {path for path in of_spec if not path.startswith(_RESERVED)} == set(_LONGEST)


@pytest.mark.parametrize("path", _LONGEST)
def test_longest(control_plane: ControlPlane, path: str) -> None:
    value = _LONGEST[path]
    accepted = try_create(control_plane, method_secret(changed(FULL, path, value)))
    assert accepted.status_code == 201, accepted.text
    longer = value + ("s" if path.endswith("After") else "a")
    found = causes(try_create(control_plane, method_secret(changed(FULL, path, longer))))
    assert (f"spec.{path}", "FieldValueTooLong") in {(at, cause) for at, cause, _ in found}


@pytest.mark.parametrize(
    ("path", "accepted", "refused", "reason"),
    [
        ("labels", {"a": "b" * 63}, {"a": "b" * 64}, "a label's value has at most 63 characters"),
        ("labels", {"a": ""}, {"a": "b c"}, "a label's value has no spaces, but may be empty"),
        ("labels", {"a" * 253 + "/" + "b" * 63: "c"}, {"a" * 254 + "/b": "c"}, "limits of a prefixed name"),
        (
            "labels",
            {f"a{n}": "b" for n in range(32)},
            {f"a{n}": "b" for n in range(33)},
            "no more than 32 labels",
        ),
        ("annotations", {"a": "ü" * 4096}, {"a": "ü" * 4097}, "characters are counted, not bytes"),
        (
            "annotations",
            {f"a{n}": "b" for n in range(32)},
            {f"a{n}": "b" for n in range(33)},
            "no more than 32 annotations",
        ),
    ],
)
def test_limits_of_labels(
    control_plane: ControlPlane, path: str, accepted: object, refused: object, reason: str
) -> None:
    where = f"{_CONFIG_MAP}.{path}"
    answer = try_create(control_plane, method_secret(changed(FULL, where, accepted)))
    assert answer.status_code == 201, f"{reason}: {answer.text}"
    found = causes(try_create(control_plane, method_secret(changed(FULL, where, refused))))
    assert {at.removesuffix(".a") for at, _, _ in found} == {f"spec.{where}"}, reason


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (MINIMAL, "one reference is enough"),
        (FULL, "everything at once"),
        ({**MINIMAL, "rotation": {}}, "an empty rotation means the defaults"),
        ({**MINIMAL, "metadata": {}}, "empty metadata mean none"),
        ({**MINIMAL, "metadata": None, "account": None, "adopt": None}, "null means absent"),
        ({**FULL, "metadata": {"owner": "k8s_owner", "in": {"k8s_owner": "x"}}}, "reserved at the top only"),
        ({**FULL, "rotation": {"deleteSupersededAfter": "1h30m0.5s"}}, "a sum of parts"),
        ({**FULL, "rotation": {"deleteSupersededAfter": "0s"}}, "at once"),
    ],
)
def test_accepted(control_plane: ControlPlane, spec: dict[str, Any], reason: str) -> None:
    answer = try_create(control_plane, method_secret(spec, name=LONGEST_NAME))
    assert answer.status_code == 201, f"{reason}: {answer.text}"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        pytest.param("superseded", STATUS["superseded"] * 101, "superseded", id="the list is bounded"),
        pytest.param("conditions", STATUS["conditions"] * 2, "conditions[1]", id="one of each type"),
        pytest.param("id", "a" * 256, "id", id="ids are bounded"),
        pytest.param("observedGeneration", -2, "observedGeneration", id="-1 is the lowest"),
        pytest.param("pending.ordinal", -1, "pending.ordinal", id="counted from 0"),
        pytest.param("source.revision", ABSENT, "source.revision", id="nothing is said without it"),
    ],
)
def test_refuses_a_status(
    control_plane: ControlPlane, namespace: str, path: str, value: object, field: str
) -> None:
    stored = create(control_plane, namespace, method_secret(MINIMAL))
    answer = set_status(control_plane, stored, changed(STATUS, path, value))
    assert f"status.{field}" in {at for at, _, _ in causes(answer)}
