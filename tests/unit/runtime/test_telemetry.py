"""Logging, in a real process each time, since it is set up once per process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from methodsecret_operator.errors import MethodUnavailable
from methodsecret_operator.runtime import telemetry

CANARY = "CANARY-7f3a"

SETUP = f"""
import asyncio, contextlib, gc, logging, sys, threading, warnings
import structlog
from methodsecret_operator import errors
from methodsecret_operator.runtime import telemetry
telemetry.configure(level=sys.argv[1], log_format=sys.argv[2])
log = structlog.get_logger("methodsecret_operator.test")
CANARY = "{CANARY}"

def foreign():
    local = CANARY
    raise ValueError("an answer with " + local)
"""


def output(code: str, *, level: str = "INFO", log_format: str = "json", code_expected: int = 0) -> str:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", SETUP + textwrap.dedent(code), level, log_format],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code_expected, done.stderr
    assert done.stdout == ""
    assert CANARY not in done.stderr
    return done.stderr


def lines(code: str, *, level: str = "INFO", code_expected: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output(code, level=level, code_expected=code_expected).splitlines()]


def test_a_line_of_ours() -> None:
    [line] = lines(
        """
        structlog.contextvars.bind_contextvars(namespace="payments", name="acme", generation=3)
        log.info("created", id="sec_1")
        """
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "event": "created",
        "id": "sec_1",
        "level": "info",
        "logger": "methodsecret_operator.test",
        "namespace": "payments",
        "name": "acme",
        "generation": 3,
    }


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["d", "i", "w", "kopf", "e"]),
        ("INFO", ["i", "w", "kopf", "e"]),
        ("WARNING", ["w", "kopf", "e"]),
        ("ERROR", ["e"]),
    ],
)
def test_levels(level: str, expected: list[str]) -> None:
    """Libraries are quiet below WARNING even where they set their own level."""
    code = """
    for name in ("kopf", "kopf.objects", "httpx", "httpcore.http11", "aiohttp.access", "asyncio", "x"):
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).debug("a patch with %s", CANARY)
        logging.getLogger(name).info(f"a body with {CANARY}")
    log.debug("d"); log.info("i"); log.warning("w")
    logging.getLogger("kopf.objects").setLevel(logging.NOTSET)
    logging.getLogger("kopf").setLevel(logging.NOTSET)
    logging.getLogger("kopf.objects").warning("kopf")
    log.error("e")
    """
    assert [line["event"] for line in lines(code, level=level)] == expected


def test_stdlib_lines_have_the_same_shape() -> None:
    [line] = lines(
        """
        structlog.contextvars.bind_contextvars(namespace="payments")
        logging.getLogger("kopf.objects").warning("watching %s", "it")
        """
    )
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "watching it",
        "level": "warning",
        "logger": "kopf.objects",
        "namespace": "payments",
    }


WAYS = {
    "ours, in an except": "log.exception('failed')",
    "ours, by value": "log.error('failed', exc_info=error)",
    "ours, as a value": "log.error('failed', error=error)",
    "stdlib": "logging.getLogger('kopf').exception('failed')",
    "stdlib, repeated": "logging.getLogger('kopf').exception(f'failed: {error!r}')",
    "stdlib, repeated without exc_info": "logging.getLogger('kopf').error(f'failed: {error}')",
    "stdlib, its arguments": "logging.getLogger('kopf').error(f'failed: {error.args[0]}')",
    "stdlib, as an argument": "logging.getLogger('kopf').error('failed: %s', error)",
}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_foreign_exceptions_text_never_appears(log_format: str) -> None:
    """The check for the canary is in output()."""
    code = "".join(f"try:\n    foreign()\nexcept ValueError as error:\n    {way}\n" for way in WAYS.values())
    told = output(code, level="DEBUG", log_format=log_format)
    assert told.count("failed") == len(WAYS)
    assert told.count(", in foreign") == sum(
        "exc_info=" in way or ".exception(" in way for way in WAYS.values()
    )
    if log_format == "json":
        for name, line in zip(WAYS, map(json.loads, told.splitlines()), strict=True):
            assert "ValueError" in str(line), name
            assert line["event"].startswith("failed"), name


@pytest.mark.parametrize(
    ("code", "types"),
    [
        ("raise KeyError(CANARY) from error", ["ValueError", "direct cause", "KeyError"]),
        ("raise KeyError(CANARY)", ["ValueError", "During handling", "KeyError"]),
        ("raise KeyError(CANARY) from None", ["KeyError"]),
        ("raise ExceptionGroup(CANARY, [error, OSError(CANARY)])", ["ExceptionGroup", "(2 of 2)", "OSError"]),
        ("error.add_note(CANARY); raise", ["ValueError"]),
        (
            "raise errors.KubeConflict(verb='patch', what='x y', status=409) from error",
            ["patch x y: HTTP 409"],
        ),
    ],
)
def test_chains_are_followed_and_clean(code: str, types: list[str]) -> None:
    found = lines(
        f"""
        try:
            try:
                foreign()
            except ValueError as error:
                {code}
        except Exception as last:
            log.error("failed", exc_info=True)
            logging.getLogger("kopf").error("failed", exc_info=True)
        """
    )
    assert len(found) == 2
    for line in found:
        for part in types:
            assert part in line["exception"]


def test_nobodys_exceptions_are_logged_cleanly() -> None:
    found = lines(
        """
        class Resource:
            def __del__(self):
                foreign()

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(telemetry.loop_exception_handler)
            async def lost():
                foreign()
            task = asyncio.create_task(lost(), name="sweeper")
            await asyncio.wait([task])
            del task
            gc.collect()
            done = asyncio.Event()
            def callback(text):
                done.set()
                foreign()
            loop.call_soon(callback, CANARY)
            await done.wait()
        asyncio.run(main())
        thread = threading.Thread(target=foreign, name="helper")
        thread.start()
        thread.join()
        Resource()
        warnings.warn("careful", stacklevel=1)
        foreign()
        """,
        code_expected=1,
    )
    assert [(line["level"], re.sub(r"^<string>:\d+|\n.*", "", line["event"])) for line in found] == [
        ("error", "Task exception was never retrieved"),
        ("error", "Exception in callback main.<locals>.callback"),
        ("critical", "uncaught exception in a thread"),
        ("error", "exception that could not be raised"),
        ("warning", ": UserWarning: careful"),
        ("critical", "uncaught exception"),
    ]
    assert found[0]["task"] == "sweeper"
    assert found[2]["thread"] == "helper"
    for line in [*found[:4], found[5]]:
        assert line["exception"].endswith("\nValueError")


def test_a_line_that_cannot_be_rendered_is_told_without_its_content() -> None:
    [line] = lines("logging.getLogger('kopf').warning('%d', CANARY)")
    assert line["event"] == "a log line failed"
    assert line["logger"] == "kopf"


def test_a_librarys_endless_message_is_cut() -> None:
    [line] = lines("logging.getLogger('kopf').warning('x' * 100_000)")
    assert line["event"] == "x" * 500 + "…"


def test_an_endless_traceback_is_cut() -> None:
    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
        raise MethodUnavailable(operation="create", kind="timeout")

    with pytest.raises(MethodUnavailable) as caught:
        deeper(100)
    told = telemetry.render_exception(caught.value).splitlines()
    assert len(told) == 43
    assert "frames left out" in told[1]
    assert told[-1] == "methodsecret_operator.errors.MethodUnavailable: create: timeout"


def test_a_circle_of_exceptions_ends() -> None:
    first, second = ValueError(CANARY), KeyError(CANARY)
    first.__cause__, second.__cause__ = second, first
    told = telemetry.render_exception(first)
    assert told.count("KeyError") == told.count("ValueError") == 1
