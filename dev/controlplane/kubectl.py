"""Runs kubectl against one control plane, with nothing of the user's own configuration in reach."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from dev.controlplane.errors import KubectlError

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 110  # below the time limit of a test, so that the message is kubectl's own


def run(
    kubectl: Path,
    args: tuple[str, ...],
    *,
    kubeconfig: Path,
    home: Path,
    stdin: str | None = None,
    check: bool = True,
) -> str:
    """Run kubectl and return its standard output.

    `home` takes the caches that kubectl keeps under $HOME; the user's own is neither read nor written.
    Raises KubectlError where it fails and `check` is set, or takes longer than 110 s.
    """
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "KUBECTL_KUBERC": "false"}
    shown = " ".join(("kubectl", *args))
    try:
        done = subprocess.run(
            [kubectl, f"--kubeconfig={kubeconfig}", *args],
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            env=env,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KubectlError(f"{shown}: no end after {_SECONDS} s") from None
    if check and done.returncode != 0:
        raise KubectlError(f"{shown}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout
