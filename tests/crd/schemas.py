"""JSON Schemas of both sides, the CRD's and the models', made comparable; and values for them.

Pure. Knows only the keywords that the two use: an unknown one is an error, not an oversight.
"""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT: Final = ("type", "enum", "pattern", "minLength", "maxLength", "minimum", "maxItems", "maxProperties")
_DROPPED: Final = (
    "$defs",
    "description",
    "title",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",  # tried on the server, row by row: test_refusals.py
)
_HANDLED: Final = ("additionalProperties", "default", "format", "items", "properties", "required")

FREE_FORM: Final = {"type": "object", "additionalProperties": {}}
RESERVED: Final = ("k8s_owner", "k8s_uid", "k8s_revision")
_MAX_INT64: Final = 2**63 - 1
_LABEL_NAME: Final = r"([a-z0-9][-a-z0-9.]{0,20}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?"


def simplified(schema: dict[str, Any], defs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a schema in one notation: references resolved, words and `or null` left out.

    Null means nothing on either side: the server drops it wherever the CRD does not say nullable, and
    this CRD never does. A default of a whole object is spread over its fields.
    """
    defs = schema.get("$defs", {}) if defs is None else defs
    schema = _resolved(schema, defs)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return dict(FREE_FORM)
    if unknown := schema.keys() - {*_KEPT, *_DROPPED, *_HANDLED}:
        raise AssertionError(f"teach this module the keywords {sorted(unknown)}")
    simple: dict[str, Any] = {keyword: schema[keyword] for keyword in _KEPT if keyword in schema}
    if schema.get("format") == "date-time":  # the models do not say int64
        simple["format"] = "date-time"
    default = schema.get("default")
    if isinstance(default, str | int):
        simple["default"] = default
    if "properties" in schema:
        children = {name: simplified(child, defs) for name, child in schema["properties"].items()}
        for name, value in default.items() if isinstance(default, dict) else ():
            children[name] |= {} if value is None else {"default": value}
        simple |= {"properties": children, "required": sorted(schema.get("required", ()))}
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            simple[keyword] = simplified(schema[keyword], defs)
    return simple


def _resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        (schema,) = (branch for branch in schema["anyOf"] if branch != {"type": "null"})
    if "$ref" in schema:
        target = defs[schema["$ref"].rsplit("/", 1)[1]]
        return {**target, **{keyword: value for keyword, value in schema.items() if keyword != "$ref"}}
    return schema


def _to_the_end(
    validator: Any,  # noqa: ANN401 - jsonschema's own type is Any
    pattern: str,
    instance: object,
    _: object,
) -> Iterator[ValidationError]:
    """Match as the server and the models do: $ is the very end, not before a last newline."""
    if validator.is_type(instance, "string") and not re.search(pattern.replace("$", r"\Z"), str(instance)):
        yield ValidationError(f"does not match {pattern}")


_Validator = extend(  # type: ignore[no-untyped-call] # its stubs leave this one out
    Draft202012Validator, {"pattern": _to_the_end}
)


def accepts(simple: dict[str, Any], value: object) -> bool:
    """Return whether a value fits a schema as `simplified` returns it."""
    return bool(_Validator(simple).is_valid(value))


def _texts(simple: dict[str, Any]) -> st.SearchStrategy[str]:
    if "enum" in simple:
        return st.sampled_from(simple["enum"])
    if simple.get("format") == "date-time":
        first, last = datetime(1970, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001 - hypothesis adds the zone
        return st.datetimes(first, last, timezones=st.just(UTC)).map(datetime.isoformat)
    longest = simple["maxLength"]
    if "pattern" in simple:
        pattern = simple["pattern"].replace("$", r"\Z")
        matching = st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
        return matching.filter(lambda text: len(text) <= longest)
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=min(longest, 30))


def _anything() -> st.SearchStrategy[Any]:
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    leaf = (
        st.none()
        | st.booleans()
        | st.integers(-_MAX_INT64 - 1, _MAX_INT64)
        | st.floats(allow_nan=False, allow_infinity=False)
        | text
    )
    return st.recursive(leaf, lambda below: st.lists(below) | st.dictionaries(text, below), max_leaves=5)


def fitting(simple: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return the values that fit a schema as `simplified` returns it (in CEL's eyes, too)."""
    match simple["type"]:
        case "string":
            return _texts(simple)
        case "integer":
            return st.integers(simple["minimum"], _MAX_INT64)
        case "boolean":
            return st.booleans()
        case "array":
            items = simple["items"]
            unique = (lambda item: item["type"]) if "type" in items["properties"] else None
            return st.lists(fitting(items), max_size=3, unique_by=unique)
        case "object" if simple == FREE_FORM:
            names = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
            return st.dictionaries(names.filter(lambda name: name not in RESERVED), _anything(), max_size=3)
        case "object" if "additionalProperties" in simple:
            values = fitting(simple["additionalProperties"])
            return st.dictionaries(st.from_regex(_LABEL_NAME, fullmatch=True), values, max_size=3)
        case "object":
            children = {name: fitting(child) for name, child in simple["properties"].items()}
            required = {name: children.pop(name) for name in simple["required"]}
            return st.fixed_dictionaries(required, optional=children)
    raise AssertionError(f"no values for the type {simple['type']}")


_JUNK: Final[tuple[object, ...]] = (
    7,
    -2,
    1.5,
    True,
    "",
    "x y",
    "acme",
    "acme\n",
    "sec_é",
    "24",
    "a" * 300,
    [],
    ["a"],
    {},
    {"a": 1},
)


@st.composite
def damaged(draw: st.DrawFn, simple: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return a fitting value with one field taken away or replaced; some still fit."""
    tree = copy.deepcopy(draw(fitting(simple)))
    places = list(_places(tree))
    parent, key = draw(st.sampled_from(places))
    if draw(st.booleans()):
        del parent[key]
    else:
        parent[key] = copy.deepcopy(draw(st.sampled_from(_JUNK)))
    return tree


def _places(tree: object) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield tree, key
            if key != "metadata":  # anything goes there
                yield from _places(child)
