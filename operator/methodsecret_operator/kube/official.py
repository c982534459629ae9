"""The part of the official client library that finds credentials, without the rest of it.

`import kubernetes` loads clients, informers, websockets, and with them requests and oauthlib: 9 MB in every
Pod, of which nothing is used. So the packages around that part are put in place without running their
`__init__`; what is in them is still found by its own name, as kopf finds two models. Import names from here,
and before kopf, which imports `kubernetes` where it is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

_PACKAGES: Final = ("kubernetes", "kubernetes.aio")


def _put_in_place(name: str) -> None:
    """Make a package known, unless it is loaded already, so that importing what is in it runs no more."""
    spec = importlib.util.find_spec(name) if name not in sys.modules else None
    if spec is None:
        return
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


for _name in _PACKAGES:
    _put_in_place(_name)

from kubernetes.aio.client import Configuration  # noqa: E402 - only now
from kubernetes.aio.config import load_kube_config  # noqa: E402 - as above
from kubernetes.aio.config.incluster_config import InClusterConfigLoader  # noqa: E402 - as above

__all__ = ["Configuration", "InClusterConfigLoader", "load_kube_config"]
