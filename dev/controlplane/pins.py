"""Which versions the control plane is made of, from where, and the hashes that downloads must have.

Data only. The Go route's versions are pinned in go.mod and etcd/go.mod (with hashes in go.sum); the
names here only have to agree with them, which a test checks.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED = ("etcd", "kube-apiserver", "kubectl")
CONTROLLER_MANAGER = "kube-controller-manager"
PROGRAMS = (*REQUIRED, CONTROLLER_MANAGER)

# Built with Go.
KUBERNETES_VERSION = "v1.37.2"
ETCD_VERSION = "3.7.3"

# Downloaded: the archives of kubernetes-sigs/controller-tools for its envtest (no controller manager in
# them). SHA-512s as published in that project's envtest-releases.yaml.
ENVTEST_VERSION = "v1.36.2"
ENVTEST_SHA512 = {
    "linux-amd64": "ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dc"
    "f30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08",
    "linux-arm64": "2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae2818"
    "1afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac",
    "darwin-amd64": "b4fe9f973cd1992e3880f8b230ed32c0c243b83371591e3e3315f4404df2cdbe"
    "f8ee94eeb9bb245b7e5feb987d5c4a76c43e0877654ab73f00d7bbc2b9984514",
    "darwin-arm64": "9278f9e5af556b2f1f2d139769c1f0d717c7b4426917fdebdba898bcb725a916"
    "e4910d6160886194ff9be9589ea7c5c32c2b8ae0754703874b7c8ba8ddfc41ce",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where downloads come from and what they must hash to; tests put a server of their own here."""

    sha512: Mapping[str, str] = field(default_factory=lambda: ENVTEST_SHA512)  # of the archive, by platform
    archives: str = "https://github.com/kubernetes-sigs/controller-tools/releases/download"
    releases: str = "https://dl.k8s.io"  # kube-controller-manager, for Linux only


def this_platform() -> str:
    """Return the platform as Go and the archives' names spell it, e.g. linux-amd64."""
    machine = platform.machine().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{sys.platform}-{machine}"
