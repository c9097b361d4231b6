"""Where the file is, and who may read it."""

# ruff: noqa: ASYNC240 - a test may wait for its own small files

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

import pytest

from kernel.contracts.store import RunQuery
from kernel.model.errors import ConfigError, StoreError
from plugins import sqlite
from plugins.sqlite.place import path_of
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL, news


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/mainspring.db", "var/mainspring.db"),
        ("sqlite:////var/lib/mainspring.db", "/var/lib/mainspring.db"),
        ("sqlite:///a%20b%3Fc.db", "a b?c.db"),
    ],
)
def test_a_url_names_a_relative_or_an_absolute_path(url: str, path: str) -> None:
    assert path_of(url) == Path(path)


@pytest.mark.parametrize(
    "url", ["sqlite://var/x.db", "sqlite:///", "sqlite:x.db", "sqlite:///x.db?mode=ro", "sqlite:///a%00b"]
)
def test_another_form_of_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("sqlite:///var/mainspring.db")):
        path_of(url)


def test_the_plugin_opens_its_own_scheme_and_no_other() -> None:
    store = sqlite.open_store("sqlite:////var/lib/mainspring.db")

    assert store is not None
    assert store.url == "sqlite:////var/lib/mainspring.db"
    assert sqlite.open_store("postgresql://localhost/x") is None


def test_a_relative_path_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("x.db")

    monkeypatch.chdir("/")

    assert store.url == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_nobody_else_can_read_what_a_new_store_puts_on_the_disk(path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        store = SqliteStore(path)
        await store.open(KERNEL)
        await store.enqueue(news(1), {})

        modes = {one.name: mode_of(one) for one in path.parent.iterdir()}
    finally:
        os.umask(before)
        await store.close()

    assert mode_of(path.parent) == 0o700
    assert modes.keys() == {"mainspring.db" + end for end in ("", "-wal", "-shm", ".lock", ".write")}
    assert set(modes.values()) == {0o600}


async def test_rights_that_are_too_wide_are_taken_away_and_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(path)
    await store.open(KERNEL)
    await store.close()
    path.chmod(0o644)

    with caplog.at_level(logging.WARNING):
        await store.open(KERNEL)
    await store.close()

    assert mode_of(path) == 0o600
    assert f"{path}: others could read it (mode 644)" in caplog.text


async def test_a_symbolic_link_in_the_place_of_the_file_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.db")

    with pytest.raises(ConfigError, match="symbolic link"):
        await SqliteStore(path).open(KERNEL)

    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize("end", [".lock", ".write"])
async def test_a_symbolic_link_in_the_place_of_a_lock_is_refused(path: Path, tmp_path: Path, end: str) -> None:
    path.parent.mkdir()
    path.with_name(path.name + end).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match=r"lock cannot be opened"):
        await SqliteStore(path).open(KERNEL)

    assert not (tmp_path / "elsewhere").exists()


async def test_a_folder_or_a_pipe_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="no ordinary file"):
        await SqliteStore(path).open(KERNEL)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="no ordinary file"):
        await SqliteStore(path).open(KERNEL)


async def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="choose a path that can be written"):
        await SqliteStore(tmp_path / "file" / "x.db").open(KERNEL)


@pytest.mark.parametrize("kind", ["deleted", "replaced"])
async def test_a_file_that_is_gone_or_another_one_is_told_and_never_written(
    path: Path, store: SqliteStore, kind: str
) -> None:
    aside = path.with_name("aside.db")
    await store.enqueue(news(1), {})
    path.rename(aside)
    if kind == "replaced":
        path.write_bytes(aside.read_bytes())
    before = path.read_bytes() if path.exists() else None

    with pytest.raises(StoreError, match=f"was {kind}"):
        await store.enqueue(news(1), {})
    with pytest.raises(StoreError, match=f"was {kind}"):
        await store.count(RunQuery())

    assert (path.read_bytes() if path.exists() else None) == before
    aside.replace(path)
    await store.enqueue(news(1), {})
    assert await store.count(RunQuery()) == {"queued": 2}


async def write_on(store: SqliteStore) -> None:
    while True:
        await store.enqueue(news(1), {})


@pytest.mark.parametrize("end", ["-wal", "-shm", ".lock", ".write"])
async def test_a_companion_of_the_file_that_is_gone_is_told_and_nothing_more_is_written(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr("plugins.sqlite.writer._CHECK_SECONDS", 0.0)
    companion = path.with_name(path.name + end)
    companion.rename(path.with_name("aside"))

    with pytest.raises(StoreError, match=f"{re.escape(str(companion))}: this file of the store was deleted"):
        await write_on(store)

    path.with_name("aside").rename(companion)
