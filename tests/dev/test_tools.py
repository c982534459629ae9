"""The tools that tests run are pinned, built once, and told of when missing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dev import tools
from dev.controlplane import NotAvailableError, build
from dev.controlplane.errors import NoGoError
from dev.tools.__main__ import main

SMALL = 'package main\n\nvar version = "none"\n\nfunc main() { println("small", version) }\n'


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have one tool, `small`, whose build takes a second; return its module."""
    module = tmp_path / "module"
    (module / "small").mkdir(parents=True)
    (module / "small" / "main.go").write_text(SMALL)
    (module / "go.mod").write_text("module example.invalid/small\n\ngo 1.21\n")
    (module / "go.sum").touch()
    monkeypatch.setattr(tools, "version", lambda *_: "v9.8.7")
    program = build.Program(
        name="small",
        package="example.invalid/small/small",
        module=module,
        seconds=1,
        flags="-X main.version=v9.8.7",
    )
    monkeypatch.setattr(tools, "TOOLS", {"small": program})
    return module


@pytest.fixture
def go() -> str:
    found = build.find_go()
    if found is None:
        pytest.skip("the Go toolchain is not installed")
    return found


def test_a_tool_is_built_once_and_runs(tmp_path: Path, small: Path, go: str) -> None:
    assert small.exists()
    said: list[str] = []
    root = tmp_path / "root"
    tools.ensure(["small"], root=root, go=go, say=said.append)
    assert re.search(r"^Tools: building small with Go .*about 1 minute on", said[0])
    shown = subprocess.run([tools.path("small", root=root)], capture_output=True, text=True, check=True)  # noqa: S603
    assert shown.stderr == "small v9.8.7\n"
    said.clear()
    tools.ensure(["small"], root=root, go=go, say=said.append)
    assert said == []


def test_a_changed_pin_is_another_tool(tmp_path: Path, small: Path, go: str) -> None:
    root = tmp_path / "root"
    tools.ensure(["small"], root=root, go=go, say=lambda _: None)
    (small / "go.sum").write_text("example.invalid/other v1.0.0 h1:=\n")
    with pytest.raises(NotAvailableError, match="small is not built yet: make tools"):
        tools.path("small", root=root)


def test_without_go_the_message_says_what_to_do(tmp_path: Path, small: Path) -> None:
    assert small.exists()
    with pytest.raises(NoGoError, match=r"^small: not in the cache, .* Install Go 1\.26 or newer\.$"):
        tools.ensure(["small"], root=tmp_path / "root", go="")


def test_a_build_that_fails_shows_the_compilers_words(tmp_path: Path, small: Path, go: str) -> None:
    (small / "small" / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(NotAvailableError, match="undefined: nonsense"):
        tools.ensure(["small"], root=tmp_path / "root", go=go, say=lambda _: None)
    assert [path.name for path in (tmp_path / "root").iterdir()] == [".lock"]


def test_every_tool_is_a_tool_line_of_its_module_with_a_version() -> None:
    for tool in tools.TOOLS.values():
        text = (tool.module / "go.mod").read_text()
        assert re.search(rf"^(tool |module )?\t?{re.escape(tool.package)}$", text, re.MULTILINE), tool.package
        assert re.fullmatch(r"v\d+\.\d+\.\d+|[0-9a-f]{12}", tools.version(tool.package, tool.module))
        assert tool.flags.endswith(f"={tools.version(tool.package, tool.module)}")


@pytest.mark.parametrize(
    ("option", "ci", "code", "reason"),
    [
        ("--if-possible", "", 0, "a machine without Go passes `make test`, and is told what it leaves out"),
        ("--if-possible", "true", 1, "CI must not leave anything out unnoticed"),
        ("--quiet", "", 1, "who asks for the tools wants them"),
    ],
)
def test_the_command_without_go(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    option: str,
    ci: str,
    code: int,
    reason: str,
) -> None:
    monkeypatch.setenv("METHODSECRET_CACHE", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(build, "find_go", lambda: None)
    assert main(["helm", "--quiet", option]) == code, reason
    told = capsys.readouterr().err
    assert told.startswith("helm: not in the cache, and there is no go command")
    assert ("skipped" in told) == (code == 0)
