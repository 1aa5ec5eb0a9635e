"""What the model on board takes: two starts, its steady ticks, and its engine's time and memory."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reflexarc.bench.figure import Figure
from reflexarc.bench.pattern import against_om1
from reflexarc.bench.robot import brain, dog, heard
from reflexarc.config import RobotConfig
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt, written
from reflexarc.types import ActionReady, Finished, Message

_LONGEST_PAST = 20  # messages: ten ticks


@dataclass(frozen=True, slots=True)
class _Start:
    """One start of the on-board model: seconds to each point, from before it, and its ticks."""

    engine_s: float
    warm_s: float
    finished: list[Finished]

    def first_s(self) -> list[float]:
        """Seconds to each tick's first action, the shortest first."""
        return sorted(each.first_action_s or each.total_s for each in self.finished)

    def read(self) -> tuple[float, float]:
        """Prompt tokens of a tick, and those of them that were read, by the server's own count."""
        usage = [each.usage for each in self.finished if each.usage]
        prompt = sum(each.prompt_tokens for each in usage) / len(usage)
        return prompt, prompt - sum(each.cached_tokens for each in usage) / len(usage)


def bench_onboard(
    robot: RobotConfig | None = None, ticks: int = 24, requests: int = 300
) -> Iterator[Figure]:
    """Measure two starts of the on-board model, its steady ticks after the second, and its engine.

    Parameters
    ----------
    robot : RobotConfig or None, default None
        Whose prompt and actions to use; None is a dog with a short prompt.
    ticks : int, default 24
        Measured.
    requests : int, default 300
        Asked of one engine, to see whether its memory grows.

    Yields
    ------
    Figure
    """
    robot = robot or dog()
    prompt = Prompt.for_robot(robot)
    with TemporaryDirectory() as cache:  # so that the first start finds no prompt kept
        environ = {**os.environ, "XDG_CACHE_HOME": cache}

        def start(
            count: int = ticks,
            shown: Callable[[str, list[Message]], Prompt] = lambda sensed, _: prompt.at(sensed),
            **more: Any,
        ) -> _Start:
            return asyncio.run(_start(robot, count, environ, shown, more))

        new, again, remembering = start(1), start(), start(shown=_with_history(prompt))
        with _busy(2):
            crowded = start(max(2, ticks // 2))
        against = asyncio.run(against_om1(robot, max(1, ticks // 2), environ))
        engine = asyncio.run(_engine(robot, requests, environ))
    first, note = again.first_s(), f"{ticks} ticks"
    seconds = {
        "engine ready": (again.engine_s, "child started, model loaded"),
        "first start, ready": (new.warm_s, "reads the whole prompt, and keeps it on disk"),
        "second start, ready": (again.warm_s, "has the prompt from disk"),
        "first action, p50": (statistics.median(first), note),
        "first action, p95": (first[math.ceil(0.95 * len(first)) - 1], note),
        "first action, p50, crowded": (
            statistics.median(crowded.first_s()),
            "two busy loops beside it",
        ),
        "whole answer, p50": (statistics.median(each.total_s for each in again.finished), note),
    }
    for name, (value, how) in seconds.items():
        yield Figure(f"on-board: {name}", value, "s", how)
    for name, of in (("", again), (" with history", remembering)):
        whole, read = of.read()
        how = f"of {whole:.0f} a tick, by the server's own count"
        yield Figure(f"on-board: prompt tokens reused{name}", 100 * (1 - read / whole), "%", how)
    yield from against
    yield from engine


def _with_history(prompt: Prompt) -> Callable[[str, list[Message]], Prompt]:
    """A past that grows at each tick, and of which the older half goes when it is long."""

    def shown(sensed: str, past: list[Message]) -> Prompt:
        if len(past) > _LONGEST_PAST:
            del past[: _LONGEST_PAST // 2]
        return prompt.at(sensed, past)

    return shown


@contextmanager
def _busy(count: int) -> Generator[None]:
    """Processes that compute without end."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


async def _start(
    robot: RobotConfig,
    ticks: int,
    environ: Mapping[str, str],
    shown: Callable[[str, list[Message]], Prompt],
    more: Mapping[str, Any],
) -> _Start:
    begun = time.perf_counter()
    past: list[Message] = []
    finished: list[Finished] = []
    async with brain(robot, environ, more) as llm:
        engine_s = time.perf_counter() - begun
        await llm.warm(shown("", past))
        warm_s = time.perf_counter() - begun
        for said in heard(ticks):
            events = [event async for event in llm.stream(shown(said, past))]
            finished += [event for event in events if isinstance(event, Finished)]
            done = [event.action for event in events if isinstance(event, ActionReady)]
            past += [Message("user", said), Message("assistant", written(done))]
    return _Start(engine_s, warm_s, finished)


async def _engine(robot: RobotConfig, requests: int, environ: Mapping[str, str]) -> list[Figure]:
    """How soon an engine is free again, and what it holds after many requests."""
    prompt = Prompt.for_robot(robot)
    before = await asyncio.to_thread(_children)
    async with brain(robot, environ, {"max_tokens": _LONG}) as llm:
        [pid] = await asyncio.to_thread(_children) - before
        await llm.warm(prompt)
        closed = min(_CLOSED, requests)
        freed = [await _freed_s(llm, prompt, pid) for _ in range(closed)]
        early_mb = 0.0
        for count, said in enumerate(heard(requests)):
            if count == requests // 10:
                early_mb = await asyncio.to_thread(_resident_mb, pid)
            await llm.ask(prompt.at(said))
        last_mb = await asyncio.to_thread(_resident_mb, pid)
    how = f"the longest of {closed}, by the engine's CPU time"
    grown = f"resident, after {requests} requests; {early_mb:.1f} after a tenth of them"
    return [
        Figure("on-board: free after an answer is left", max(freed), "s", how),
        Figure("on-board: memory of the engine", last_mb, "MB", grown),
    ]


_LONG = 2000  # tokens
_CLOSED = 5  # answers
_WATCHED_S = 0.5


async def _freed_s(llm: LLM[Any], prompt: Prompt, pid: int) -> float:
    """Seconds from leaving an answer, once it has begun, to the last moment the engine computes."""
    story = replace(prompt.at("Tell a very long story of a robot."), is_plain=True)
    async with aclosing(llm.stream(story)) as events:
        await anext(events)
    return await asyncio.to_thread(_worked_s, pid)


def _worked_s(pid: int) -> float:
    """Seconds until a process has computed for the last time, of the next `_WATCHED_S`."""
    begun = last = time.perf_counter()
    worked = _cpu_ticks(pid)
    while time.perf_counter() - begun < _WATCHED_S:
        time.sleep(0.005)
        if (now := _cpu_ticks(pid)) > worked:
            worked, last = now, time.perf_counter()
    return last - begun


def _children() -> set[int]:
    threads = Path("/proc/self/task").glob("*/children")
    return {int(child) for thread in threads for child in thread.read_text().split()}


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # utime and stime, proc_pid_stat(5)


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
