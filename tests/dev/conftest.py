"""Fixtures of the tests of what ships beside the operator, and of the tools in dev/."""

from __future__ import annotations

from tests.fixtures_crd import crd

__all__ = ["crd"]
