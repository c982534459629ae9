"""What is remembered of one object between looks.

Losing it (the process dies) costs a few calls and never a second secret, for the idempotency key is pure and
the inventory is scanned anew. Nothing here decides or asks anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from methodsecret_operator.core.snapshot import Attempt, Finding
from methodsecret_operator.method.inventory import Inventory
from methodsecret_operator.runtime.turn import Turn


@dataclass(slots=True)
class Memory:
    """Of one object.

    The last create, and the inventory of the account that it was sent to; a finding with an id that could not
    be written yet, since when Method has not known an id, the place in the queue for the account's budget,
    when its deletion was first seen, and since when no API key was found that Method accepts.
    """

    attempt: Attempt | None = None
    sent_to: Inventory | None = None
    unwritten: Finding | None = None
    missing: dict[str, datetime] = field(default_factory=dict)
    turn: Turn = field(default_factory=Turn)
    deleting_since: datetime | None = None
    refused_since: datetime | None = None

    def abandon(self) -> None:
        """Forget it all, for its object is gone or settled.

        A create of which nobody knows whether it was done may have left a secret that another object of this
        name wants, under another idempotency key: only a list from now on tells.
        """
        if self.sent_to is not None and self.attempt is not None and self.attempt.unresolved is not None:
            self.sent_to.outdate()
        self.turn.close()
