"""Fixtures of the GitOps tests: those of the fault tests, whose proxy counts what the operator sends."""

from tests.faults.conftest import operator_kubeconfig, places
from tests.fixtures_crd import crd

__all__ = ["crd", "operator_kubeconfig", "places"]
