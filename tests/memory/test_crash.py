"""A robot that is killed loses nothing that it was told is kept."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reflexarc.memory import Store
from tests.memory.ticks import ACTIONS, ask, tick

ROOT = Path(__file__).parents[2]


@contextmanager
def forker(path: Path, max_mb: float) -> Iterator[subprocess.Popen[str]]:
    """A process that starts children which remember; see there."""
    with subprocess.Popen(
        (sys.executable, "-m", "tests.memory.forker", str(path), str(max_mb)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def killed(process: subprocess.Popen[str], after_s: float) -> list[int]:
    """What a child acknowledged before it was killed without a warning."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    lines: list[str] = []
    while not lines or not lines[-1].startswith("pid"):  # the child may be quicker
        lines.append(process.stdout.readline().strip())
    time.sleep(after_s)
    os.kill(int(lines.pop().removeprefix("pid ")), signal.SIGKILL)
    lines += iter(lambda: process.stdout.readline().strip(), "end")
    return [*map(int, lines)]


def test_fifty_kills_lose_nothing_and_break_nothing(tmp_path: Path) -> None:
    """Each tick that was acknowledged is there, and the file is whole, at every one of them."""
    path = tmp_path / "spot.sqlite3"
    random.seed(17)
    acknowledged: set[int] = set()
    busy = 0
    with forker(path, 1000) as process:
        for _ in range(50):
            numbers = killed(process, random.uniform(0, 0.12))
            acknowledged.update(numbers)
            busy += bool(numbers)
            with Store(path) as store:  # as the robot that starts again
                kept = {each.id for each in store}
            assert ask(path, "PRAGMA integrity_check") == [("ok",)]
            assert acknowledged <= kept
    assert busy > 25
    assert len(acknowledged) > 200


def test_a_kill_while_old_ticks_are_removed_breaks_nothing(tmp_path: Path) -> None:
    """The newest that was acknowledged is there, and the limit is kept."""
    path = tmp_path / "spot.sqlite3"
    random.seed(18)
    with Store(path) as store, store.together():
        for _ in range(100):
            store.add(tick("x" * 10_000), "spot", ACTIONS)
    last = 0
    with forker(path, 0.3) as process:
        for _ in range(15):
            last = max([last, *killed(process, random.uniform(0.02, 0.12))])
            with Store(path, max_mb=0.3) as store:
                numbers = [each.id for each in store]
            assert ask(path, "PRAGMA integrity_check") == [("ok",)]
            assert last in numbers
    assert last > 120
    assert 1 not in numbers


def test_a_file_that_was_begun_and_not_finished_is_no_damage(tmp_path: Path) -> None:
    """A kill in the first moment leaves an empty file, or one without tables."""
    path = tmp_path / "spot.sqlite3"
    path.touch()
    with Store(path, readonly=True) as store:
        assert store.ticks() == []
    ask(path, "PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    with Store(path, readonly=True) as store:
        assert store.ticks() == []
    with Store(path) as store:
        assert store.add(tick(), "spot", ACTIONS) == 1


@pytest.mark.parametrize("cut", [0.999, 0.5])
def test_what_was_not_finished_beside_the_file_is_left_out(tmp_path: Path, cut: float) -> None:
    """As after a loss of power, when the last page of the log is half written."""
    path, copy = tmp_path / "spot.sqlite3", tmp_path / "copy.sqlite3"
    with Store(path) as store:
        for _ in range(10):
            store.add(tick("x" * 3000), "spot", ACTIONS)
        copy.write_bytes(path.read_bytes())
        log = path.with_name("spot.sqlite3-wal").read_bytes()
    copy.with_name("copy.sqlite3-wal").write_bytes(log[: int(len(log) * cut)])
    with Store(copy, readonly=True) as store:
        numbers = [each.id for each in store]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert 1 < len(numbers) < 10
    assert ask(copy, "PRAGMA integrity_check") == [("ok",)]
