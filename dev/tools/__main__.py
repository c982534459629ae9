"""Command line: `python -m dev.tools [NAME …]` builds what is not there yet and prints where each tool is."""

from __future__ import annotations

import argparse
import signal
import sys

from dev import tools
from dev.controlplane.errors import NotAvailableError

_INTERRUPTED = 130


def main() -> int:
    """Build and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.tools", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(tools.TOOLS)}; default: all")
    parser.add_argument("--quiet", action="store_true", help="print no paths")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` cleans up as Ctrl-C does
    names = options.names or list(tools.TOOLS)
    if unknown := sorted(set(names) - set(tools.TOOLS)):
        parser.error(f"no such tool: {', '.join(unknown)}")
    try:
        tools.ensure(names)
        for name in () if options.quiet else names:
            print(tools.path(name))
    except NotAvailableError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
