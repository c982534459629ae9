"""The command line: `methodsecret-operator run`, or `python -m methodsecret_operator run`.

Parses flags and hands over; every setting, with its help text, is made from `settings`. What a command
needs is imported when it runs, so that --help is fast. An argument's value is never repeated in a
message: it may be an API key.

Exit codes: 2 for a wrong flag or setting, else what the command returns.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from methodsecret_operator import __version__, settings
from methodsecret_operator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAM = "methodsecret-operator"
WRONG_USE = 2


class _Commands(click.Group):
    """A group that does not repeat a mistyped command, which may be a value in the wrong place."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names. Raises UsageError."""
        if self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no such command; the commands are: {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def _setting_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one flag for each setting. Values stay texts: `settings.load` judges them."""
    for one in reversed(settings.catalogue()):
        command = click.option(
            one.flag,
            one.name,
            metavar=one.choices,
            help=f"{one.description}  [{one.variable}; default: {one.default}]",
        )(command)
    return command


@click.group(
    name=PROGRAM,
    cls=_Commands,
    no_args_is_help=False,  # a forgotten command is an error like any other
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Keep Kubernetes Secrets stored at Method (methodfi.com), exactly once."""


@cli.command(
    short_help="Run the operator until SIGTERM.",
    # Taken and refused below: click's own message would repeat them.
    context_settings={"allow_extra_args": True},
)
@_setting_flags
@click.pass_context
def run(ctx: click.Context, /, **flags: str | None) -> int:
    """Run the operator until SIGTERM.

    Each setting comes from its flag, else from the environment variable in brackets, else from its default.
    """
    if ctx.args:
        ctx.fail("run takes flags only, but there are further arguments")
    chosen = settings.load({name: value for name, value in flags.items() if value is not None})

    import structlog  # noqa: PLC0415 - so that --help is fast

    from methodsecret_operator.runtime import app, telemetry  # noqa: PLC0415 - so that --help is fast

    telemetry.configure(level=chosen.log_level, log_format=chosen.log_format)
    for sentence in settings.unknown_variables(os.environ):
        structlog.get_logger("methodsecret_operator.settings").warning(sentence)

    async def guarded() -> int:
        asyncio.get_running_loop().set_exception_handler(telemetry.loop_exception_handler)
        return await app.run(chosen)

    return asyncio.run(guarded())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; `arguments` are the process's where not given."""
    try:
        result: Any = cli.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except SettingsError as error:
        problems = str(error).splitlines()
    except click.UsageError as error:
        problems = [error.format_message(), f"try: {error.ctx.command_path if error.ctx else PROGRAM} --help"]
    except click.Abort:  # Ctrl-C
        return 130
    else:
        return result if isinstance(result, int) else 0
    for problem in problems:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)  # noqa: T201 - there is no logging yet
    return WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
