"""Logging of the whole process: our lines and those of libraries, through one renderer, to stderr.

What must never be logged is kept out here for everybody: the text of an exception that is not ours
(it may repeat what an API was sent), local variables, and the bodies that libraries log at DEBUG. Of a
foreign exception only its type and the places that it passed through are shown. Changes nothing
before `configure` is called.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog

from methodsecret_operator.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

OURS: Final = "methodsecret_operator"
_FOREIGN_LEVEL: Final = logging.WARNING
"""Libraries are heard from here on: below it kopf logs whole objects and patches, httpx URLs."""

_FOREIGN_LENGTH: Final = 500
_FRAMES: Final = 40
_EXCEPTIONS: Final = 20
"""Bounds of a library's message in characters, of a traceback in frames, of a chain in exceptions."""

_log = structlog.get_logger(OURS)


def configure(
    *, level: Literal["DEBUG", "INFO", "WARNING", "ERROR"], log_format: Literal["json", "console"]
) -> None:
    """Set up logging, warnings and the hooks for uncaught exceptions. `level` is for our own loggers.

    Loggers keep what is set here from their first line on: call it once, before anything is logged.
    """
    number: int = logging.getLevelNamesMapping()[level]
    stream = sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_foreign_text,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = _Handler(stream)
    handler.addFilter(_loud_enough)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_without_repeated_exceptions, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, _FOREIGN_LEVEL))
    logging.getLogger(OURS).setLevel(number)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def loop_exception_handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what a task or callback raised and nobody took; for `loop.set_exception_handler`."""
    # asyncio's own sentences go on with reprs of callbacks and their arguments: cut before those.
    said = str(context.get("message", "")).partition("(")[0].partition(" <")[0].partition("\n")[0]
    error = context.get("exception")
    source = context.get("task") or context.get("future")
    name = source.get_name() if isinstance(source, asyncio.Task) else None
    _log.error(_cut(said, _chain(error)) or "error in the event loop", task=name, exc_info=error)


def render_exception(error: BaseException) -> str:
    """Return a traceback with types, files and lines, but neither locals nor the text of foreign exceptions.

    The messages of our own exceptions (errors.py) are made to be shown, and are.
    """
    return "\n".join(_rendered(error, set()))


def _rendered(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before, link = error.__cause__, "The above exception was the direct cause of the following exception:"
    if before is None and not error.__suppress_context__:
        before, link = (
            error.__context__,
            "During handling of the above exception, another exception occurred:",
        )
    if before is not None and id(before) not in seen and len(seen) < _EXCEPTIONS:
        yield from _rendered(before, seen)
        yield from ("", link, "")
    places = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if places:
        yield "Traceback (most recent call last):"
        if len(places) > _FRAMES:
            yield f"  ({len(places) - _FRAMES} frames left out)"
        for code, line in places[-_FRAMES:]:
            yield f'  File "{code.co_filename}", line {line}, in {code.co_name}'
    yield f"{_type_name(error)}: {error}" if isinstance(error, OperatorError) else _type_name(error)
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions, start=1):
            if id(part) not in seen and len(seen) < _EXCEPTIONS:
                yield f"  ({number} of {len(error.exceptions)})"
                yield from (f"  {line}" for line in _rendered(part, seen))


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _without_foreign_text(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Render exceptions, in exc_info or among the values, so that they can be shown."""
    told = event.pop("exc_info", None)
    error = _exception(told) if told else None
    for name, value in event.items():
        if isinstance(value, BaseException):
            event[name] = str(value) if isinstance(value, OperatorError) else _type_name(value)
    if error is not None:
        event["exception"] = render_exception(error)
    return event


def _exception(told: object) -> BaseException | None:
    if isinstance(told, BaseException):
        return told
    found = told[1] if isinstance(told, tuple) else sys.exc_info()[1]
    return found if isinstance(found, BaseException) else None


def _without_repeated_exceptions(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cut a library's message where it repeats an exception's text: kopf likes to log `… failed: {e!r}`.

    The exception is the record's, or the one being handled: libraries log from their except clauses,
    and formatting takes place within that call.
    """
    errors = [*_chain(_exception(event.get("exc_info"))), *_chain(sys.exc_info()[1])]
    text = _cut(str(event["event"]), errors)
    event["event"] = text[:_FOREIGN_LENGTH] + ("…" if len(text) > _FOREIGN_LENGTH else "")
    event.pop("stack_info", None)
    return event


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an exception and all that hang on it, in any way."""
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting and len(found) < _EXCEPTIONS:
        one = waiting.pop()
        if one is None or id(one) in found:
            continue
        found[id(one)] = one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return list(found.values())


def _cut(text: str, errors: list[BaseException]) -> str:
    """Return a message up to where it repeats one of the exceptions, and that one's type instead."""
    places = [
        (text.find(part), _type_name(error))
        for error in errors
        if not isinstance(error, OperatorError)
        for part in (repr(error), str(error), *(arg for arg in error.args if isinstance(arg, str)))
        if part and part in text
    ]
    if not places:
        return text
    place, kind = min(places)
    return text[:place] + kind


def _loud_enough(record: logging.LogRecord) -> bool:
    """Whether to log it: libraries only from WARNING on, whatever level they set on their own loggers."""
    if record.name == OURS or record.name.startswith(f"{OURS}."):
        return True
    if record.levelno < _FOREIGN_LEVEL:
        return False
    if isinstance(record.args, tuple):
        record.args = tuple(
            _type_name(arg) if isinstance(arg, BaseException) and not isinstance(arg, OperatorError) else arg
            for arg in record.args
        )
    return True


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; what cannot be rendered is told by its logger and type, not by its content."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report a line that failed; logging's own report repeats message, arguments and traceback."""
        told = {
            "level": "error",
            "event": "a log line failed",
            "logger": record.name,
            "error": type(sys.exc_info()[1]).__name__,
        }
        try:
            self.stream.write(json.dumps(told) + "\n")
        except (OSError, ValueError):
            return  # nobody reads the log any more: no reason to end the work


def _uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    _log.critical("uncaught exception", exc_info=error)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else None
    _log.critical("uncaught exception in a thread", thread=name, exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    _log.error("exception that could not be raised", exc_info=args.exc_value)
