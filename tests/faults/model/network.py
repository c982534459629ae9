"""What is on its way between the operator and the two servers, and what can become of it.

Every call of the operator stops here until somebody decides: it arrives and is answered, it is lost on the
way there or on the way back, it is refused, or it arrives long after its sender has given it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from methodsecret_operator.errors import OperatorError
from tests.faults.model.loop import Loop


class Sender(Protocol):
    """A process that sends calls."""

    name: str
    loop: Loop
    dead: bool


@dataclass(eq=False)
class Call:
    """A request: `carry_out` does it at the server, and gives the answer or raises the error in it.

    `refuse` is how the server refuses it for good, where that leaves something behind.
    """

    sender: Sender
    server: str
    operation: str
    carry_out: Callable[[], Any]
    answer: asyncio.Future[Any] = field(repr=False)
    writes: bool = False
    refuse: Callable[[], Any] | None = None
    arrived: Callable[[], None] | None = field(default=None, repr=False)


class Network:
    """The calls in flight, and those that will arrive late; `trace` tells what has happened.

    `first_sender` is who was the first to send a call, by operation.
    """

    def __init__(self) -> None:
        self.first_sender: dict[str, Sender] = {}
        self.calls: list[Call] = []
        self.late: list[Call] = []
        self.trace: list[str] = []

    async def call(
        self,
        sender: Sender,
        server: str,
        operation: str,
        carry_out: Callable[[], Any],
        *,
        writes: bool = False,
        refuse: Callable[[], Any] | None = None,
    ) -> Any:  # noqa: ANN401 - the call's
        """Wait for what becomes of a call. Raises the error in its answer."""
        if sender.dead:
            raise asyncio.CancelledError
        answer = asyncio.get_running_loop().create_future()
        self.first_sender.setdefault(operation, sender)
        self.calls.append(Call(sender, server, operation, carry_out, answer, writes, refuse))
        return await answer

    def of(self, sender: Sender) -> list[Call]:
        """Return a process's calls in flight, oldest first."""
        return [call for call in self.calls if call.sender is sender]

    def arrive(self, call: Call) -> None:
        """Carry it out; the answer is on its way back."""
        if call.arrived is not None:
            return
        try:
            result = call.carry_out()
        except OperatorError as error:
            failure = error
            self._note(call, f"refused: {error}")
            call.arrived = lambda: call.answer.set_exception(failure)
        else:
            self._note(call, "done")
            call.arrived = lambda: call.answer.set_result(result)

    def deliver(self, call: Call) -> None:
        """Carry it out, if it has not been yet, and bring the answer back."""
        self.arrive(call)
        assert call.arrived is not None
        self._end(call, call.arrived)

    def lose(self, call: Call, error: OperatorError, *, late: bool = False) -> None:
        """Fail it for its sender. What has not arrived never will, or does so later."""
        if late and call.arrived is None:
            self.late.append(call)
        self._note(call, f"given up: {error}" + (" (late)" if late else ""))
        self._end(call, lambda: call.answer.set_exception(error))

    def drop(self, call: Call, *, late: bool = False) -> None:
        """Let it go with its sender."""
        self.calls.remove(call)
        if late and call.arrived is None:
            self.late.append(call)

    def land(self) -> None:
        """Let what is late arrive; nobody hears the answer."""
        late, self.late = self.late, []
        for call in late:
            self.arrive(call)

    def _end(self, call: Call, settle: Callable[[], None]) -> None:
        self.calls.remove(call)
        if not call.answer.done():
            settle()
        call.sender.loop.run_until_idle()

    def _note(self, call: Call, what: str) -> None:
        self.trace.append(f"{call.sender.name}: {call.server} {call.operation}: {what}")
