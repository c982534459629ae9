"""The few calls to the kube-apiserver. Knows nothing of Method and decides nothing."""
