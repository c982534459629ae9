"""Fixtures of the CRD's tests."""

from __future__ import annotations

from tests.fixtures_crd import crd

__all__ = ["crd"]
