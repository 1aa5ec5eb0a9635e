"""What it costs to remember: the wait for the disk, and what the event loop notices of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

from reflexarc.bench.figure import Figure
from reflexarc.memory import Deed, Memory, Tick
from reflexarc.prompt import Prompt
from reflexarc.types import Message, Usage

_TURNS = 10
_PERIOD_S = 0.001

_TEXT = '{"actions":[{"type":"move","value":"sit"},{"type":"speak","value":"Okay, I will sit."}]}'


def bench_memory(ticks: int = 1000) -> Iterator[Figure]:
    """Remember ticks, one after the other, and watch the event loop meanwhile.

    Parameters
    ----------
    ticks : int, default 1000
        How many, at least 2.

    Yields
    ------
    Figure
        Times to disk; how late the loop was at most, and how late without it.
    """
    gc.freeze()  # as `run` does: a pass over all that was imported stops the loop for 20 ms
    try:
        with TemporaryDirectory(dir=Path.home()) as folder:  # /tmp may be no disk
            waits_s, late_s, late_without_s = asyncio.run(
                _measure(Path(folder) / "bench.sqlite3", ticks)
            )
    finally:
        gc.unfreeze()
    cuts = quantiles(waits_s, n=20)
    note = f"{ticks} ticks, each with {_TURNS} past ones"
    yield Figure("memory: a tick to disk, p50", 1e3 * cuts[9], "ms", note)
    yield Figure("memory: a tick to disk, p95", 1e3 * cuts[18], "ms", note)
    (late, worst), (without, worst_without) = map(_told, (late_s, late_without_s))
    note = f"at most {worst:.2g} ms; without it {without:.2g} ms, at most {worst_without:.2g} ms"
    yield Figure("memory: event loop late by, p99", late, "ms", note)


def _told(late_s: list[float]) -> tuple[float, float]:
    """The 99th percentile and the most, in milliseconds."""
    return 1e3 * quantiles(late_s, n=100)[98], 1e3 * max(late_s)


async def _measure(path: Path, ticks: int) -> tuple[list[float], list[float], list[float]]:
    """Each wait; how late the loop was meanwhile, and in the same time without."""
    waits_s: list[float] = []
    async with Memory(path, "bench") as memory:
        await memory.remember(_tick(0))  # opens the file
        watch = asyncio.create_task(_lateness())
        begun = perf_counter()
        for number in range(ticks):
            tick = _tick(number)
            started = perf_counter()
            await memory.remember(tick)
            waits_s.append(perf_counter() - started)
        took_s = perf_counter() - begun
        late_s = await _stopped(watch)
    watch = asyncio.create_task(_lateness())
    await asyncio.sleep(took_s)
    return waits_s, late_s, await _stopped(watch)


async def _lateness() -> list[float]:
    """Until cancelled: how late the loop came back each time, in seconds."""
    late_s: list[float] = []
    with suppress(asyncio.CancelledError):
        while True:
            due = perf_counter() + _PERIOD_S
            await asyncio.sleep(_PERIOD_S)
            late_s.append(perf_counter() - due)
    return late_s


async def _stopped(watch: asyncio.Task[list[float]]) -> list[float]:
    watch.cancel()
    return await watch


def _tick(number: int) -> Tick:
    turn = (Message("user", "A person says: come here, Spot!"), Message("assistant", _TEXT))
    return Tick(
        datetime.now(UTC),
        Prompt(system="You are Spot. " * 200, history=turn * _TURNS, situation=f"Sound {number}."),
        (Deed("move", "sit", 0.1), Deed("speak", "Okay, I will sit.", 0.4)),
        _TEXT,
        provider="OnboardLLM",
        model="bench",
        first_action_s=0.1,
        total_s=0.5,
        usage=Usage(1200, 30, 1180),
    )
