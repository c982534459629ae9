"""The derived names: what makes them differ, what does not, and that they give nothing away."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from methodsecret_operator.core import identity
from methodsecret_operator.core.identity import DigestKey, Marker, MetadataNotCanonicalError
from tests.unit import gen

if TYPE_CHECKING:
    from pydantic import JsonValue

KEYS = st.binary(min_size=16, max_size=40).map(DigestKey)
TEXT = st.text('ab/"\\\n\0ä€😀', max_size=6)
# No floats: 1 and 1.0 are the same JSON number, which Python's == says too, but not of True and 1.
SCALARS = st.none() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
METADATA: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    TEXT,
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXT, SCALARS, max_size=2),
    max_size=3,
)
PARTS = st.fixed_dictionaries(
    {
        "key": KEYS,
        "namespace": TEXT,
        "name": TEXT,
        "environment": TEXT,
        "value": TEXT,
        "metadata": METADATA,
    }
)


# --- revision ---------------------------------------------------------------------------------------


@gen.EXAMPLES
@given(
    PARTS, PARTS, st.sets(st.sampled_from(["key", "namespace", "name", "environment", "value", "metadata"]))
)
def test_revisions_are_equal_exactly_where_every_part_is(
    one: dict[str, Any], other: dict[str, Any], taken: set[str]
) -> None:
    mixed = one | {part: other[part] for part in taken}
    same = all(one[part] == mixed[part] for part in one)
    assert (identity.revision(**one) == identity.revision(**mixed)) is same


@gen.EXAMPLES
@given(TEXT, TEXT, TEXT)
def test_moving_text_from_one_part_to_the_next_changes_the_revision(a: str, b: str, c: str) -> None:
    assume(b)
    assert gen.revision(namespace=a + b, name=c) != gen.revision(namespace=a, name=b + c)
    assert gen.revision(name=a + b, value=c) != gen.revision(name=a, value=b + c)


def test_no_metadata_is_no_metadata_in_any_spelling() -> None:
    assert gen.revision(metadata=None) == gen.revision(metadata={}) == gen.revision()


@gen.EXAMPLES
@given(METADATA)
def test_the_order_of_keys_does_not_matter(metadata: dict[str, JsonValue]) -> None:
    turned = dict(reversed(metadata.items()))
    assert gen.revision(metadata=turned) == gen.revision(metadata=metadata)


def test_numbers_are_compared_as_json_has_them() -> None:
    assert gen.revision(metadata={"n": 1.0}) == gen.revision(metadata={"n": 1})
    assert gen.revision(metadata={"n": True}) != gen.revision(metadata={"n": 1})


@gen.EXAMPLES
@given(st.text("GHIJKLMNOPqrstuvwxyz", min_size=4), METADATA)
def test_a_revision_never_holds_the_value(value: str, metadata: dict[str, JsonValue]) -> None:
    assert value not in gen.revision(value=value, metadata=metadata)


def test_the_form_of_a_revision() -> None:
    version, key_id, digest = gen.revision().split(":")
    assert (version, key_id, len(digest)) == ("1", gen.KEY.id, 32)
    int(digest, 16)


def test_a_revision_is_the_same_on_every_machine_for_ever() -> None:
    # Written down: should this change, every secret of every cluster would be created again.
    key = DigestKey(bytes(range(32)))
    found = gen.revision(key=key, value="value", metadata={"b": [1, None], "a": "ä"})
    assert found == "1:630dcd29:7b2ac806494dd9bab7b84d36579507fc"


class Inexact(NamedTuple):
    """Metadata that JSON cannot carry exactly."""

    reason: str
    metadata: dict[str, JsonValue]


INEXACT = [
    Inexact("an integer beyond 2^53", {"n": 2**53}),
    Inexact("a negative one, deep inside", {"a": [{"b": -(2**60)}]}),
    Inexact("not a number", {"n": float("nan")}),
    Inexact("infinite", {"n": float("inf")}),
    Inexact("half a surrogate pair in a text", {"n": "\ud800"}),
    Inexact("half a surrogate pair in a key", {"\udc00": 1, "b": 2}),
]


@pytest.mark.parametrize("row", INEXACT, ids=lambda row: row.reason)
def test_metadata_without_a_canonical_form_is_refused(row: Inexact) -> None:
    with pytest.raises(MetadataNotCanonicalError) as caught:
        gen.revision(metadata=row.metadata)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_key_id_is_read_from_a_revision() -> None:
    assert identity.revision_key_id(gen.revision()) == gen.KEY.id
    assert identity.revision_key_id("no revision") is None
    assert identity.revision_key_id("a:b:c:d") is None


# --- digest key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "right"), [(0, False), (15, False), (16, True), (64, True)])
def test_a_digest_key_has_at_least_128_bits(length: int, right: bool) -> None:  # noqa: FBT001 - a table's column
    material = bytes(length)
    if right:
        assert len(DigestKey(material).id) == 8
    else:
        with pytest.raises(ValueError, match="at least 16 bytes"):
            DigestKey(material)


def test_keys_are_told_apart_by_their_id() -> None:
    assert DigestKey(bytes(16)).id != DigestKey(bytes(17)).id


# --- idempotency key --------------------------------------------------------------------------------

ORDINALS = st.integers(0, 10**6)
UIDS = st.uuids().map(str)
REVISIONS = st.text("0123456789abcdef:", min_size=1, max_size=43)


@gen.EXAMPLES
@given(UIDS, REVISIONS, ORDINALS)
def test_an_idempotency_key_is_pure_and_a_uuid(uid: str, revision: str, ordinal: int) -> None:
    key = identity.idempotency_key(uid=uid, revision=revision, ordinal=ordinal)
    assert key == identity.idempotency_key(uid=uid, revision=revision, ordinal=ordinal)
    assert str(uuid.UUID(key)) == key
    assert uuid.UUID(key).version == 5


@gen.EXAMPLES
@given(st.lists(st.tuples(UIDS, REVISIONS, ORDINALS), min_size=2, max_size=8, unique=True))
def test_idempotency_keys_of_different_creates_differ(creates: list[tuple[str, str, int]]) -> None:
    keys = {identity.idempotency_key(uid=uid, revision=rev, ordinal=n) for uid, rev, n in creates}
    assert len(keys) == len(creates)


def test_an_idempotency_key_is_the_same_for_ever() -> None:
    # Written down: should this change, a create that is under way during an update is done twice.
    assert (
        identity.idempotency_key(uid=gen.UID, revision="1:k:d", ordinal=3)
        == "4553fc50-7097-519d-85af-229aafa02d4b"
    )


# --- marker and size --------------------------------------------------------------------------------


@gen.EXAMPLES
@given(TEXT, TEXT, TEXT, METADATA)
def test_a_marker_is_read_back_from_among_the_users_metadata(
    owner: str, uid: str, revision: str, metadata: dict[str, JsonValue]
) -> None:
    marker = Marker(owner=owner, uid=uid, revision=revision)
    assert Marker.read(metadata | marker.to_metadata()) == marker


@pytest.mark.parametrize("missing", identity.MARKER_KEYS)
def test_a_part_of_a_marker_is_none(missing: str) -> None:
    whole = gen.marker()
    assert Marker.read({key: value for key, value in whole.items() if key != missing}) is None
    assert Marker.read(whole | {missing: 7}) is None


def test_no_metadata_holds_no_marker() -> None:
    assert Marker.read(None) is None
    assert Marker.read({}) is None


def test_the_owner_names_cluster_namespace_and_name() -> None:
    assert identity.owner(cluster="c", namespace="ns", name="n") == "c/ns/n"


@gen.EXAMPLES
@given(METADATA)
def test_size_counts_the_bytes_of_compact_json(metadata: dict[str, JsonValue]) -> None:
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
    assert identity.size(metadata) == len(text.encode())


def test_size_counts_bytes_not_characters() -> None:
    assert identity.size({"k": "ä€"}) == len('{"k":""}') + 2 + 3
