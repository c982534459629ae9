"""`make e2e`: runs tests/e2e on a cluster with nodes, the one given or one made with kind for it.

Given: E2E_KUBECONFIG, with the images of deploy/Dockerfile in its nodes already under the names E2E_IMAGE and
E2E_EMULATOR_IMAGE. Else, where kind and docker are there: the images are built, a cluster is made
(E2E_KIND_NODE_IMAGE chooses the Kubernetes version), and it is deleted at the end. Exit code 2 where there is
neither. E2E_KILL may name a command that kills a Pod's processes at once: it gets namespace and name.
Arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dev.interrupts import INTERRUPTED

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("E2E_KUBECONFIG", "E2E_IMAGE", "E2E_EMULATOR_IMAGE")
IMAGES = {"operator": "methodsecret-operator:e2e", "emulator": "method-emulator:e2e"}

WHAT_TO_DO = """\
There is no cluster to test on. Do one of these:
- install Docker and kind (https://kind.sigs.k8s.io): then this command makes a cluster, and deletes it again;
- name a cluster in which nobody else uses MethodSecrets, with images of deploy/Dockerfile (targets operator
  and emulator) loaded into its nodes:
    E2E_KUBECONFIG=FILE E2E_IMAGE=NAME:TAG E2E_EMULATOR_IMAGE=NAME:TAG make e2e
"""


def main() -> int:
    """Run the suite; return the exit code."""
    given = {name: os.environ.get(name, "") for name in NAMES}
    if any(given.values()):
        if missing := [name for name in NAMES if not given[name]]:
            print(f"e2e: {', '.join(missing)} must be set beside the others", file=sys.stderr)
            return 2
        return _suite(given)
    if not (shutil.which("kind") and shutil.which("docker")):
        print(WHAT_TO_DO, file=sys.stderr, end="")
        return 2
    try:
        return _on_kind()
    except subprocess.CalledProcessError as error:
        print(f"e2e: {' '.join(map(str, error.cmd))} failed (exit code {error.returncode})", file=sys.stderr)
        return 1


def _on_kind() -> int:
    for target, image in IMAGES.items():
        _do("docker", "build", "-f", "deploy/Dockerfile", "--target", target, "-t", image, ".")
    cluster = f"methodsecret-e2e-{os.getpid()}"
    node = os.environ.get("E2E_KIND_NODE_IMAGE")
    with tempfile.TemporaryDirectory(prefix="methodsecret-e2e-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        at = ("--name", cluster, "--kubeconfig", str(kubeconfig))
        try:
            _do("kind", "create", "cluster", *at, "--wait", "3m", *(("--image", node) if node else ()))
            for image in IMAGES.values():
                _do("kind", "load", "docker-image", image, "--name", cluster)
            return _suite(
                {
                    "E2E_KUBECONFIG": str(kubeconfig),
                    "E2E_IMAGE": IMAGES["operator"],
                    "E2E_EMULATOR_IMAGE": IMAGES["emulator"],
                }
            )
        finally:
            _do("kind", "delete", "cluster", *at)


def _suite(given: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "tests/e2e", *sys.argv[1:]],
        cwd=ROOT,
        env={**os.environ, **given},
        check=False,
    )
    return done.returncode


def _do(*command: str) -> None:
    print(f"e2e: {' '.join(command)}", flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
