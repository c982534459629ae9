"""Finds a secret value in text, in every form that a program may have put it into by accident.

Pure. Base64 shifts with what stands before the value, so all three alignments are looked for.
"""

from __future__ import annotations

import base64
import json
import secrets
import urllib.parse

CANARY = f'canary-{secrets.token_hex(8)}/ü"\\&+%<{secrets.token_hex(8)}'
"""Made anew for each session; it has what each encoding changes."""


def forms(value: str) -> dict[str, str]:
    """Return a value's forms by name: each is looked for as it is, upper and lower case aside for hex."""
    raw = value.encode()
    found = {
        "plain": value,
        "hex": raw.hex(),
        "url": urllib.parse.quote(value, safe=""),
        "url, path": urllib.parse.quote(value),
        "url, form": urllib.parse.quote_plus(value),
        "json": json.dumps(value)[1:-1],
        "json, utf-8": json.dumps(value, ensure_ascii=False)[1:-1],
        "json, Go's": _as_go(json.dumps(value, ensure_ascii=False)[1:-1]),
        "json twice": json.dumps(json.dumps(value))[3:-3],
        "python repr": repr(value)[1:-1],
        "python bytes": repr(raw)[2:-1],
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        # What depends on the bytes before and after is cut off: the middle is the value's alone.
        start, end = (0, 2, 3)[shift], len(encoded) - 4
        found[f"base64, shifted by {shift}"] = encoded[start:end]
        found[f"base64url, shifted by {shift}"] = encoded[start:end].translate(str.maketrans("+/", "-_"))
    return found


def _as_go(text: str) -> str:
    """Return JSON as Go writes it, and so the kube-apiserver: fit to stand in HTML."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def leaks(text: str, value: str = CANARY) -> list[str]:
    """Return the names of the forms in which a value stands in a text."""
    lowered = text.lower()
    return [
        name for name, form in forms(value).items() if form in text or (name == "hex" and form in lowered)
    ]
