"""The Method API: client, budget, wire format. Knows nothing of Kubernetes."""
