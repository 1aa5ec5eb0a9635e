"""A memory as a robot's loop uses it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexarc.errors import StorageError
from reflexarc.memory import Memory, Past, Store
from reflexarc.memory.writer import MOST_WAITING, Writer
from tests.memory.ticks import ACTIONS, FULL, ask, tick


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is."""
    return tmp_path / "memory" / "spot.sqlite3"


def writers() -> list[threading.Thread]:
    """The threads that write."""
    return [each for each in threading.enumerate() if each.name == "memory"]


async def test_a_tick_is_remembered_with_its_number(path: Path) -> None:
    """And is there for the next start."""
    async with Memory(path, "spot", ACTIONS) as memory:
        assert await memory.remember(FULL) == replace(FULL, id=1)
        assert (await memory.remember(tick("two"))).id == 2
        await memory.summarise("It rained.", 1)
    async with Memory(path, "spot", ACTIONS) as memory:
        past = await memory.past(1)
        assert (past.summary, past.until, [each.id for each in past.ticks]) == (
            "It rained.",
            1,
            [2],
        )
        assert [each.id for each in await memory.ticks(10)] == [1, 2]
        assert [each.id for each in await memory.ticks(10, before=2)] == [1]
    assert repr(memory) == f"Memory('{path}', 'spot')"
    assert writers() == []


async def test_nothing_is_made_before_the_first_tick(path: Path) -> None:
    """A robot that has nothing to remember leaves no file."""
    async with Memory(path, "spot") as memory:
        assert await memory.past(5) == Past()
        assert await memory.ticks(5) == []
    assert not path.parent.exists()


async def test_ticks_are_kept_in_the_order_in_which_they_come(path: Path) -> None:
    """Also where many wait, and are written together."""
    async with Memory(path, "spot", ACTIONS) as memory:
        kept = await asyncio.gather(*(memory.remember(tick(str(n))) for n in range(300)))
        assert [each.id for each in kept] == list(range(1, 301))
        found = await memory.ticks(300)
    assert [each.prompt.situation for each in found] == [str(n) for n in range(300)]


async def test_who_gives_up_waiting_has_it_kept_all_the_same(path: Path) -> None:
    """A loop that is stopped in mid-tick loses none."""
    async with Memory(path, "spot", ACTIONS) as memory:
        waiting = [asyncio.create_task(memory.remember(tick(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in results)
        assert (await memory.remember(tick("after"))).id == 21
    assert ask(path, "SELECT count(*) FROM ticks") == [(21,)]


async def test_closing_waits_for_what_is_queued(path: Path) -> None:
    """And twice, or by two at once, does no harm."""
    memory = Memory(path, "spot", ACTIONS)
    await memory.aclose()
    await memory.__aenter__()
    waiting = [asyncio.create_task(memory.remember(tick())) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(memory.aclose(), memory.aclose())
    await memory.aclose()
    assert writers() == []
    assert ask(path, "SELECT count(*) FROM ticks") == [(50,)]
    assert [each.id for each in await asyncio.gather(*waiting)] == list(range(1, 51))


async def test_a_memory_that_is_not_open_says_so(path: Path) -> None:
    """Before and after."""
    memory = Memory(path, "spot")
    with pytest.raises(StorageError, match="open it with `async with`"):
        await memory.remember(tick())
    async with memory:
        pass
    with pytest.raises(StorageError, match="closed"):
        await memory.remember(tick())
    async with memory:
        assert (await memory.remember(tick())).id == 1


async def test_a_memory_that_fails_may_succeed_later(path: Path) -> None:
    """Nothing has to be started again: where the folder is mended, ticks are kept."""
    path.parent.write_text("no folder")
    async with Memory(path, "spot") as memory:
        for _ in range(2):
            with pytest.raises(StorageError, match="cannot be opened or written"):
                await memory.remember(tick())
        await asyncio.to_thread(path.parent.unlink)
        assert (await memory.remember(tick())).id == 1


async def test_a_memory_that_was_moved_away_is_begun_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ticks do not go to a file that nobody finds any more."""
    async with Memory(path, "spot") as memory:
        await memory.remember(tick("old"))
        await asyncio.to_thread(path.rename, path.with_name("old.sqlite3"))
        with caplog.at_level(logging.WARNING):
            await memory.remember(tick("new"))
        [found] = await memory.ticks(9)
    assert found.prompt.situation == "new"
    assert "was moved away" in caplog.text


async def test_what_cannot_be_written_harms_no_other(path: Path) -> None:
    """A bug in one order is told to the one who gave it, and the others are written."""
    bad: Any = replace(tick(), provider=object())
    async with Memory(path, "spot", ACTIONS) as memory:
        results = await asyncio.gather(
            *(memory.remember(each) for each in (tick("a"), bad, tick("b"))),
            return_exceptions=True,
        )
        assert [type(each).__name__ for each in results] == [
            "Tick",
            "ProgrammingError",
            "Tick",
        ] or ([type(each).__name__ for each in results] == ["Tick", "InterfaceError", "Tick"])
        assert [each.prompt.situation for each in await memory.ticks(9)] == ["a", "b"]


async def test_a_disk_that_hangs_does_not_fill_the_robot(path: Path) -> None:
    """One tick more than can wait is given up at once, with a sentence."""
    free = threading.Event()

    begun = threading.Event()

    def open_late() -> Store:
        begun.set()
        free.wait()
        return Store(path)

    writer = Writer(open_late)
    first = writer.submit(lambda store: store.add(tick("first"), "spot", ()))
    await asyncio.to_thread(begun.wait)
    rest = [writer.submit(lambda store: store.add(tick(), "spot", ())) for _ in range(MOST_WAITING)]
    with pytest.raises(StorageError, match="check the disk") as caught:
        writer.submit(lambda store: store.add(tick("too much"), "spot", ()))
    assert caught.value.retryable
    free.set()
    writer.close()
    await asyncio.to_thread(writer.join)
    assert [first.result(), rest[-1].result()] == [1, MOST_WAITING + 1]


async def test_two_processes_worth_of_writers_share_a_file(path: Path) -> None:
    """They wait for each other, and no tick of either is lost."""
    async with Memory(path, "spot", ACTIONS) as one, Memory(path, "bits", ACTIONS) as two:
        for _ in range(20):
            await asyncio.gather(one.remember(tick("one")), two.remember(tick("two")))
        assert len(await one.ticks(99)) == len(await two.ticks(99)) == 20
        assert {each.prompt.situation for each in await one.ticks(99)} == {"one"}


async def test_the_event_loop_goes_on_while_the_disk_does_not(path: Path) -> None:
    """Half a second in which nothing can be written costs the loop none of it."""
    loop = asyncio.get_running_loop()
    async with Memory(path, "spot", ACTIONS) as memory:
        await memory.remember(tick())
        other = await asyncio.to_thread(_locked, path)
        waiting = asyncio.create_task(memory.remember(tick()))
        late_s, until = 0.0, loop.time() + 0.5
        while loop.time() < until:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late_s = max(late_s, loop.time() - due)
        assert not waiting.done()
        await asyncio.to_thread(other.close)
        assert (await waiting).id == 2
    assert late_s < 0.25  # a busy machine may take some


def _locked(path: Path) -> sqlite3.Connection:
    """Somebody else who is about to write."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other
