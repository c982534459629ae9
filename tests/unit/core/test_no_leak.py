"""What can be printed never holds a value or a key: repr, str, format, and what is in them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from methodsecret_operator.core.decision import created, decide
from methodsecret_operator.core.identity import DigestKey
from methodsecret_operator.core.outcome import failed
from methodsecret_operator.core.remote import RemoteSecret
from methodsecret_operator.core.status import summarize
from methodsecret_operator.errors import MethodUnavailable
from methodsecret_operator.runtime.sources import ApiKey
from tests.unit import gen

WHOLE = gen.snapshot()
CREATE = gen.create(WHOLE)
UNRESOLVED = gen.attempt(revision=CREATE.revision, ordinal=0, unresolved=CREATE)
FAILED = failed(WHOLE, CREATE, gen.error(MethodUnavailable, kind="timeout"))
CREATED = created(WHOLE, CREATE, gen.remote())

PRINTED: dict[str, Any] = {
    "Snapshot": WHOLE,
    "Snapshot with an unresolved create": gen.snapshot(attempt=UNRESOLVED),
    "SourceValue": gen.source(),
    "Create": CREATE,
    "Action": decide(WHOLE),
    "Attempt": UNRESOLVED,
    "Finding of a failure, and what is remembered": FAILED,
    "Finding of a success": CREATED,
    "Status": summarize(WHOLE.object, CREATED, now=gen.NOW),
    "Status on the wire": summarize(WHOLE.object, CREATED, now=gen.NOW).to_wire(),
    "DigestKey": DigestKey(gen.CANARY.encode()),
    "ApiKey": ApiKey(version=("uid", "1"), value=SecretStr(gen.CANARY)),
    "RemoteSecret": RemoteSecret(id="sec_a", status="active", metadata={"note": gen.CANARY}),
    "in a list, as a traceback's locals are shown": [WHOLE, CREATE, UNRESOLVED],
}


@pytest.mark.parametrize("thing", PRINTED.values(), ids=PRINTED.keys())
def test_nothing_printed_holds_the_value(thing: object) -> None:
    for text in (repr(thing), str(thing), f"{thing}", f"{thing!r:.9999}"):
        assert gen.CANARY not in text
        assert str(gen.CANARY.encode())[2:-1] not in text


def test_the_canary_is_in_there() -> None:
    # What is looked for above would be found if it were printed.
    assert gen.source().value.get_secret_value() == gen.CANARY
    assert CREATE.value.get_secret_value() == gen.CANARY
