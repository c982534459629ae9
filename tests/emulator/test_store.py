"""The store: cursors stay right while secrets come and go, statuses move, values are not kept."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from method_emulator.store import DELETED, SecretStore, UnknownCursorError

RNG = random.Random(7)  # noqa: S311 - repeatable


def new_store() -> SecretStore:
    return SecretStore(digest_key=b"k" * 32, rng=RNG, wall_clock=lambda: 1_764_874_254.024)


def create(store: SecretStore, account: str = "a") -> str:
    return store.create(account=account, digest=b"", metadata=None).id


STEPS = st.lists(st.sampled_from(["create", "delete", "vanish", "restore"]), max_size=6)


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(min_value=0, max_value=25),
    limit=st.integers(min_value=1, max_value=7),
    churn=st.lists(STEPS, max_size=30),
    seed=st.integers(min_value=0, max_value=2**16),
)
def test_a_scan_sees_once_what_was_there_throughout(
    count: int, limit: int, churn: list[list[str]], seed: int
) -> None:
    store, rng = new_store(), random.Random(seed)  # noqa: S311 - repeatable
    throughout = {create(store) for _ in range(count)}
    seen: list[str] = []
    cursor, rounds = None, iter(churn)
    while True:
        page = store.page("a", limit=limit, cursor=cursor)
        seen += [secret.id for secret in page.secrets]
        assert len(page.secrets) <= limit
        cursor = page.next_cursor
        if cursor is None:
            break
        for step in next(rounds, ()):
            there = [
                secret for secret in store.secrets("a") if (secret.status == DELETED) == (step == "restore")
            ]
            if step == "create":
                create(store)
            elif there:
                chosen = rng.choice(there)
                throughout.discard(chosen.id)
                if step == "vanish":
                    store.vanish(chosen)
                else:
                    store.set_status(chosen, "active" if step == "restore" else DELETED)
    assert len(seen) == len(set(seen)), "listed twice"
    assert throughout <= set(seen), "missed"


@given(count=st.integers(min_value=0, max_value=30), limit=st.integers(min_value=1, max_value=8))
def test_pages_by_number_by_next_and_by_previous_cursor_agree(count: int, limit: int) -> None:
    store = new_store()
    made = [create(store) for _ in range(count)][::-1]
    last = store.page("a", limit=limit).page_count
    assert last == max(1, -(-count // limit))
    pages = [store.page("a", limit=limit, page=number) for number in range(1, last + 1)]
    assert [secret.id for page in pages for secret in page.secrets] == made
    for page, following in itertools.pairwise(pages):
        assert store.page("a", limit=limit, cursor=page.next_cursor) == following
        assert store.page("a", limit=limit, cursor=following.previous_cursor) == page
    assert (pages[0].previous_cursor, pages[-1].next_cursor) == (None, None)
    assert store.page("a", limit=limit, page=last + 1).secrets == []


def test_a_cursor_of_another_account_is_unknown() -> None:
    store = new_store()
    create(store)
    foreign = create(store, "b")
    with pytest.raises(UnknownCursorError):
        store.page("a", limit=1, cursor=foreign)
    assert store.get("a", foreign) is None


def test_timestamps_are_iso_with_milliseconds() -> None:
    store = new_store()
    secret = store.find(create(store))
    assert secret is not None
    assert secret.created_at == "2025-12-04T18:50:54.024Z"


def test_equal_values_have_equal_digests_only_under_one_key() -> None:
    store = new_store()
    other = SecretStore(digest_key=b"o" * 32, rng=RNG, wall_clock=lambda: 0.0)
    assert store.digest("v") == store.digest("v") != store.digest("w")
    assert store.digest("v") != other.digest("v")
