"""MethodSecret operator: keeps Kubernetes Secrets stored at Method, exactly once."""

__version__ = "0.1.0"
