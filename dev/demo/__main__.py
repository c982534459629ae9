"""Command line of the demo: `python -m dev.demo [--keep]`, run by `make demo`.

Exit codes: 0 when all was shown, 1 with a reason when something went wrong, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
from typing import TYPE_CHECKING

from dev.controlplane import KubectlError, NotAvailableError, StartError
from dev.demo.narrator import Narrator
from dev.demo.stage import ROOT, Stage
from dev.demo.story import ProofError, Story
from dev.interrupts import INTERRUPTED, Interrupts
from dev.operator_process import OperatorProcessError
from method_emulator.process import EmulatorProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAILURES = (
    EmulatorProcessError,
    KubectlError,
    NotAvailableError,
    OperatorProcessError,
    ProofError,
    StartError,
)


class _FailedError(Exception):
    """The demo failed; the text says how, with the end of the operator's log."""


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description="The operator at work, told.")
    parser.add_argument("--keep", action="store_true", help="leave everything up until Ctrl-C")
    options = parser.parse_args()
    os.chdir(ROOT)  # the commands are shown, and run, as typed in the checkout
    # A `kill`, or a closed terminal, ends a run as Ctrl-C does: with everything taken away.
    interrupts = Interrupts([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    interrupts.listen()
    narrator = Narrator(sys.stdout)
    told = False
    try:
        with Stage(interrupts) as stage, _explained(stage):
            Story(stage, narrator).tell(controller_manager=options.keep)
            told = True
            if options.keep:
                _keep(stage, narrator)
    except _FailedError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if not told:
            print("\nInterrupted; everything is taken away.", file=sys.stderr)
            return INTERRUPTED
    except BrokenPipeError:  # `make demo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    narrator.say(f"\nDone in {narrator.seconds:.1f} s; every process and file is taken away.")
    return 0


@contextlib.contextmanager
def _explained(stage: Stage) -> Iterator[None]:
    """Add the end of the operator's log to a failure, before the log is taken away."""
    try:
        yield
    except _FAILURES as error:
        text = str(error)
        log = stage.operator_log()
        if log and not isinstance(error, OperatorProcessError):  # which quotes it already
            text += "\nThe end of the operator's log:\n" + "\n".join(log.splitlines()[-20:])
        raise _FailedError(text) from error


def _keep(stage: Stage, narrator: Narrator) -> None:
    """Say how to go on by hand, and wait for Ctrl-C."""
    kubectl = "kubectl" if shutil.which("kubectl") else shlex.quote(str(stage.plane.kubectl))
    narrator.say(
        f"""
It stays up until Ctrl-C. In another terminal, in {ROOT}:

  export KUBECONFIG={shlex.quote(str(stage.plane.kubeconfig))}
  {kubectl} get methodsecrets --watch
  {kubectl} describe methodsecret acme-api-key
  {kubectl} apply -f deploy/samples/adopt.yaml
  {kubectl} patch secret acme -p '{{"stringData": {{"api-key": "another-made-up-value"}}}}'
  {kubectl} delete methodsecret ledger-password
  tail -f {shlex.quote(str(stage.operator.log_file))}
  curl -s {stage.emulator.url}/_emulator/secrets"""
    )
    code = stage.wait()
    raise OperatorProcessError(f"the operator ended with exit code {code}:\n{stage.operator.log_tail()}")


if __name__ == "__main__":
    sys.exit(main())
