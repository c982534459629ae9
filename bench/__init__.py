"""Measures the operator on a real kube-apiserver against the least any program could do: `make bench`."""
