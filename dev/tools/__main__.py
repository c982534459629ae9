"""Command line: `python -m dev.tools [NAME …]` builds what is not there yet and prints where each tool is."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from dev import tools
from dev.controlplane.errors import NoGoError, NotAvailableError
from dev.interrupts import INTERRUPTED, Interrupts


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.tools", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(tools.TOOLS)}; default: all")
    parser.add_argument("--quiet", action="store_true", help="print no paths")
    parser.add_argument(
        "--if-possible",
        action="store_true",
        help="without Go say so and end well; with CI=true it must be there",
    )
    options = parser.parse_args(arguments)
    names = options.names or list(tools.TOOLS)
    if unknown := sorted(set(names) - set(tools.TOOLS)):
        parser.error(f"no such tool: {', '.join(unknown)}")
    try:
        tools.ensure(names)
        for name in () if options.quiet else names:
            print(tools.path(name))
    except NoGoError as error:
        print(error, file=sys.stderr)
        if not options.if_possible or os.environ.get("CI") == "true":
            return 1
        print("The tests that need these tools are skipped.", file=sys.stderr)
        return 0
    except NotAvailableError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    Interrupts([signal.SIGINT, signal.SIGTERM]).listen()  # `kill` cleans up as Ctrl-C does
    sys.exit(main())
