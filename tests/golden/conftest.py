"""Fixtures of the golden tests: those of the fault tests, whose proxy tells what the operator sends."""

from tests.fixtures_crd import crd
from tests.integration.conftest import operator_kubeconfig

__all__ = ["crd", "operator_kubeconfig"]
