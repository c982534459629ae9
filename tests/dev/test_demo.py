"""The demo as people run it: what it shows, how it fails, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
SECONDS = 90  # for one run; about 10 on an idle machine with 2 cores

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.usefixtures("programs")]


class Demo:
    """One run of the demo, with a directory of its own for temporary files, by which its traces are found."""

    def __init__(self, temporary: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self._temporary = temporary
        paths = [str(ROOT / part) for part in ("operator", "emulator", "")]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-m", "dev.demo", *arguments],
            cwd=temporary.parent,  # not the checkout: the demo finds its files by itself
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(temporary), "DEMO_TEST": str(temporary)}
            | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def read_until(self, sign: str) -> None:
        """Read its output up to the line with `sign`."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if sign in line:
                return
        pytest.fail(f"the demo ended without {sign!r}:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> int:
        """Read the rest of its output, wait for its end, and return the exit code."""
        rest, _ = self._process.communicate(timeout=SECONDS)
        self.output += rest
        return self._process.returncode

    def close(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=SECONDS)

    def files(self) -> list[str]:
        return sorted(path.name for path in self._temporary.iterdir())

    def processes(self) -> dict[int, str]:
        """Return the processes of this run with their commands, found by a variable that each inherits."""
        sign = f"DEMO_TEST={self._temporary}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if sign in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has ended, or is not ours
        return found

    def wait_until_gone(self) -> None:
        """Give what outlived a killed demo the moment it needs to notice."""
        deadline = time.monotonic() + SECONDS
        while (left := [*self.processes().values(), *self.files()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []


@pytest.fixture(scope="module")
def programs() -> None:
    """Have the control plane's programs there: a build takes longer than a test may."""
    from dev.controlplane import binaries  # noqa: PLC0415 - unit tests do without it

    if not Path("/proc/self/environ").exists():
        pytest.skip("what a run leaves is looked up in /proc, which this system has not")
    binaries.ensure()


@pytest.fixture
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> Demo:
        started.append(Demo(tmp_path_factory.mktemp("d"), *arguments, env=env))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_two_side_by_side_show_everything_and_leave_nothing(demo: Callable[..., Demo]) -> None:
    both = [demo(), demo()]
    assert [one.finish() for one in both] == [0, 0], "\n".join(one.output for one in both)
    for one in both:
        assert one.files() == []
        assert one.processes() == {}
        assert re.findall(r"(?m)^\d\.", one.output) == ["1.", "2.", "3.", "4.", "5.", "6."]
        assert "SourceNotFound" in one.output
        assert "InvalidSource" in one.output
        assert re.search(r"acme-api-key +True +Synced +sec_\w+ +active", one.output)
        assert re.search(r"POSTs to Method, and secrets there: +4, 4\n", one.output)
        assert re.search(r"values in the operator's log, +\d+ lines: +0\n", one.output)
        assert "\033" not in one.output, "colour is for terminals"


@pytest.mark.parametrize(
    ("number", "sign", "reason"),
    [
        (signal.SIGINT, "etcd and kube-apiserver", "Ctrl-C before the operator runs"),
        (signal.SIGINT, "condition=Ready methodsecret/acme-api-key", "Ctrl-C while kubectl waits"),
        (signal.SIGTERM, "3. A MethodSecret", "kill in the middle of it"),
    ],
)
def test_an_interrupted_one_leaves_nothing(
    demo: Callable[..., Demo], number: signal.Signals, sign: str, reason: str
) -> None:
    one = demo()
    one.read_until(sign)
    assert one.processes() != {}, "the test must be able to see them"
    one.send(number)
    assert one.finish() == 130, reason
    assert one.output.endswith("Interrupted; everything is taken away.\n")
    assert "Traceback" not in one.output
    assert one.files() == []
    # Interrupted in the very fork of a child, it ends that child by its own end, and not before.
    one.wait_until_gone()


def test_a_killed_one_leaves_nothing(demo: Callable[..., Demo]) -> None:
    one = demo()
    one.read_until("2. A MethodSecret")
    one.send(signal.SIGKILL)
    assert one.finish() == -signal.SIGKILL
    one.wait_until_gone()


def test_one_that_fails_says_why_with_the_operators_log(demo: Callable[..., Demo]) -> None:
    one = demo()
    one.read_until("2. A MethodSecret")
    (server,) = (pid for pid, command in one.processes().items() if command.split()[0].endswith("apiserver"))
    os.kill(server, signal.SIGKILL)
    code = one.finish()
    assert code == 1
    assert "The demo failed: kubectl" in one.output
    assert "refused" in one.output
    assert '"event": "running"' in one.output, "the end of the operator's log"
    assert "Traceback" not in one.output
    assert one.files() == []
    assert one.processes() == {}


def test_a_kept_one_says_how_to_go_on_and_ends_with_ctrl_c(demo: Callable[..., Demo]) -> None:
    one = demo("--keep", env={"PATH": "/nowhere"})
    one.read_until("_emulator/secrets")
    found = re.search(r"export KUBECONFIG=(\S+)\n +(\S+) get methodsecrets --watch", one.output)
    assert found, one.output
    kubeconfig, kubectl = found.groups()
    shown = subprocess.run(  # noqa: S603 - the kubectl that the demo names
        [kubectl, "get", "methodsecrets", "-o", "name"],
        env={"KUBECONFIG": kubeconfig, "HOME": str(Path(kubeconfig).parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "methodsecret.methodfi.com/acme-api-key\n" in shown
    one.send(signal.SIGINT)
    assert one.finish() == 0
    assert one.files() == []
    assert one.processes() == {}
