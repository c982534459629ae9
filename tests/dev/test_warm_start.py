"""Operators by fork: they are processes like any other to their owner, and nothing of one is in the next."""

from __future__ import annotations

import os
import pathlib
import signal

import pytest

from dev.operator_process import OperatorProcess, OperatorProcessError
from dev.warm_start import warm_start


def _operator(directory: pathlib.Path, **env: str) -> OperatorProcess:
    return OperatorProcess(
        kubeconfig=directory / "missing",
        base_url="http://127.0.0.1:1",
        log_file=directory / "log",
        env={f"METHODSECRET_{name}": text for name, text in env.items()},
        launch=warm_start(),
    )


def test_it_ends_with_the_exit_code_of_the_command(tmp_path: pathlib.Path) -> None:
    operator = _operator(tmp_path, WORKERS="none").start()
    assert operator.wait() == 2
    assert operator.exit_code == 2
    assert "METHODSECRET_WORKERS" in operator.log_text()


def test_each_has_the_environment_of_its_own_order(tmp_path: pathlib.Path) -> None:
    assert _operator(tmp_path, WORKERS="none").start().wait() == 2
    first = (tmp_path / "log").read_text()
    operator = _operator(tmp_path).start()
    assert operator.wait() == 2
    rest = operator.log_text().removeprefix(first)
    assert "WORKERS" not in rest
    assert "kubeconfig" in rest


def test_it_can_be_killed_and_waited_for(tmp_path: pathlib.Path) -> None:
    # It reads its kubeconfig from a pipe that nobody writes to: so it is there until it is killed.
    os.mkfifo(tmp_path / "missing")
    operator = _operator(tmp_path).start()
    assert operator.running
    with pytest.raises(OperatorProcessError, match="has not ended"):
        operator.wait(timeout=0.01)
    operator.signal(signal.SIGSTOP)
    operator.kill()
    assert operator.exit_code == -signal.SIGKILL
    operator.kill()
    assert not operator.running
