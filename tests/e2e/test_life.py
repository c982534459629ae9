"""The life of a release in a real cluster: installed, used, rolled, its leader killed, uninstalled.

In this order: each test finds the release as the one before has left it. `make e2e` says how it is run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.cluster import SECONDS, Cluster, CommandFailedError, Object, method_secret, source, until

BATCH = 10
PAUSE = 1.0
"""Seconds between two batches of a load: some 10 objects a second, for as long as it takes."""
LEAST = 5
"""Batches at least: two before what happens to the operator, the others during and after it."""


class Load:
    """Objects that keep coming while something is done to the operator."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.names: list[str] = []
        self._cluster = cluster
        self._namespace = namespace
        self._stop = threading.Event()
        self._warm = threading.Event()
        self._failed: list[Exception] = []

    def run(self) -> None:
        batch = 0
        try:
            while not self._stop.is_set() or batch < LEAST:
                names = [f"load-{batch}-{number}" for number in range(BATCH)]
                objects = [source(name, f"made up {self._namespace} {name}") for name in names]
                self._cluster.apply(self._namespace, *objects, *(method_secret(name) for name in names))
                self.names += names
                batch += 1
                if batch >= 2:
                    self._warm.set()
                self._stop.wait(PAUSE)
        except CommandFailedError as error:
            self._failed.append(error)
            self._warm.set()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let objects come during the block."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        self._warm.wait(SECONDS)
        try:
            yield
        finally:
            self._stop.set()
            thread.join(SECONDS)
        assert self._failed == []

    def _objects(self) -> list[Object]:
        return list(self._cluster.get("methodsecrets", "-n", self._namespace)["items"])

    def check(self) -> None:
        """All are Ready in the end, and each has one secret at Method, the one that its status names."""
        until(lambda: all(map(_synced, self._objects())), "every object of the load is Ready")
        items = self._objects()
        named = {one["metadata"]["name"]: one["status"]["id"] for one in items}
        assert set(named) == set(self.names)
        stored = self._cluster.stored(f"e2e/{self._namespace}/")
        assert sorted(one["id"] for one in stored) == sorted(named.values()), (
            "one each: none twice, none lost"
        )


def pod_of(holder: str) -> str:
    return holder.partition("_")[0]


def _synced(obj: Object) -> bool:
    return [c["reason"] for c in obj["status"].get("conditions", ()) if c["type"] == "Ready"] == ["Synced"]


def test_the_release_passes_its_own_test(cluster: Cluster) -> None:
    assert "Succeeded" in cluster.helm("test", cluster.release, "--timeout", f"{SECONDS}s")
    pods = cluster.get("pods", "-n", cluster.system, "-l", "app.kubernetes.io/component=operator")["items"]
    assert len(pods) == 2
    assert [s["restartCount"] for pod in pods for s in pod["status"]["containerStatuses"]] == [0, 0]
    assert pod_of(cluster.holder()) in {pod["metadata"]["name"] for pod in pods}


def test_doctor_finds_nothing_to_do(cluster: Cluster) -> None:
    """It ends with an error where something is to do."""
    assert "accepted by" in cluster.documented("Upgrade")


def test_a_value_is_stored_and_its_id_published(cluster: Cluster, namespace: str) -> None:
    publish = {"configMap": {"name": "acme-method", "key": "id"}}
    cluster.apply(namespace, method_secret("acme", publish=publish))
    cluster.wait_for(namespace, "{.status.conditions[0].reason}", "SourceNotFound", "acme")
    value = f"made up {namespace}"
    cluster.apply(namespace, source("acme", value))
    cluster.wait_ready(namespace, "acme")

    status = cluster.secret(namespace, "acme")["status"]
    assert cluster.holds(value) == [status["id"]]
    assert cluster.get("configmap", "acme-method", "-n", namespace)["data"] == {"id": status["id"]}
    assert value not in cluster.kubectl("logs", "-n", cluster.system, cluster.deployment, "--all-pods")


