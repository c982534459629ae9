"""Who is woken when a Secret changes, in every order of references set and dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from methodsecret_operator.runtime.dependents import Dependents
from tests.unit import gen

OBJECTS = ["ns/a", "ns/b", "ns/c"]
SECRETS = ["ns/s1", "ns/s2", "ns/s3"]


def test_both_of_an_objects_secrets_lead_to_it() -> None:
    dependents = Dependents()
    dependents.set("ns/a", ["ns/s1", "ns/s2"])
    dependents.set("ns/b", ["ns/s2"])
    assert dependents.of("ns/s1") == {"ns/a"}
    assert dependents.of("ns/s2") == {"ns/a", "ns/b"}
    assert dependents.of("ns/s3") == frozenset()


def test_what_is_handed_out_does_not_change_later() -> None:
    dependents = Dependents()
    dependents.set("ns/a", ["ns/s1"])
    found = dependents.of("ns/s1")
    dependents.set("ns/a", [])
    assert found == {"ns/a"}


@gen.EXAMPLES
@given(st.lists(st.tuples(st.sampled_from(OBJECTS), st.lists(st.sampled_from(SECRETS))), max_size=12))
def test_it_is_always_what_was_said_last_and_holds_nothing_more(steps: list[tuple[str, list[str]]]) -> None:
    dependents, model = Dependents(), dict[str, set[str]]()
    for key, secrets in steps:
        dependents.set(key, secrets)
        model[key] = set(secrets)
    for secret in SECRETS:
        assert dependents.of(secret) == {key for key, referred in model.items() if secret in referred}
    # Nothing is kept of what is forgotten: the operator runs for months.
    assert set(dependents._by_object) == {key for key, referred in model.items() if referred}
    assert set(dependents._by_secret) == {secret for referred in model.values() for secret in referred}
