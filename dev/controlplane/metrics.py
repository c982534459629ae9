"""Reads what a kube-apiserver was asked for out of its own metrics: exact counts, whoever asked. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
"""The verbs that write."""

_SAMPLE: Final = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def requests(metrics: str) -> Counter[tuple[str, str]]:
    """Return how often each verb was used on each resource: ("PATCH", "methodsecrets/status").

    `metrics` is the text of /metrics. Watches count when they end. What deletes a whole collection, which
    is how a namespace is emptied, has the verb DELETE there and the scope of a namespace; here it is apart.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for labels, number in _SAMPLE.findall(metrics):
        found = dict(_LABEL.findall(labels))
        what = "/".join(filter(None, (found["resource"], found["subresource"])))
        whole = found["verb"] == "DELETE" and found["scope"] != "resource"
        counts["DELETECOLLECTION" if whole else found["verb"], what] += int(float(number))
    return counts
