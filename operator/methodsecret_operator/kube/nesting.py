"""Reads JSON from the kube-apiserver whatever its depth: what is nested too deeply is cut off.

`spec.metadata` is free-form, and the kube-apiserver stores JSON of up to 10,000 levels. Python's parser,
and what works on its result, gives up long before (RecursionError), and one such object would end the list
or the watch that everybody's objects come by. Cut, it is still deeper than the operator's own model takes
(pydantic: 200 levels), so that object alone is refused, and by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, cast

import aiohttp

DEPTH: Final = 250
"""How many levels are kept: more than the model takes, fewer than Python's frames."""

_ESCAPED: Final = re.compile(rb"\\.")
_STRING: Final = re.compile(rb'"[^"]*"')
_PLAIN: Final = bytes(set(range(256)) - set(b'{}[]"'))
_MODIFIED: Final = '{"type":"MODIFIED"'
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def loads(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what the JSON says, with null in place of what is deeper than DEPTH. Raises ValueError."""
    return json.loads(cut(text) if _deep(text) else text)


def cut(text: str) -> str:
    """Return JSON with null in place of what is deeper than DEPTH; what is no JSON stays none."""
    kept: list[str] = []
    depth = start = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in ("{", "["):
            depth += 1
            if depth == DEPTH + 1:
                kept += text[start : match.start()], "null"
        elif match[0] in ("}", "]"):
            if depth == DEPTH + 1:
                start = match.end()
            depth -= 1
    if depth <= DEPTH:
        kept.append(text[start:])
    return "".join(kept)


def _deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= DEPTH:
        return False
    # Lists are long and flat, and this is done to each: so at the speed of C, one level a pass from within.
    brackets = _ESCAPED.sub(b"", text.encode(errors="replace")).translate(None, _PLAIN)
    brackets = _STRING.sub(b"", brackets.replace(b'""', b""))
    for _ in range(DEPTH):
        former, brackets = brackets, brackets.replace(b"{}", b"").replace(b"[]", b"")
        if brackets in (b"", former):
            return False
    return True


class ShallowResponse(aiohttp.ClientResponse):
    """An answer whose JSON is cut, for a library that parses it by itself: `json()`, or line by line.

    Whoever wants to know sets `heard`, called for every piece of a watch's body, and `wanted`, called with
    every object of a list and every one that a watch says was modified: what it does not want is left out.
    """

    heard: Callable[[], None] | None = None
    wanted: Callable[[Mapping[str, Any]], bool] | None = None

    async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - aiohttp's own
        """Read the head; a watch's body is cut as it comes."""
        await super().start(connection)
        if self.url.query.get("watch"):
            self.content = cast("aiohttp.StreamReader", _Lines(self.content, self))
        return self

    async def json(self, **_: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return the body's JSON. Raises ValueError."""
        document = loads(await self.text(encoding="utf-8"))
        if self.wanted is not None and isinstance(document, dict) and document.get("items"):
            document["items"] = list(filter(self.wanted, document["items"]))
        return document


class _Lines:
    """A watch's stream of JSON lines, each cut, without those not wanted; in all else the stream itself."""

    def __init__(self, stream: aiohttp.StreamReader, response: ShallowResponse) -> None:
        self._stream = stream
        self._response = response

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines."""
        rest: list[bytes] = []
        async for chunk in self._stream.iter_chunked(size):
            if self._response.heard is not None:
                self._response.heard()
            head, newline, tail = chunk.rpartition(b"\n")
            if newline:
                yield "".join(self._kept(b"".join([*rest, head]))).encode()
                rest = []
            rest.append(tail)
        yield b"".join(rest)

    def _kept(self, lines: bytes) -> Iterator[str]:
        wanted = self._response.wanted
        for line in lines.decode(errors="replace").split("\n"):
            shallow = cut(line) if _deep(line) else line
            if wanted is None or not line.startswith(_MODIFIED) or wanted(json.loads(shallow)["object"]):
                yield shallow + "\n"
