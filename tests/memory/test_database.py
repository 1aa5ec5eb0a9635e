"""What goes wrong with files and disks, and what is said of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from reflexarc.errors import StorageError
from reflexarc.memory import Memory, Store
from reflexarc.memory.database import FORMAT
from tests.memory.ticks import ACTIONS, ask, tick

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory with some ticks."""
    path = tmp_path / "spot.sqlite3"
    with Store(path) as store, store.together():
        for number in range(300):
            store.add(tick(f"{number} ".ljust(2000, "x")), "spot", ACTIONS)
    return path


def refused(path: Path, *, readonly: bool = False) -> StorageError:
    """The error that opening it ends in."""
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StorageError) as caught, Store(path, readonly=readonly) as store:
        list(store)
    assert (path.read_bytes() if path.is_file() else b"") == before
    return caught.value


@pytest.mark.parametrize("readonly", [False, True])
def test_what_is_no_database_is_left_as_it_is(tmp_path: Path, readonly: bool) -> None:
    """The sentence has the command that moves it away."""
    path = tmp_path / "a b.sqlite3"
    path.write_bytes(b"This is a shopping list. " * 100)
    error = refused(path, readonly=readonly)
    assert "is damaged (file is not a database); nothing of it was deleted" in error.message
    assert error.message.endswith(f"mv '{path}' '{path}.damaged'")
    assert (error.kind, error.retryable) == ("storage", False)


def test_a_page_that_was_overwritten_is_noticed_when_it_is_opened(path: Path) -> None:
    """Not in the middle of the night: the file is checked before the robot writes to it."""
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096 * 40))
    error = refused(path)
    assert f"the memory {path} is damaged (" in error.message
    assert "\n" not in error.message
    assert "is damaged" in refused(path, readonly=True).message


def test_a_file_that_was_cut_is_noticed(path: Path) -> None:
    """As a copy that was not finished."""
    os.truncate(path, path.stat().st_size // 2)
    assert "is damaged (" in refused(path).message


def test_somebody_else_s_database_is_not_written_to(tmp_path: Path) -> None:
    """Whatever its version says."""
    path = tmp_path / "books.db"
    ask(path, "CREATE TABLE books (title TEXT)")
    for readonly in (False, True):
        message = refused(path, readonly=readonly).message
        assert message == f"{path} is a database of something else; name another file"
    assert ask(path, "PRAGMA journal_mode") == [("delete",)]


def test_a_newer_format_is_left_alone(path: Path) -> None:
    """With what to do about it."""
    ask(path, f"PRAGMA user_version = {FORMAT + 1}")
    for readonly in (False, True):
        message = refused(path, readonly=readonly).message
        assert f"was written by a newer reflexarc (format {FORMAT + 1}" in message
        assert "update reflexarc" in message


def test_what_is_not_there_cannot_be_looked_at(tmp_path: Path) -> None:
    """And is not made by looking."""
    path = tmp_path / "none.sqlite3"
    assert "there is no memory" in refused(path, readonly=True).message
    assert not path.exists()


def test_a_folder_is_no_memory(tmp_path: Path) -> None:
    """Nor is what lies below a file."""
    assert "cannot be opened or written (" in refused(tmp_path).message
    (tmp_path / "file").touch()
    error = refused(tmp_path / "file" / "spot.sqlite3")
    assert "cannot be opened or written (its folder is a file)" in error.message
    assert error.retryable


def test_a_row_that_somebody_has_changed_is_named(path: Path) -> None:
    """By its number, so that it can be mended."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE ticks SET actions = '[{\"kind\": 1}]' WHERE id = 7")
        db.commit()
    assert f"tick 7 of the memory {path} is not as it was written" in refused(path).message


def test_who_writes_for_ever_is_waited_for_only_so_long(path: Path) -> None:
    """Then the sentence says so, and the next time it may work."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other, Store(path) as store:
        store._db.execute("PRAGMA busy_timeout = 50")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another program has been writing") as caught:
            store.add(tick(), "spot", ACTIONS)
        assert caught.value.retryable
        other.execute("ROLLBACK")
        assert store.add(tick(), "spot", ACTIONS) == 301


def test_a_full_disk_is_told_and_a_tick_fits_again_later(path: Path) -> None:
    """SQLite's own limit of pages stands for the disk's."""
    with Store(path) as store:
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError, match="is full") as caught:
            store.add(tick("x" * 90_000), "spot", ACTIONS)
        assert "free some space" in caught.value.message
        assert caught.value.retryable
        store._db.execute("PRAGMA max_page_count = 100000")
        store.add(tick("x" * 9000), "spot", ACTIONS)
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from reflexarc.errors import StorageError
from reflexarc.memory import Memory
from tests.memory.ticks import tick

