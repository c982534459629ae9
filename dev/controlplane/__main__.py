"""Command line: `python -m dev.controlplane ensure` gets the programs, `… up` runs a control plane."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from dev.controlplane import binaries
from dev.controlplane.errors import NotAvailableError, StartError
from dev.interrupts import INTERRUPTED, Interrupts


def main() -> int:
    """Carry out one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.controlplane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ensure", help="find, download or build the programs; nothing to do: nothing said")
    up = commands.add_parser("up", help="run a control plane until Ctrl-C and print how to reach it")
    up.add_argument("--no-controller-manager", action="store_true", help="only etcd and kube-apiserver")
    options = parser.parse_args()
    # `kill` ends a run as Ctrl-C does: with everything cleaned up.
    interrupts = Interrupts([signal.SIGINT, signal.SIGTERM])
    interrupts.listen()
    try:
        if options.command == "up":
            _up(interrupts, controller_manager=not options.no_controller_manager)
        else:
            _ensure()
    except (NotAvailableError, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if options.command == "up" else INTERRUPTED
    return 0


def _ensure() -> None:
    programs = binaries.ensure()
    if programs.controller_manager is None:
        print(f"Control plane: no kube-controller-manager in {programs.directory}; what needs it is skipped")


def _up(interrupts: Interrupts, *, controller_manager: bool) -> None:
    from dev.controlplane import server  # noqa: PLC0415 - `ensure` must not wait for its libraries

    with server.start(controller_manager=controller_manager) as plane:
        print(f"export KUBECONFIG={plane.kubeconfig}")
        print(f"# {plane.url}, kubectl: {plane.kubectl}; Ctrl-C takes it all away", flush=True)
        interrupts.check()
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