def test_a_new_value_moves_the_id(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, source("acme", f"made up {namespace} 1"), method_secret("acme"))
    cluster.wait_ready(namespace, "acme")
    first = cluster.secret(namespace, "acme")["status"]["id"]
    cluster.apply(namespace, source("acme", f"made up {namespace} 2"))
    cluster.wait_for(namespace, "{.status.superseded[0].id}", first, "acme")
    cluster.wait_ready(namespace, "acme")
    assert cluster.holds(f"made up {namespace} 2") == [cluster.secret(namespace, "acme")["status"]["id"]]


def test_deletion_goes_by_the_policy(cluster: Cluster, namespace: str) -> None:
    names = ("kept", "deleted")
    cluster.apply(
        namespace,
        *(source(name, f"made up {namespace} {name}") for name in names),
        method_secret("kept"),
        method_secret("deleted", deletionPolicy="Delete"),
    )
    cluster.wait_ready(namespace)
    kept = cluster.secret(namespace, "kept")["status"]["id"]
    cluster.kubectl("delete", "methodsecret", "-n", namespace, *names, f"--timeout={SECONDS}s")
    assert [one["id"] for one in cluster.stored(f"e2e/{namespace}/")] == [kept]


def test_a_rolling_update_under_load_loses_and_doubles_nothing(cluster: Cluster, namespace: str) -> None:
    before = cluster.holder()
    load = Load(cluster, namespace)
    with load.going_on():
        cluster.install("--set", "log.level=DEBUG")
        until(lambda: cluster.holder() not in {"", before}, "another process leads")
    load.check()


def test_the_leader_killed_under_load_is_followed_by_the_other(cluster: Cluster, namespace: str) -> None:
    before = cluster.holder()
    load = Load(cluster, namespace)
    with load.going_on():
        cluster.kill(pod_of(before))
        until(lambda: cluster.holder() not in {"", before}, "another process leads")
    load.check()
    cluster.kubectl("rollout", "status", "-n", cluster.system, cluster.deployment, f"--timeout={SECONDS}s")


def test_an_uninstall_lets_the_objects_go_or_leaves_them(cluster: Cluster, namespace: str) -> None:
    """By the commands of docs/operations.md: stop the operator, `release`; then uninstall."""
    for name, policy in (("held", "Delete"), ("kept", "Retain")):
        cluster.apply(namespace, source(name, f"made up {namespace} {name}"))
        cluster.apply(namespace, method_secret(name, deletionPolicy=policy))
    cluster.wait_ready(namespace)
    before = cluster.secret(namespace, "held")
    assert before["metadata"]["finalizers"] == ["methodfi.com/method-secret"]
    assert before["status"]["id"] in cluster.documented("Uninstall")
    after = cluster.secret(namespace, "held")
    assert "finalizers" not in after["metadata"]
    assert after["status"] == before["status"]

    cluster.helm("uninstall", cluster.release, "--wait", f"--timeout={SECONDS}s")
    left = cluster.get("deployments,services,roles,rolebindings,networkpolicies", "-n", cluster.system)[
        "items"
    ]
    assert [f"{one['kind']}/{one['metadata']['name']}" for one in left] == []
    ours = ("-l", "app.kubernetes.io/name=methodsecret-operator")
    assert cluster.kubectl("get", "clusterroles,clusterrolebindings", *ours) == ""
    assert {one["metadata"]["name"] for one in cluster.get("methodsecrets", "-n", namespace)["items"]} == {
        "held",
        "kept",
    }
    digest_key = cluster.get("secret", "methodsecret-operator-digest-key", "-n", cluster.system)
    assert digest_key["data"], "to be kept: a reinstalled operator finds its secrets by it"
    cluster.kubectl("delete", "namespace", namespace, f"--timeout={SECONDS}s")  # with no operator there
