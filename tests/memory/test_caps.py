"""A memory does not grow for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from reflexarc.memory import Memory, Store
from tests.memory.ticks import ACTIONS, PROMPT, ask, tick


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is."""
    return tmp_path / "spot.sqlite3"


def size(path: Path) -> int:
    """Bytes of the file."""
    return path.stat().st_size


def fill(path: Path, count: int, length: int) -> None:
    """Write long ticks, as one."""
    with Store(path) as store, store.together():
        for number in range(count):
            store.add(tick(f"{number} ".ljust(length, "x")), "spot", ACTIONS)


def test_the_oldest_ticks_go_where_there_are_too_many(path: Path) -> None:
    """The file shrinks below the limit, and holds nearly as much as it may."""
    fill(path, 600, 5000)
    assert size(path) > 3e6
    with Store(path, max_mb=1) as store:
        while store.tidy():
            pass
        first, *_, last = (each.id for each in store)
    assert last == 600
    assert 400 < (first or 0) < 500
    assert 0.7e6 < size(path) < 1.3e6
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_ticks_that_are_too_old_go(path: Path) -> None:
    """Also where one is out of order, since the clock was set."""
    with Store(path, max_days=2) as store:
        for days in (9, 1, 3, 1):
            store.add(tick(days=days), "spot", ACTIONS)
        assert store.tidy() is False
        assert [each.id for each in store] == [2, 4]


def test_the_newest_tick_stays(path: Path) -> None:
    """However old or long it is."""
    with Store(path, max_mb=0.0001, max_days=1) as store:
        store.add(tick(days=99), "spot", ACTIONS)
        store.add(tick("x" * 10_000, days=99), "spot", ACTIONS)
        assert store.tidy() is False
        assert [each.id for each in store] == [2]


def test_it_is_done_a_little_at_a_time(path: Path) -> None:
    """Nobody who wants to write waits long: a call removes 16 ticks."""
    fill(path, 50, 10)
    with Store(path, max_mb=0.0001) as store:
        assert store.tidy()
        assert len(store.ticks()) == 50 - 16


def test_a_prompt_goes_with_its_last_tick(path: Path) -> None:
    """What a robot was told in former times is not kept for ever."""
    with Store(path, max_days=1) as store:
        store.add(tick(days=3), "spot", ACTIONS[:1])
        store.add(tick(days=2), "spot", ACTIONS[:1])
        store.add(tick(), "spot", ACTIONS)
        store.tidy()
        assert [each.prompt.system for each in store] == [PROMPT.system]
    assert ask(path, "SELECT count(*) FROM prompts") == [(1,)]


def test_the_newest_summary_stays(path: Path) -> None:
    """It tells of what is gone; those before it have nothing to tell any more."""
    with Store(path, max_days=1) as store:
        for days in (4, 3, 0):
            number = store.add(tick(days=days), "spot", ACTIONS)
            store.summarise(f"until {number}", number)
        store.tidy()
        assert store.past(0).summary == "until 3"
    assert ask(path, "SELECT text FROM summaries") == [("until 3",)]


async def test_the_writer_keeps_to_the_limits(path: Path) -> None:
    """By itself, while it writes."""
    async with Memory(path, "spot", ACTIONS, max_mb=0.5) as memory:
        for number in range(200):
            last = await memory.remember(tick(f"{number} ".ljust(8000, "x")))
        ticks = await memory.ticks(1000)
    assert ticks[-1].id == last.id == 200
    assert 30 < len(ticks) < 100


async def test_nobody_waits_for_what_is_removed(path: Path) -> None:
    """Ten thousand ticks too many are in nobody's way: new ones are written in between."""
    await asyncio.to_thread(fill, path, 10_000, 10)
    async with Memory(path, "spot", ACTIONS, max_mb=0.2) as memory:
        await memory.remember(tick())
        started = monotonic()
        await memory.remember(tick())
        waited_s = monotonic() - started
        assert await memory.ticks(1, before=9000)  # it is not done with them
    assert waited_s < 1
