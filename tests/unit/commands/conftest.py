"""The kube-apiserver of the runtime's tests, for commands."""

from __future__ import annotations

from tests.unit.runtime.conftest import connection, kube, served, server

__all__ = ["connection", "kube", "served", "server"]
