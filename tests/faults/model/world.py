"""The two models, the processes between them, and what must hold of them: at every step, and at rest."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

from methodsecret_operator.core.identity import Marker, owner, revision
from methodsecret_operator.core.resource import PAUSED, ROTATION_REQUESTED_AT
from tests.faults.model.cluster import NAME, NAMESPACE, Cluster, Object
from tests.faults.model.loop import Clock
from tests.faults.model.network import Network
from tests.faults.model.process import Process
from tests.faults.model.remote import CLUSTER, KEY, Method, Stored, Violation

OURS: Final = owner(cluster=CLUSTER, namespace=NAMESPACE, name=NAME)
KEEP_SUPERSEDED: Final = "120s"

_ROUNDS: Final = 40
_CALLS: Final = 1000
_ASK_A_PERSON: Final = frozenset({"AccountChanged", "RemoteDeleted", "DigestKeyLost"})


@dataclass(frozen=True)
class Rules:
    """What may befall this world.

    Where keys are kept for ever, or where they are not but lists are whole and no call outlives its sender,
    the promise is strict: no second secret of one object and revision, not even for a moment. An object that
    is applied anew makes other keys, so only lists tell of what its predecessor made. Where only reads lag,
    lists tell the truth: nothing is believed to be gone that they show.
    """

    keys_expire: bool = False
    lists_fail: bool = False
    reads_lag: bool = False
    late_calls: bool = False
    two_operators: bool = False
    meddling: bool = False

    @property
    def strict(self) -> bool:
        """Whether a second secret may not exist even until the healer comes."""
        return not self.keys_expire or self.told_by_lists

    @property
    def told_by_lists(self) -> bool:
        """Whether lists show all there is: then two objects of one name have no second secret either."""
        return not (self.lists_fail or self.late_calls or self.two_operators)


class World:
    """All there is. Raises Violation as soon as something is done that may not be."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.clock = Clock()
        self.network = Network()
        self.method = Method(
            clock=self.clock, judge_create=self._judge_create, judge_delete=self._judge_delete
        )
        self.cluster = Cluster(self.clock, judge_status=self._judge_status)
        self.processes: list[Process] = []
        self.meddled = False  # somebody else has written a status: what is in use is not known for sure
        self.key_refused = False  # then a deletion may be given up, with its work undone
        self._started = 0
        self._tokens = 0
        self._owned: set[str] = set()
        self.foreign = [
            self._put({"team": "theirs"}),
            self._put(_mark(owner(cluster="other", namespace=NAMESPACE, name=NAME), "object-1")),
            self._put(_mark(owner(cluster=CLUSTER, namespace=NAMESPACE, name="beta"), "object-beta")),
        ]
        self.cluster.set_source("A")

    def start(self) -> Process:
        """Start an operator."""
        self._started += 1
        process = Process(
            f"operator {self._started}",
            clock=self.clock,
            cluster=self.cluster,
            method=self.method,
            network=self.network,
        )
        self.processes.append(process)
        self.note(f"{process.name} starts")
        return process

    def kill(self, process: Process) -> None:
        """Kill an operator; what it had on its way is gone."""
        self.note(f"{process.name} dies")
        process.kill()
        self.processes.remove(process)
        for call in self.network.of(process):
            self.network.drop(call)

    def tick(self, seconds: float) -> None:
        """Let time pass. What is late arrives within a minute."""
        self.note(f"{seconds:g} s pass")
        if seconds > 60:
            self.network.land()
        self.clock.seconds += seconds
        for process in self.processes:
            process.loop.run_until_idle()

    def meddle(self, status: Object) -> None:
        """Put a status in place of what is there."""
        self.meddled = True
        self.note(f"somebody writes the status {status.get('id')}")
        self.cluster.write_status(status)

    def request_rotation(self) -> None:
        """Ask for a rotation."""
        self._tokens += 1
        self.cluster.annotate(ROTATION_REQUESTED_AT, f"t{self._tokens}")

    def note(self, what: str) -> None:
        """Remember an event for the trace."""
        self.network.trace.append(what)

    @property
    def uid(self) -> str | None:
        """The uid of the object, while there is one."""
        return None if self.cluster.object is None else str(self.cluster.object["metadata"]["uid"])

    @property
    def ours(self) -> list[Stored]:
        """The active secrets of the object."""
        return self.method.active(self.uid) if self.uid is not None else []

    @property
    def backups(self) -> list[Object]:
        """The former statuses that may be put back.

        Not those of another object that was of another revision: while no operator is there to notice, or
        dies before it does, they are believed (docs/how-it-works.md, what is not guaranteed).
        """
        wanted = self.wanted() if self.cluster.object is not None and self.cluster.source is not None else ""
        return [
            status
            for uid, status in self.cluster.statuses
            if uid == self.uid or status.get("source", {}).get("revision") == wanted
        ]

    # --- what may never be done -----------------------------------------------------------------

    def _judge_create(self, marker: Marker, twins: list[Stored]) -> None:
        self._owned.add(marker.uid)
        if marker.owner != OURS:
            raise Violation(f"a create in the name of {marker.owner}")
        own = [twin.id for twin in twins if twin.marker is not None and twin.marker.uid == marker.uid]
        beside = [twin.id for twin in twins] if self.rules.told_by_lists else own
        if beside and self.rules.strict:
            raise Violation(f"a second secret of {marker}, beside {beside}")

    def _judge_delete(self, stored: Stored) -> None:
        marker = stored.marker
        if marker is None or marker.owner != OURS or marker.uid not in self._owned:
            raise Violation(f"somebody else's secret {stored.id} is deleted")
        obj = self.cluster.object
        if obj is None or "deletionTimestamp" in obj["metadata"] or self.meddled or self.rules.two_operators:
            return
        if obj["status"].get("id") == stored.id:
            raise Violation(f"{stored.id} is deleted while it is in use")

    def _judge_status(self, new: Object, old: Object) -> None:
        status = new["status"]
        current, source, adopted = status.get("id"), status.get("source"), status.get("adopted") or {}
        if current is None or self.meddled:
            return
        stored = self.method.secrets.get(current)
        if stored is None:
            raise Violation(f"the status names {current}, which never was")
        if adopted.get("id") == current or source is None:
            return
        marker = stored.marker
        if marker is None or marker.owner != OURS or marker.revision != source["revision"]:
            raise Violation(f"the status says that {current} holds {source['revision']}; it holds {marker}")
        former = old["status"].get("id")
        if former not in (None, current) and former not in _superseded(status):
            raise Violation(f"{former} is forgotten when {current} takes its place")

    # --- at rest --------------------------------------------------------------------------------

    def heal(self) -> None:
        """End all trouble, and let the operator work until it has nothing left to do."""
        self.note("all trouble ends")
        self.method.refuses_lists = False
        self.method.list_lag = self.method.read_lag = 0.0
        self.network.land()
        if self.cluster.source is None:
            self.cluster.set_source("A")
        self.cluster.annotate(PAUSED, None)
        if not self.processes:
            self.start()
        self.tick(1000)
        # Each lost secret that a stored answer names is disbelieved for a while, and nothing is said of it.
        gone = sum(stored.known_from == float("inf") for stored in self.method.secrets.values())
        patience, quiet = 2 + 2 * gone, 0
        for _ in range(_ROUNDS + patience):
            before = self._state()
            self.settle()
            self._help()
            self.tick(301)
            for process in self.processes:
                process.resync()
            self.settle()
            quiet = quiet + 1 if self._state() == before else 0
            if quiet == patience:  # nothing has come of a whole round, twice
                return
        raise Violation("there is no rest")

    def settle(self) -> None:
        """Answer everything, and show everything to the watches."""
        for _ in range(_CALLS if not self.rules.two_operators else _CALLS // 10):
            for process in self.processes:
                if process.behind:
                    process.deliver(objects=1, secrets=1)
            if not self.network.calls:
                if any(process.behind for process in self.processes):
                    continue
                return
            self.network.deliver(self.network.calls[0])
        if not self.rules.two_operators:  # two may answer each other for a while; heal() ends it
            raise Violation("the calls do not end")

    def check_at_rest(self) -> None:
        """Check what must hold once all trouble is over. Raises Violation."""
        self.check_defects()
        for stored in self.foreign:
            if stored.status != "active":
                raise Violation(f"somebody else's secret {stored.id} is gone")
        rules = self.rules
        if not (rules.late_calls or rules.lists_fail or rules.two_operators or self.key_refused):
            for uid in self.cluster.finalized:
                self.check_deleted(uid)
        obj = self.cluster.object
        if obj is None:
            return
        self._check_object(obj, obj["metadata"]["uid"], obj["status"])

    def _check_object(self, obj: Object, uid: str, status: Object) -> None:
        """Check that an object is ready with the right secret, and that all it has is known."""
        ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
        if ready is None or ready["status"] != "True":
            raise Violation(f"not ready: {ready}")
        named = {status["id"], *_superseded(status)}
        active = self.method.active(uid)
        lost = [stored.id for stored in active if stored.id not in named]
        if lost:
            raise Violation(f"{lost} are at Method, and nobody knows of them: {named}")
        current = self.method.secrets[status["id"]]
        if current.status != "active":
            raise Violation(f"{current.id} is in use, and is {current.status}")
        if (status.get("adopted") or {}).get("id") != current.id:
            marker = current.marker
            if marker is None or marker.owner != OURS or marker.revision != self.wanted():
                raise Violation(f"{current.id} is in use with {marker}, and not with what is wanted")
        self._check_former(obj, uid, active)

    def _check_former(self, obj: Object, uid: str, active: list[Stored]) -> None:
        """Check that there are no two of a revision, and no former ones that should be gone.

        Where the promise is not strict, two of a former revision may stay: which of them is in use somewhere,
        nobody knows, and the status names both.
        """
        revisions = [stored.marker.revision for stored in active if stored.marker is not None]
        twins = {text for text in revisions if revisions.count(text) > 1}
        if twins if self.rules.strict else self.wanted() in twins:
            raise Violation(f"two active secrets of {uid} and {twins}: {[stored.id for stored in active]}")
        if obj["spec"].get("rotation", {}).get("deleteSupersededAfter") and len(active) > 1:
            raise Violation(f"former secrets are still there: {[stored.id for stored in active]}")

    def check_deleted(self, uid: str) -> None:
        """Check that nothing is left of an object that was deleted with Delete. Raises Violation."""
        self.check_defects()
        if self.cluster.object is not None and self.uid == uid:
            raise Violation("the object is still there")
        left = [stored.id for stored in self.method.active(uid)]
        if left:
            raise Violation(f"{left} are left of a deleted object")

    def check_defects(self) -> None:
        """Check that nothing has failed that may not."""
        for process in self.processes:
            if process.defects:
                raise Violation(f"a defect: {process.defects[0]}") from process.defects[0]

    def wanted(self) -> str:
        """Return the revision that the object asks for."""
        obj, source = self.cluster.object, self.cluster.source
        assert obj is not None
        assert source is not None
        return revision(
            key=KEY,
            namespace=NAMESPACE,
            name=NAME,
            environment="sandbox",
            value=_value(source.data["value"]),
            metadata=obj["spec"].get("metadata"),
        )

    def _help(self) -> None:
        """Do what the operator asks a person to do."""
        obj = self.cluster.object
        if obj is None:
            return
        conditions = {c["type"]: c["reason"] for c in obj["status"].get("conditions", ())}
        if "RotationPending" in conditions or conditions.get("Ready") in _ASK_A_PERSON:
            self.note("a person requests a rotation")
            self.request_rotation()
        if conditions.get("Ready") == "AdoptionFailed":
            self.note("a person takes spec.adopt away")
            self.cluster.apply({name: obj["spec"][name] for name in obj["spec"] if name != "adopt"})

    def _state(self) -> Any:  # noqa: ANN401 - to be compared only
        statuses = {stored.id: stored.status for stored in self.method.secrets.values()}
        return (len(self.cluster.events), statuses)

    def _put(self, metadata: dict[str, Any]) -> Stored:
        stored = Stored(id=f"sec_{len(self.method.secrets)}", metadata=metadata)
        self.method.secrets[stored.id] = stored
        return stored


def _mark(name: str, uid: str) -> dict[str, Any]:
    return dict(Marker(owner=name, uid=uid, revision="1:00000000:" + "0" * 32).to_metadata())


def _superseded(status: Object) -> set[str]:
    return {entry["id"] for entry in status.get("superseded", ())}


def _value(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
