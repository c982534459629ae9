"""The command line: `python -m method_emulator`. Every flag is also an environment variable
METHOD_EMULATOR_<FLAG>; the flag wins.

It prints one line, `listening on http://HOST:PORT`, to stdout once it accepts connections; everything
else goes to stderr. SIGTERM and Ctrl-C stop it at once, paused requests included.
"""  # noqa: D205 - the first sentence needs two lines

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from method_emulator.server import serve
from method_emulator.settings import DEFAULTS, Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENVIRONMENT_PREFIX: Final = "METHOD_EMULATOR_"
_LEVELS: Final = ("debug", "info", "warning", "error")
_HIGHEST_PORT: Final = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until a signal; return the exit status."""
    parser = make_parser(os.environ)
    options = vars(parser.parse_args(arguments))
    try:
        port = int(options.pop("port"))
        if not 0 <= port <= _HIGHEST_PORT:
            raise ValueError  # noqa: TRY301 - one message for both mistakes
    except ValueError:
        parser.error("port must be a number from 0 to 65535")
    level = options.pop("log_level")
    if level not in _LEVELS:
        parser.error(f"log-level must be one of {', '.join(_LEVELS)}")
    host, control = options.pop("host"), options.pop("control")
    try:
        if not isinstance(control, bool):
            control = DEFAULTS.changed({"envelope": control}).envelope
        settings = DEFAULTS.changed(options)
    except SettingsError as error:
        parser.error(str(error))
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        asyncio.run(_run(settings, host=host, port=port, control=control))
    except OSError as error:
        sys.stderr.write(f"method_emulator: cannot listen on {host}:{port}: {error.strerror}\n")
        return 1
    return 0


def make_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser: one flag per setting, defaults from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m method_emulator",
        description="A local Method API (/secrets, /ping) for tests and demos. Everything is in memory.",
        epilog=f"Each flag can be set as {ENVIRONMENT_PREFIX}<FLAG>, such as {ENVIRONMENT_PREFIX}PORT.",
        allow_abbrev=False,
    )

    def default(name: str, otherwise: str) -> str:
        return environment.get(ENVIRONMENT_PREFIX + name.upper(), otherwise)

    parser.add_argument(
        "--host", default=default("host", "127.0.0.1"), help="address to listen on (%(default)s)"
    )
    parser.add_argument(
        "--port", default=default("port", "8080"), help="port; 0 picks a free one (%(default)s)"
    )
    parser.add_argument(
        "--control", action=argparse.BooleanOptionalAction, default=default("control", "true"),
        help="serve the control endpoint /_emulator/, which needs no API key",
    )  # fmt: skip
    parser.add_argument(
        "--log-level", default=default("log_level", "info"), metavar="|".join(_LEVELS),
        help="debug logs a line per request (%(default)s)",
    )  # fmt: skip
    for field in dataclasses.fields(Settings):
        flag = "--" + field.name.replace("_", "-")
        standard = getattr(DEFAULTS, field.name)
        text, choices = field.metadata["help"], field.metadata["choices"]
        given = environment.get(ENVIRONMENT_PREFIX + field.name.upper())
        if isinstance(standard, bool):
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction,
                default=standard if given is None else given, help=f"{text} (default: {standard})",
            )  # fmt: skip
        elif field.name == "api_keys":
            # The default is not shown: argparse would print credentials from the environment.
            parser.add_argument(flag, default=given or "", metavar="KEYS", help=text)
        else:
            parser.add_argument(
                flag, default=standard if given is None else given,
                metavar="|".join(choices) or field.name.rpartition("_")[2].upper(),
                help=f"{text} (default: {standard})",
            )  # fmt: skip
    return parser


async def _run(settings: Settings, *, host: str, port: int, control: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(settings, host=host, port=port, control=control) as url:
        sys.stdout.write(f"listening on {url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
