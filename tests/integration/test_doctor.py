"""`doctor` on real servers: fine under the shipped RBAC, and each thing amiss is a line with what to do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.integration.test_leadership import LEASE
from tests.integration.world import World


async def _doctor(world: World, code: int, **env: Any) -> dict[str, list[tuple[str, str]]]:  # noqa: ANN401 - as World's
    """Return level and finding by check."""
    done = await world.command("doctor", "--output", "json", **env)
    assert done.returncode == code, done.stdout + done.stderr
    lines: dict[str, list[tuple[str, str]]] = {}
    for line in json.loads(done.stdout)["checks"]:
        lines.setdefault(line["check"], []).append((line["level"], line["found"]))
        assert line["level"] == "ok" or line["todo"] or "not told" in line["found"], line
    return lines


async def test_a_cluster_in_order_is_fine_before_and_after_the_operator_starts(world: World) -> None:
    world.plane.http.delete(LEASE)
    env: dict[str, Any] = {"NAMESPACES": "", "CLUSTER_NAME": "here", "LEADER_ELECTION": "true"}
    before = await _doctor(world, 0, DIGEST_KEY_SECRET="methodsecret-operator-digest-key", **env)
    assert before["leader"] == [("advice", "nobody holds the Lease")]
    await world.start_operator(**env)
    after, table = await asyncio.gather(_doctor(world, 0, **env), world.command("doctor", **env))
    assert {level for lines in after.values() for level, _ in lines} == {"ok"}, after
    assert list(after) == [
        "kube-apiserver", "clock of kube-apiserver", "CRD", "rights", "digest key", "cluster name", "leader",
        "API key", "clock of Method", "list at Method",
    ]  # fmt: skip
    assert after["cluster name"] == [("ok", "here")]
    assert table.stdout.splitlines()[1].split()[:3] == ["ok", "kube-apiserver", world.plane.version or ""]
    assert table.stderr == ""


async def test_what_is_amiss_is_named(world: World) -> None:
    run, here = world.plane.run_kubectl, f"--namespace={world.namespace}"
    run("create", "serviceaccount", "nobody", here)
    run("create", "role", "nobody", "--verb=get", "--resource=namespaces", here)
    run(
        "create", "rolebinding", "nobody", "--role=nobody", f"--serviceaccount={world.namespace}:nobody", here
    )
    nobody = world.plane.service_account_kubeconfig(namespace=world.namespace, name="nobody")
    await world.control.add_fault("list", "status", status=403, count=None)
    nowhere = world.directory / "kubeconfig"
    nowhere.write_text(
        json.dumps(
            {
                "current-context": "n",
                "clusters": [{"name": "n", "cluster": {"server": "http://127.0.0.1:9"}}],
                "contexts": [{"name": "n", "context": {"cluster": "n", "user": "n"}}],
                "users": [{"name": "n", "user": {"token": "made-up"}}],
            }
        )
    )
    refused, unnamed, wrong, unreachable, clusterless = await asyncio.gather(
        _doctor(world, 1, kubeconfig=nobody, SOURCE_WATCH="poll", LEADER_ELECTION="true"),
        _doctor(world, 1, DIGEST_KEY_SECRET="methodsecret-none", WORKER="3"),
        world.command("doctor", WORKERS="0"),
        _doctor(world, 1, BASE_URL="http://127.0.0.1:9", API_KEY_FILE="", API_KEY="sk_test"),
        _doctor(world, 1, kubeconfig=nowhere),
    )
    found = [text for level, text in refused["rights"] if level == "todo"]
    assert (
        f"may not get, list, watch, patch methodsecrets.methodfi.com in namespace {world.namespace}" in found
    )
    assert f"may not get secrets in namespace {world.namespace}" in found
    assert not any("list, watch secrets" in text for text in found), "it is to poll"
    assert [level for level, text in refused["rights"] if "configmaps" in text] == ["advice"]
    assert not any(f"namespaces {world.namespace}" in text for text in found), "a Role in it grants that"
    assert refused["CRD"] == [("ok", "has every field that this version uses")], "everybody may see it"
    assert refused["digest key"][0][0] == "todo"
    assert refused["list at Method"][0][0] == "todo"
    assert unnamed["settings"] == [
        ("todo", "METHODSECRET_WORKER is not a setting; is it METHODSECRET_WORKERS?")
    ]
    assert unnamed["digest key"][0] == ("advice", "there is no Secret methodsecret-system/methodsecret-none")
    assert unnamed["cluster name"][0][0] == "advice"
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert list(clusterless) == ["kube-apiserver", "API key", "clock of Method", "list at Method"]
    assert clusterless["kube-apiserver"] == [("todo", "http://127.0.0.1:9: get /version: connection")]
    assert unreachable["Method"][0][0] == "todo"
