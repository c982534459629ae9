"""The informer starts wherever the process may be, and ends when it is told to."""

from __future__ import annotations

import getpass
from typing import NoReturn

import pytest

from methodsecret_operator.kube.connection import Connection
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.handlers import Informer


async def test_it_starts_under_a_uid_without_a_name(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: uid 65532, or any on OpenShift, is in no /etc/passwd."""

    def nameless() -> NoReturn:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    cache = ObjectCache(wake=lambda _: None)
    informer = Informer(connection=connection, cache=cache, namespaces=("payments",))
    task = await informer.start()
    informer.stop()
    await task
