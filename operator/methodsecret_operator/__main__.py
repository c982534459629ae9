"""The command line: `methodsecret-operator COMMAND`, or `python -m methodsecret_operator COMMAND`.

Parses flags and hands over; every setting, with its help text, is made from `settings`. What a command
needs is imported when it runs, so that --help is fast. An argument's value is never repeated in a
message: it may be an API key.

Exit codes: 2 for a wrong flag or setting, 1 for another failure, else what the command returns.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from methodsecret_operator import __version__, settings
from methodsecret_operator.errors import OperatorError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from methodsecret_operator.settings import Settings

PROGRAM = "methodsecret-operator"
FAILED = 1
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


def _setting_flags(*only: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a flag for each of these settings, or for all. Values stay texts: `_load` judges them.

    What has no flag there still comes from the environment, so that a command run where the operator runs
    has the operator's settings.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(settings.catalogue()):
            if only and one.name not in only:
                continue
            command = click.option(
                one.flag,
                one.name,
                metavar=one.choices,
                help=f"{one.description}  [{one.variable}; default: {one.default}]",
            )(command)
        return command

    return decorate


def _load(ctx: click.Context, flags: Mapping[str, str | None], *, level: str | None = None) -> Settings:
    """Return the settings, with logging set up: at `level` where LOG_LEVEL is not given.

    Raises SettingsError. Extra arguments are taken by click, and refused here: click's own message would
    repeat them.
    """
    if ctx.args:
        ctx.fail(f"{ctx.command.name} takes flags only, but there are further arguments")
    given = {name: value for name, value in flags.items() if value is not None}
    chosen = settings.load(given)
    if level is not None and "log_level" not in chosen.model_fields_set:
        chosen = settings.load({**given, "log_level": level})

    import structlog  # noqa: PLC0415 - so that --help is fast

    from methodsecret_operator.runtime import telemetry  # noqa: PLC0415 - so that --help is fast

    telemetry.configure(level=chosen.log_level, log_format=chosen.log_format)
    for sentence in settings.unknown_variables(os.environ):
        structlog.get_logger("methodsecret_operator.settings").warning(sentence)
    return chosen


def _finish(command: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end and return its exit code."""
    from methodsecret_operator.runtime import telemetry  # noqa: PLC0415 - so that --help is fast

    async def guarded() -> int:
        asyncio.get_running_loop().set_exception_handler(telemetry.loop_exception_handler)
        return await command

    return asyncio.run(guarded())


_EXTRA: Final = {"allow_extra_args": True}
"""For every command: see _load."""


def _output(ctx: click.Context, _: click.Parameter, text: str) -> str:
    if text not in {"table", "json"}:  # not by click.Choice, which repeats what was typed
        ctx.fail("--output must be table or json")
    return text


_output_flag = click.option(
    "--output",
    default="table",
    metavar="table|json",
    show_default=True,
    callback=_output,
    help="table: for people; json: for programs",
)


