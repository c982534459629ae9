"""Fixtures for every test: a real control plane where one is asked for, and no other cluster ever."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from typing import TYPE_CHECKING

import pytest

from dev import tools
from dev.controlplane import build
from dev.controlplane.errors import NoGoError, NotAvailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dev.controlplane import ControlPlane

_log = logging.getLogger(__name__)
_FIXTURE = "control_plane"


def pytest_configure() -> None:
    """Let the programs that tests start be interrupted, even where nobody can interrupt the tests.

    A shell without job control starts what runs in its background with Ctrl-C ignored, and that is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a control plane, so that `-m "not cluster"` leaves it out."""
    for item in items:
        if _FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the programs that tests run before the first test: a build takes longer than a test may."""
    if session.config.option.collectonly:
        return
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if _FIXTURE in used:
        from dev.controlplane import binaries  # noqa: PLC0415 - unit tests do without it

        binaries.ensure()
    try:
        tools.ensure(name for name in tools.TOOLS if name in used)
    except NoGoError:
        if os.environ.get("CI") == "true":
            raise


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded: `-n` hands on what they record, not what they print."""
    figures = [
        figure
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, figure in report.user_properties
        if name == "figure" and report.when == "call"
    ]
    if figures:
        terminalreporter.section("figures")
    for figure in figures:
        terminalreporter.line(str(figure))


@pytest.fixture(scope="session", autouse=True)
def no_cluster_of_the_user() -> Iterator[None]:
    """Keep every test from a cluster that it did not start.

    KUBECONFIG is set to an empty file, not just unset: unset means ~/.kube/config.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", os.devnull)
        for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One control plane for the whole session, started by the first test that asks for it."""
    from dev.controlplane import start  # noqa: PLC0415 - unit tests do without it

    with start() as plane:
        _log.info("control plane %s at %s, logs in %s", plane.version, plane.url, plane.directory)
        yield plane


def _tool(name: str) -> Path:
    try:
        return tools.path(name)
    except NotAvailableError:
        if build.find_go():
            raise
        pytest.skip(f"{name} is not there, and no Go to build it with")


@pytest.fixture(scope="session")
def helm() -> Path:
    """Return the helm program, of the version that dev/tools pins."""
    return _tool("helm")


@pytest.fixture(scope="session")
def kubeconform() -> Path:
    """Return the kubeconform program, of the version that dev/tools pins."""
    return _tool("kubeconform")


@pytest.fixture(scope="session")
def actionlint() -> Path:
    """Return the actionlint program, of the version that dev/tools pins."""
    return _tool("actionlint")


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Return the promtool program, of the version that dev/tools pins."""
    return _tool("promtool")


@pytest.fixture(scope="session")
def gitops() -> Path:
    """Return our own program that says what Argo CD and Flux make of an object (dev/tools/gitops)."""
    return _tool("gitops")


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace for one test; it is deleted afterwards, without waiting for it."""
    name = f"test-{secrets.token_hex(4)}"
    made = control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    made.raise_for_status()
    yield name
    control_plane.http.delete(f"/api/v1/namespaces/{name}")  # 404 is fine: the test did it


@pytest.fixture
def controller_manager(control_plane: ControlPlane) -> ControlPlane:
    """Give the control plane to a test of garbage collection or namespace deletion, or skip that test."""
    if not control_plane.has_controller_manager:
        pytest.skip("no kube-controller-manager here: it comes with Go, or on Linux with the download")
    return control_plane