def most(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    async with Memory(Path(sys.argv[1]), "spot") as memory:
        await memory.remember(tick("before"))
        most(100_000)
        failed = 0
        for _ in range(20):
            try:
                await memory.remember(tick("x" * 20_000))
            except StorageError as error:
                failed += 1
                last = error
        assert failed > 10, failed
        print(last)
        most(resource.RLIM_INFINITY)
        print((await memory.remember(tick("after"))).id)

asyncio.run(main())
"""


def run(script: str, path: Path) -> list[str]:
    """Run a script beside this one."""
    result = subprocess.run(
        (sys.executable, "-c", script, path),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_file_that_may_not_grow_is_told_and_grows_again_later(tmp_path: Path) -> None:
    """The system refuses to write more; what was acknowledged stays, and the robot goes on."""
    path = tmp_path / "spot.sqlite3"
    said, number = run(LIMITED, path)
    assert "check the disk, and the space on it" in said
    with Store(path) as store:
        ticks = [*store]
    assert ticks[0].prompt.situation == "before"
    assert (ticks[-1].prompt.situation, ticks[-1].id) == ("after", int(number))
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = (mount or "mount", "-t", "tmpfs", "-o", "size=600k", "none", str(disk))
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(("umount", disk), check=True)


async def test_a_disk_that_is_full_gets_its_next_ticks_later(small_disk: Path) -> None:
    """A real one: the robot is told each time, and goes on when there is space again."""
    ballast = small_disk / "ballast"
    ballast.touch()
    async with Memory(small_disk / "spot.sqlite3", "spot") as memory:
        await memory.remember(tick("before"))
        await asyncio.to_thread(_fill, ballast)
        messages: set[str] = set()
        for _ in range(9):
            try:
                await memory.remember(tick("x" * 50_000))
            except StorageError as error:
                messages.add(error.message)
        assert messages
        assert all("disk" in each for each in messages)
        await asyncio.to_thread(ballast.unlink)
        last = await memory.remember(tick("after"))
        found = await memory.ticks(99)
    assert (found[0].prompt.situation, found[-1].id) == ("before", last.id)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 1024):
            pass


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from reflexarc.errors import StorageError
from reflexarc.memory import Store
from tests.memory.ticks import tick

if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
path = Path(sys.argv[1])
try:
    Store(path).add(tick(), "spot", ())
except StorageError as error:
    print(error)
try:
    with Store(path, readonly=True) as store:
        print(len(store.ticks()))
except StorageError as error:
    print(error)
"""


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nobody may write, with a memory that all may read."""
    folder = Path(subprocess.check_output(("mktemp", "-d"), text=True).strip())
    path = folder / "spot.sqlite3"
    with Store(path) as store:
        store.add(tick(), "spot", ACTIONS)
    path.chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_what_may_not_be_written_can_be_looked_at(closed_folder: Path) -> None:
    """As on a disk that is mounted for reading only."""
    said, count = run(UNPRIVILEGED, closed_folder / "spot.sqlite3")
    assert "cannot be opened or written" in said
    assert count == "1"


def test_a_folder_without_permission_is_told(closed_folder: Path) -> None:
    """With what is missing."""
    wrote, read = run(UNPRIVILEGED, closed_folder / "new" / "spot.sqlite3")
    assert "cannot be opened or written (Permission denied)" in wrote
    assert "give this user the right to it" in wrote
    assert "there is no memory" in read
    closed_folder.chmod(0o000)
    try:
        wrote, _ = run(UNPRIVILEGED, closed_folder / "spot.sqlite3")
    finally:
        closed_folder.chmod(0o555)
    assert "cannot be opened or written" in wrote
