"""Random histories: what users do, what the network does, and where the operator dies, one step at a time."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from methodsecret_operator.core.resource import PAUSED
from methodsecret_operator.errors import (
    KubeConflict,
    KubeUnavailable,
    MethodRateLimited,
    MethodUnauthorized,
    MethodUnavailable,
    OperatorError,
)
from tests.faults.model.cluster import Object
from tests.faults.model.network import Call
from tests.faults.model.process import Process
from tests.faults.model.world import KEEP_SUPERSEDED, Rules, World

WORLDS: Final = (
    Rules(),
    Rules(lists_fail=True, late_calls=True, meddling=True),
    Rules(keys_expire=True, meddling=True),
    Rules(lists_fail=True, late_calls=True, two_operators=True),
    Rules(keys_expire=True, lists_fail=True, late_calls=True, meddling=True),
    Rules(reads_lag=True),
    Rules(keys_expire=True, reads_lag=True, meddling=True),
)

FATES: Final = ("gone", "landed", "landed", "late")
LOST: Final = st.sampled_from(["landed", "late", "gone", "landed", "late", "refused"])
KINDS: Final = st.sampled_from([0, 0, 0, 1, 2, 3, 4])
LAGS: Final = st.sampled_from([0.0, 50.0, 300.0])
VALUES: Final = st.sampled_from(["A", "B", "C", "A", "B", "C", None])
SPECS: Final = st.builds(
    lambda policy, rotation, metadata, adopt: {
        "deletionPolicy": policy, "rotation": rotation, **metadata, **adopt,
    },
    policy=st.sampled_from(["Retain", "Delete"]),
    rotation=st.sampled_from(
        [{}, {}, {}, {"deleteSupersededAfter": KEEP_SUPERSEDED}, {"policy": "OnRequest"}]
    ),
    metadata=st.sampled_from([{}, {}, {"metadata": {}}, {"metadata": {"team": "one"}}]),
    adopt=st.sampled_from([{}] * 8 + [{"adopt": {"id": "sec_0"}}, {"adopt": {"id": "sec_1"}}]),
)  # fmt: skip


class Machine(RuleBasedStateMachine):
    """One history in one world."""

    worlds: ClassVar[tuple[Rules, ...]] = WORLDS
    tally: ClassVar[Counter[str]] = Counter()
    """How often what matters most has happened, in all histories together."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.worlds[0])
        self._given_up: list[Call] = []

    @initialize(data=st.data(), spec=SPECS)
    def begin(self, data: st.DataObject, spec: Object) -> None:
        """Begin with an object and an operator."""
        self.world = World(data.draw(st.sampled_from(self.worlds)))
        if self.world.rules.lists_fail:
            self.lists(refused=data.draw(st.booleans()), lag=data.draw(LAGS))
        self.world.cluster.apply(spec)
        self.world.start()

    # --- what goes well -------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """Let all go well until there is nothing to do."""
        self.world.settle()

    @rule(
        count=st.integers(1, 30),
        index=st.integers(0, 3),
        before=st.sampled_from(["nothing", "create", "create", "delete", "patch status"]),
    )
    def proceed(self, count: int, index: int, before: str) -> None:
        """Answer some calls, up to a certain one, and show the watches what has changed."""
        for _ in range(count):
            for process in self.world.processes:
                process.deliver(objects=1, secrets=1)
            calls = self.world.network.calls
            if not calls or any(call.operation.startswith(before) for call in calls):
                return
            self.world.network.deliver(self._call(index))

    @rule(
        index=st.integers(0, 3), objects=st.integers(0, 2), secrets=st.integers(0, 2), answered=st.booleans()
    )
    def step(self, index: int, objects: int, secrets: int, answered: bool) -> None:  # noqa: FBT001 - drawn
        """Show some changes to one process, and let one call arrive or be answered."""
        if self.world.processes:
            self._process(index).deliver(objects=objects, secrets=secrets)
        if not self.world.network.calls:
            return
        if answered:
            self.world.network.deliver(self._call(index))
        else:
            self.world.network.arrive(self._call(index))

    @rule(seconds=st.sampled_from([1.0, 31.0, 61.0, 601.0, 4000.0]), resynced=st.booleans())
    def wait(self, seconds: float, resynced: bool) -> None:  # noqa: FBT001 - drawn
        """Let time pass."""
        self.world.tick(seconds)
        if resynced:
            for process in self.world.processes:
                process.resync()

    # --- what goes wrong ------------------------------------------------------------------------

    @precondition(lambda self: self.world.network.calls)
    @rule(index=st.integers(0, 3), landed=st.booleans(), late=st.booleans(), kind=st.integers(0, 4))
    def fail(self, index: int, landed: bool, late: bool, kind: int) -> None:  # noqa: FBT001 - drawn
        """Fail a call for its sender, whether it was carried out or not."""
        self._fail(self._call(index), landed=landed, late=late, kind=kind)

    @precondition(lambda self: self.world.processes)
    @rule(
        operation=st.sampled_from(["create", "create", "retrieve", "list"]),
        fate=LOST,
        kind=KINDS,
        later=st.integers(0, 8),
        value=st.sampled_from("ABC"),
    )
    def fail_next(self, operation: str, fate: str, kind: int, later: int, value: str) -> None:
        """Answer all that comes before a certain call to Method, and fail that one; it may come late."""
        if operation == "create":
            self.change_value(value)
        call = self._next(operation)
        if call is None:
            return
        if fate == "refused" and call.arrived is None and call.refuse is not None:
            call.carry_out = call.refuse  # for good
            self.world.network.deliver(call)
        else:
            self._fail(call, landed=fate == "landed", late=fate == "late", kind=kind)
        if fate == "late" and later:
            self.proceed(count=later, index=0, before="nothing")
            self.world.network.land()

    @precondition(lambda self: self.world.processes and self.world.cluster.object is not None)
    @rule(fate=LOST, kind=KINDS)
    def fail_deletion(self, fate: str, kind: int) -> None:
        """Delete the object with its secrets, and fail a DELETE."""
        obj = self.world.cluster.object
        assert obj is not None
        self.world.cluster.apply({**obj["spec"], "deletionPolicy": "Delete"})
        self.world.settle()
        self.world.cluster.delete()
        call = self._next("delete")
        if call is not None:
            self._fail(call, landed=fate == "landed", late=fate == "late", kind=kind)

    @precondition(lambda self: any(call.refuse for call in self.world.network.calls))
    @rule(other=st.none() | SPECS, landed=st.booleans(), seen=st.booleans())
    def replace_in_create(self, other: Object | None, landed: bool, seen: bool) -> None:  # noqa: FBT001 - drawn
        """Delete the object and apply it anew while its create is on its way, and lose the answer."""
        call = next(call for call in self.world.network.calls if call.refuse)
        obj = self.world.cluster.object
        self.edit(other or (obj["spec"] if obj is not None else {}), "delete and apply")
        if seen:
            for process in self.world.processes:
                process.deliver(objects=2)
        if landed:
            self.world.network.arrive(call)
        self.world.network.lose(call, _error(call, 0))

    @precondition(lambda self: self.world.processes)
    @rule(
        index=st.integers(0, 1), fates=st.lists(st.sampled_from(FATES), max_size=3), again=st.integers(0, 3)
    )
    def crash(self, index: int, fates: list[str], again: int) -> None:
        """Kill a process; each of its calls is lost, has landed, or will. Mostly it is started again."""
        process = self._process(index)
        for call, fate in zip(self.world.network.of(process), fates, strict=False):
            if fate == "landed":
                self.world.network.arrive(call)
            elif fate == "late" and call.writes and self.world.rules.late_calls:
                self.world.network.drop(call, late=True)
        self.world.kill(process)
        if again:
            self.world.start()

    @precondition(lambda self: self.world.processes)
    @rule(landed=st.booleans(), after=st.sampled_from([0.0, 4000.0]))
    def die_in_create(self, landed: bool, after: float) -> None:  # noqa: FBT001 - drawn
        """Kill the sender of the next create, and start another, at once or when keys may be forgotten."""
        call = self._next("create")
        if call is None:
            return
        process = next(process for process in self.world.processes if process is call.sender)
        if landed:
            self.world.network.arrive(call)
        self.world.kill(process)
        if after:
            self.world.tick(after)
            if self.world.rules.keys_expire:
                self.world.method.forget_keys()
        self.world.start()

    @precondition(lambda self: len(self.world.processes) < 1 + self.world.rules.two_operators)
    @rule()
    def start(self) -> None:
        """Start an operator."""
        self.world.start()

    @precondition(lambda self: self.world.network.late)
    @rule()
    def land(self) -> None:
        """Let what is late arrive."""
        self.world.network.land()

    @precondition(lambda self: self.world.rules.keys_expire)
    @rule()
    def forget_keys(self) -> None:
        """Let the API forget the keys that are old enough."""
        self.world.note("old keys are forgotten")
        self.world.method.forget_keys()

    @precondition(lambda self: self.world.rules.lists_fail)
    @rule(refused=st.booleans(), lag=LAGS)
    def lists(self, refused: bool, lag: float) -> None:  # noqa: FBT001 - drawn
        """Let lists be refused, or lag behind."""
        self.world.note(f"lists refused: {refused}, behind by {lag:g} s")
        self.world.method.refuses_lists = refused
        self.world.method.list_lag = lag
        self.world.method.read_lag = min(lag, 50.0)

    @precondition(lambda self: self.world.rules.reads_lag)
    @rule(lag=st.sampled_from([0.0, 50.0, 200.0]))
    def reads(self, lag: float) -> None:
        """Let reads lag behind lists: for less than a deletion waits for them."""
        self.world.note(f"reads behind by {lag:g} s")
        self.world.method.read_lag = lag

    # --- what people do -------------------------------------------------------------------------

    @rule(value=VALUES)
    def change_value(self, value: str | None) -> None:
        """Change the value, or delete the Secret."""
        self.world.note(f"the value is {value}")
        self.world.cluster.set_source(value)

    @rule(
        spec=SPECS,
        what=st.sampled_from(["apply", "delete", "delete and apply", "pause", "rotate", "unpause"]),
    )
    def edit(self, spec: Object, what: str) -> None:
        """Apply the object (anew where it is gone), delete it, or set its annotations."""
        self.world.note(f"{what} {spec if 'apply' in what else ''}")
        if "delete" in what:
            self.world.cluster.delete()
        if "apply" in what:
            self.world.cluster.apply(spec)
        if "pause" in what:
            self.world.cluster.annotate(PAUSED, "true" if what == "pause" else None)
        if what == "rotate":
            self.world.request_rotation()

    @precondition(lambda self: self.world.rules.meddling and self.world.cluster.object is not None)
    @rule(age=st.integers(0, 12))
    def restore(self, age: int) -> None:
        """Wipe the status, or put an older one back."""
        former = self.world.backups
        self.world.meddle(former[-age] if 0 < age <= len(former) else {"observedGeneration": -1})

    @precondition(lambda self: self.world.rules.meddling and self.world.ours)
    @rule(index=st.integers(0, 5), traceless=st.booleans())
    def vanish(self, index: int, traceless: bool) -> None:  # noqa: FBT001 - drawn
        """Let a secret of ours vanish at Method."""
        secret = self.world.ours[index % len(self.world.ours)]
        self.world.note(f"{secret.id} vanishes at Method")
        secret.status = "deleted"
        if traceless:
            secret.known_from = float("inf")

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def no_defect(self) -> None:
        """Nothing has failed that may not."""
        self.world.check_defects()
        self._count_late()

    def teardown(self) -> None:
        """End all trouble and check what is there; then delete the object and check again."""
        try:
            self.world.heal()
            self.world.check_at_rest()
            obj = self.world.cluster.object
            if obj is None:
                return
            self.world.cluster.apply({**obj["spec"], "deletionPolicy": "Delete"})
            self.world.heal()
            self.world.check_at_rest()
            uid = obj["metadata"]["uid"]
            self.world.cluster.delete()
            self.world.heal()
            self.world.check_deleted(uid)
        finally:
            for line in self.world.network.trace[-150:]:
                note(line)
            for process in self.world.processes:
                process.kill()

    def _next(self, operation: str) -> Call | None:
        """Answer calls until one to Method of that operation is on its way; None where none comes."""
        for _ in range(30):
            for process in self.world.processes:
                process.deliver(objects=1, secrets=1)
            calls = self.world.network.calls
            found = next((call for call in calls if call.operation.startswith(operation)), None)
            if found is not None or not calls:
                return found
            self.world.network.deliver(calls[0])
        return None

    def _fail(self, call: Call, *, landed: bool, late: bool, kind: int) -> None:
        """Fail a call for its sender: 0 is a time-out, after which it may still be carried out."""
        if landed:
            self.world.network.arrive(call)
        if call.arrived is not None:
            kind = min(kind, 1)  # what was carried out is not answered by a refusal
        kind = self._but_for_anothers_try(call, kind)
        error = _error(call, kind)
        self.world.key_refused |= isinstance(error, MethodUnauthorized)
        late = late and call.arrived is None and call.writes and kind == 0 and self.world.rules.late_calls
        self.tally[f"{_what(call)}, {'its answer lost' if call.arrived is not None else 'failed'}"] += 1
        if late:
            self._given_up.append(call)
        self.world.network.lose(call, error, late=late)

    def _but_for_anothers_try(self, call: Call, kind: int) -> int:
        """Return silence in place of a refusal where another process has sent the same create before.

        It cannot know of that: docs/how-it-works.md has it among what is not guaranteed.
        """
        if not call.operation.startswith("create"):
            return kind
        first = self.world.network.first_sender[call.operation] is call.sender
        refused = kind == 3
        return 0 if refused and (not first or self.world.rules.two_operators) else kind

    def _count_late(self) -> None:
        """Count what was carried out long after its sender, which lives on, had given it up."""
        for call in [call for call in self._given_up if call.arrived is not None]:
            self._given_up.remove(call)
            if not call.sender.dead:
                self.tally[f"{_what(call)}, late"] += 1

    def _call(self, index: int) -> Call:
        calls = self.world.network.calls
        return calls[index % len(calls)]

    def _process(self, index: int) -> Process:
        processes = self.world.processes
        return processes[index % len(processes)]


def _what(call: Call) -> str:
    return call.operation.partition(" ")[0] if call.server == "Method" else call.server


def _error(call: Call, kind: int) -> OperatorError:
    """Return a failure: 0 and 1 say nothing about whether the call was carried out."""
    if call.server == "kube":
        if kind == 2 and "patch" in call.operation:
            return KubeConflict(verb="patch", what="it", status=409)
        return KubeUnavailable(verb="call", what="it", kind="timeout")
    operation = call.operation.partition(" ")[0]
    match kind:
        case 0:
            return MethodUnavailable(operation=operation, kind="timeout")
        case 1:
            return MethodUnavailable(operation=operation, kind="http", status=500)
        case 2:
            return MethodRateLimited(operation=operation, kind="http", status=429, retry_after=60.0)
        case 3:
            return MethodUnauthorized(operation=operation, kind="http", status=401)
        case _:
            return MethodUnavailable(operation=operation, kind="http", status=409)
