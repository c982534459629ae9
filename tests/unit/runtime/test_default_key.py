"""The operator's own API key, on a real file that is swapped as the kubelet swaps it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from methodsecret_operator.runtime import default_key
from methodsecret_operator.runtime.default_key import DefaultKey


class Mount:
    """A Secret volume: data in a dated folder, `..data` a link to it, the key a link through that."""

    def __init__(self, root: Path) -> None:
        self.path = root / "api-key"
        self._root = root
        self._count = 0

    def swap(self, content: bytes) -> None:
        """Put new content in place as the kubelet does: a new folder, then the link renamed over the old."""
        self._count += 1
        folder = self._root / f"..{self._count}"
        folder.mkdir()
        (folder / "api-key").write_bytes(content)
        link = self._root / "..data_tmp"
        link.symlink_to(folder.name)
        os.replace(link, self._root / "..data")  # noqa: PTH105 - what the kubelet does
        if not self.path.is_symlink():
            self.path.symlink_to("..data/api-key")


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


def text(key: DefaultKey) -> str | None:
    return None if key.value is None else key.value.get_secret_value()


def test_a_key_from_a_setting_never_changes() -> None:
    key = DefaultKey(api_key=SecretStr("sk_1"), path=None)
    assert (text(key), key.refresh()) == ("sk_1", False)


def test_no_key_at_all() -> None:
    key = DefaultKey(api_key=None, path=None)
    assert (text(key), key.refresh()) == (None, False)


def test_the_file_is_read_at_once_and_its_last_newline_is_not_the_keys(mount: Mount) -> None:
    mount.swap(b" sk_1\r\n")
    key = DefaultKey(api_key=None, path=mount.path)
    assert (text(key), key.refresh()) == ("sk_1", False)


def test_a_swap_is_seen_once(mount: Mount) -> None:
    mount.swap(b"sk_1\n")
    key = DefaultKey(api_key=None, path=mount.path)
    mount.swap(b"sk_2\n")  # as long as the former
    assert [key.refresh(), text(key), key.refresh()] == [True, "sk_2", False]


def test_a_swap_to_the_same_key_is_no_change(mount: Mount) -> None:
    mount.swap(b"sk_1")
    key = DefaultKey(api_key=None, path=mount.path)
    mount.swap(b"sk_1\n")
    assert (key.refresh(), text(key)) == (False, "sk_1")


def test_a_file_written_in_place_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk_1", encoding="utf-8")
    key = DefaultKey(api_key=None, path=path)
    path.write_text("sk_22", encoding="utf-8")
    assert (key.refresh(), text(key)) == (True, "sk_22")


def test_a_missing_file_may_come_later(mount: Mount) -> None:
    key = DefaultKey(api_key=None, path=mount.path)
    assert (text(key), key.refresh()) == (None, False)
    mount.swap(b"sk_1")
    assert (key.refresh(), text(key)) == (True, "sk_1")


def test_a_missing_file_is_told_at_once_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mistyped"
    with structlog.testing.capture_logs() as logs:
        DefaultKey(api_key=None, path=path)
    assert [(line["log_level"], line["path"]) for line in logs] == [("warning", str(path))]


def test_a_key_that_is_there_is_no_news(mount: Mount) -> None:
    mount.swap(b"sk_1")
    with structlog.testing.capture_logs() as logs:
        DefaultKey(api_key=None, path=mount.path)
    assert logs == []


def test_a_file_that_vanishes_and_comes_back(mount: Mount) -> None:
    mount.swap(b"sk_1")
    key = DefaultKey(api_key=None, path=mount.path)
    mount.path.unlink()
    assert [key.refresh(), text(key), key.refresh()] == [True, None, False]
    mount.path.symlink_to("..data/api-key")  # the very file that was seen before
    assert [key.refresh(), text(key)] == [True, "sk_1"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b" \n"], ids=["not UTF-8", "empty", "white space"])
def test_what_is_no_key_is_none_until_it_is_mended(mount: Mount, content: bytes) -> None:
    mount.swap(b"sk_1")
    key = DefaultKey(api_key=None, path=mount.path)
    mount.swap(content)
    assert [key.refresh(), text(key), key.refresh()] == [True, None, False]
    mount.swap(b"sk_2")
    assert [key.refresh(), text(key)] == [True, "sk_2"]


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    key = DefaultKey(api_key=None, path=tmp_path)
    assert (text(key), key.refresh()) == (None, False)


async def test_watching_tells_of_a_change_and_of_nothing_else(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_key, "_EVERY", 0.001)
    mount.swap(b"sk_1")
    key = DefaultKey(api_key=None, path=mount.path)
    told: asyncio.Queue[str | None] = asyncio.Queue()
    watching = asyncio.create_task(key.watch(changed=lambda: told.put_nowait(text(key))))
    mount.swap(b"sk_2")
    assert await asyncio.wait_for(told.get(), 10) == "sk_2"
    mount.path.unlink()
    assert await asyncio.wait_for(told.get(), 10) is None
    assert told.empty()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_without_a_file_there_is_nothing_to_watch() -> None:
    await DefaultKey(api_key=None, path=None).watch(changed=pytest.fail)


def test_no_key_is_printed(mount: Mount) -> None:
    mount.swap(b"canary-key")
    key = DefaultKey(api_key=None, path=mount.path)
    assert "canary-key" not in f"{key!r} {vars(key)}"
