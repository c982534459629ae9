"""A secret at Method as its API shows it: everything but the value, which it never shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from methodsecret_operator.core.identity import Marker

ACTIVE: Final = "active"
DELETED: Final = "deleted"


@dataclass(frozen=True, slots=True)
class RemoteSecret:
    """One secret: `status` is `active`, `deleted`, or a word that the API has added since.

    The times are as sent, for display; `metadata` is None where there is none, or none that can be read.
    """

    id: str
    status: str
    created_at: str | None = None
    updated_at: str | None = None
    metadata: Mapping[str, JsonValue] | None = field(default=None, repr=False)

    @property
    def created(self) -> datetime | None:
        """When it was created; None where the API does not say, or not with its time zone."""
        try:
            moment = datetime.fromisoformat(self.created_at or "")
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else None


@dataclass(frozen=True, slots=True)
class MarkedSecret:
    """A secret with the operator's marker, as the last look at the account's list had it."""

    id: str
    status: str
    marker: Marker
