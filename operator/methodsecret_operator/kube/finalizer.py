"""Taking our finalizer off a MethodSecret without a look at anything else in it. No I/O here.

A JSON patch (RFC 6902) that names the place in the list and tests what is there: it can take off nothing
but our own finalizer, of no other object than the one that was read, however both have changed meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from methodsecret_operator.core.resource import FINALIZER, PLURAL
from methodsecret_operator.kube import wire


def remove_request(namespace: str, name: str, *, uid: str, finalizers: Sequence[str]) -> wire.Request:
    """Take our finalizer off the object with this uid; `finalizers` is the list as it was read.

    The server answers 422 where the list or the object is another by now. Raises ValueError where ours is
    not in the list.
    """
    place = f"/metadata/finalizers/{list(finalizers).index(FINALIZER)}"
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": place, "value": FINALIZER},
        {"op": "remove", "path": place},
    ]
    read = wire.get_methodsecret(namespace, name)
    return wire.Request(
        verb="patch",
        what=f"{PLURAL} {namespace}/{name}",
        method="PATCH",
        path=read.path,
        headers={"Content-Type": "application/json-patch+json"},
        body=json.dumps(operations, separators=(",", ":")).encode(),
    )
