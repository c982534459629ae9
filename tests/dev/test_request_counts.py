"""What is read out of a kube-apiserver's own counts of requests."""

from __future__ import annotations

import pytest

from dev.controlplane.metrics import requests


def sample(
    verb: str, scope: str = "resource", *, of: str = "secrets", sub: str = "", count: str = "1"
) -> str:
    """Return a line of /metrics, as kube-apiserver 1.37 writes it."""
    return (
        f'apiserver_request_total{{code="200",component="apiserver",dry_run="",group="",resource="{of}",'
        f'scope="{scope}",subresource="{sub}",verb="{verb}",version="v1"}} {count}\n'
    )


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        pytest.param(sample("GET", count="3"), {("GET", "secrets"): 3}, id="a verb on a resource"),
        pytest.param(
            sample("PATCH", of="methodsecrets", sub="status"),
            {("PATCH", "methodsecrets/status"): 1},
            id="a subresource is apart",
        ),
        pytest.param(
            sample("GET", count="1e+06") + sample("GET", count="2"),
            {("GET", "secrets"): 1_000_002},
            id="what differs in other labels is one count, large ones are written with an exponent",
        ),
        pytest.param(sample("DELETE"), {("DELETE", "secrets"): 1}, id="one is deleted"),
        pytest.param(
            sample("DELETE", "namespace"),
            {("DELETECOLLECTION", "secrets"): 1},
            id="a namespace is emptied: the kube-apiserver calls that DELETE as well",
        ),
        pytest.param(
            "# TYPE apiserver_request_total counter\n" + sample("GET").replace("total", "post_timeout_total"),
            {},
            id="comments and other metrics are none",
        ),
    ],
)
def test_requests_are_counted_by_verb_and_resource(text: str, counts: dict[tuple[str, str], int]) -> None:
    assert requests(text) == counts
