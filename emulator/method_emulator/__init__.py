"""A local Method API for tests, demos and clusters that must not talk to the real one.

It knows the documented behaviour of `/secrets` and `/ping` and nothing of any client: it imports no
operator code, so that the contract tests can hold both it and the real API to the same words.
"""

from __future__ import annotations

__version__ = "1"
