"""`make demo`: the operator at work on a real kube-apiserver, told step by step.

It must not touch any cluster, process or file but those it made itself, and it leaves none behind.
"""