@click.group(
    name=PROGRAM,
    cls=_Commands,
    no_args_is_help=False,  # a forgotten command is an error like any other
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Keep Kubernetes Secrets stored at Method (methodfi.com), exactly once."""


@cli.command(short_help="Run the operator until SIGTERM.", context_settings=_EXTRA)
@_setting_flags()
@click.pass_context
def run(ctx: click.Context, /, **flags: str | None) -> int:
    """Run the operator until SIGTERM.

    Each setting comes from its flag, else from the environment variable in brackets, else from its default.
    """
    # As PID 1 of a container it would ignore a signal without a handler. Until the operator has its own,
    # there is nothing to finish.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    chosen = _load(ctx, flags)

    from methodsecret_operator.runtime import app  # noqa: PLC0415 - so that --help is fast

    return _finish(app.run(chosen))


@cli.command(short_help="Take our finalizer off MethodSecrets, before an uninstall.", context_settings=_EXTRA)
@_setting_flags("kubeconfig", "namespaces", "operator_namespace", "log_format", "log_level")
@click.option("--dry-run", is_flag=True, help="only say what would be released")
@click.option("--yes", is_flag=True, help="do not ask")
@click.option("--force", is_flag=True, help="also while an operator is at work")
@click.pass_context
def release(ctx: click.Context, /, *, dry_run: bool, yes: bool, force: bool, **flags: str | None) -> int:
    r"""Take our finalizer off MethodSecrets, before an uninstall.

    They can then be deleted with no operator running. What they stored stays at Method: the ids are printed.
    Refused while an operator renews its Lease, for it would put the finalizers back: stop it first.

    \b
    Exit codes: 0 released (or none was held), 1 not all, 2 wrong use.
    """
    chosen = _load(ctx, flags, level="WARNING")

    from methodsecret_operator.commands import release as command  # noqa: PLC0415 - so that --help is fast

    return _finish(command.run(chosen, dry_run=dry_run, yes=yes, force=force))


@cli.command(short_help="List the secrets at Method that no object stands behind.")
@_setting_flags(
    "kubeconfig",
    "api_key_file",
    "api_key",
    "environment",
    "base_url",
    "cluster_name",
    "cluster_aliases",
    "namespaces",
    "operator_namespace",
    "digest_key_secret",
    "writes_per_minute",
    "reads_per_minute",
    "log_format",
    "log_level",
)
@click.option(
    "--min-age", default="1h", metavar="DURATION", show_default=True, help="how old an orphan must be"
)
@_output_flag
@click.option("--delete", is_flag=True, help="delete the orphans named by ids, or with --all all of them")
@click.option("--all", "every", is_flag=True, help="with --delete: every orphan in the list; asks first")
@click.option("--yes", is_flag=True, help="do not ask")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.pass_context
def orphans(
    ctx: click.Context,
    /,
    *,
    min_age: str,
    output: Literal["table", "json"],
    delete: bool,
    every: bool,
    yes: bool,
    ids: tuple[str, ...],
    **flags: str | None,
) -> int:
    r"""List the secrets at Method that no object stands behind.

    These carry the marker of this cluster and its digest key, their object does not exist, no object and no
    ConfigMap of ours names them, and they are older than --min-age. Objects deleted with deletionPolicy
    Retain leave theirs on purpose.

    \b
    methodsecret-operator orphans --delete sec_a sec_b
    methodsecret-operator orphans --delete --all

    \b
    Exit codes: 0 done, 1 something was not judged or not deleted, 2 wrong use.
    """
    from methodsecret_operator.commands import orphans as command  # noqa: PLC0415 - so that --help is fast
    from methodsecret_operator.method.wire import is_secret_id  # noqa: PLC0415 - so that --help is fast

    if delete != bool(ids or every) or (ids and every):
        ctx.fail("--delete takes ids or --all, one of them, and these are for --delete only")
    if not all(is_secret_id(one) for one in ids):
        ctx.fail("an id is sec_ and letters, digits or underscores; one of those given is not")
    age = command.parse_age(min_age)
    if age is None:
        ctx.fail("--min-age must be a duration such as 90s, 1.5h or 1h30m")
    chosen = _load(ctx, flags, level="WARNING")
    wanted: tuple[str, ...] | Literal["all"] = "all" if every else ids
    return _finish(command.run(chosen, min_age=age, output=output, delete=wanted, yes=yes))


@cli.command(short_help="Check everything that the operator depends on.", context_settings=_EXTRA)
@_setting_flags()
@_output_flag
@click.pass_context
def doctor(ctx: click.Context, /, *, output: Literal["table", "json"], **flags: str | None) -> int:
    r"""Check everything that the operator depends on, and say what to do. Nothing is changed.

    Give it the operator's own settings and credentials: it tells what these can do.

    \b
    Exit codes: 0 fine (also with advice), 1 something is to do, 2 wrong settings.
    """
    chosen = _load(ctx, flags, level="ERROR")

    from methodsecret_operator.commands import doctor as command  # noqa: PLC0415 - so that --help is fast

    return _finish(command.run(chosen, output=output))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; `arguments` are the process's where not given."""
    code = WRONG_USE
    try:
        result: Any = cli.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except SettingsError as error:
        problems = str(error).splitlines()
    except OperatorError as error:
        problems, code = [str(error)], FAILED
    except click.UsageError as error:
        problems = [error.format_message(), f"try: {error.ctx.command_path if error.ctx else PROGRAM} --help"]
    except click.Abort:  # Ctrl-C
        return 130
    else:
        return result if isinstance(result, int) else 0
    for problem in problems:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)  # noqa: T201 - there is no logging yet
    return code


if __name__ == "__main__":
    sys.exit(main())
