"""What the model on board takes: two starts, its steady ticks, and its engine's time and memory."""

from __future__ import annotations

import asyncio
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
from reflexarc.config import RobotConfig, validate
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt, written
from reflexarc.registry import load_llm
from reflexarc.source import Source
from reflexarc.types import ActionReady, Finished, Message
from reflexarc.vocabulary import Vocabulary

_DOG: Mapping[str, Any] = {
    "name": "spot",
    "hertz": 1,
    "system_prompt_base": "You are Spot, a friendly robot dog.",
    "cortex_llm": {"type": "OnboardLLM", "config": {"timeout": 60}},
    "agent_actions": [
        {"name": "move", "llm_label": "move"},
        {"name": "emotion", "llm_label": "emotion"},
        {"name": "speak", "llm_label": "speak"},
    ],
}

_HEARD = (
    "please sit down", "come here boy", "give me your paw", "dance for us", "jump up", "good boy",
    "walk with me", "run to the door", "stop right there", "are you happy?", "go back a bit",
    "let me see you wag that tail",
)  # fmt: skip


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
    robot = robot or _dog()
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
        few = max(2, ticks // 4)
        with _busy(2):
            crowded = start(max(2, ticks // 2))
        # Both are asked for JSON, which the model writes after all that it has read.
        ours, theirs = (
            start(few, structured="grammar"),
            start(few, shown=_in_om1s_order(prompt), structured="grammar"),
        )
        engine = asyncio.run(_engine(robot, requests, environ))
    first, note = again.first_s(), f"{ticks} ticks"
    seconds = {
        "engine ready": (again.engine_s, "child started, model loaded"),
        "first start, ready": (new.warm_s, "reads the whole prompt, and keeps it on disk"),
        "second start, ready": (again.warm_s, "has the prompt from disk"),
        "first action, p50": (statistics.median(first), note),
        "first action, p95": (first[min(len(first) - 1, round(0.95 * len(first)))], note),
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
    times = [statistics.median(each.total_s for each in of.finished) for of in (theirs, ours)]
    how = f"tokens read a tick, {theirs.read()[1]:.0f} / {ours.read()[1]:.0f}"
    yield Figure(
        "on-board: read, OM1's prompt order / ours", theirs.read()[1] / ours.read()[1], "times", how
    )
    how = f"whole answers, p50, {times[0]:.2f} / {times[1]:.2f} s"
    yield Figure("on-board: time, OM1's prompt order / ours", times[0] / times[1], "times", how)
    yield from engine


def _with_history(prompt: Prompt) -> Callable[[str, list[Message]], Prompt]:
    """A past that grows at each tick, and of which the older half goes when it is long."""

    def shown(sensed: str, past: list[Message]) -> Prompt:
        if len(past) > _LONGEST_PAST:
            del past[: _LONGEST_PAST // 2]
        return prompt.at(sensed, past)

    return shown


def _in_om1s_order(prompt: Prompt) -> Callable[[str, list[Message]], Prompt]:
    """What is sensed between the persona and all the rest, as OM1's fuser has it."""
    persona, _, laws = prompt.system.partition("\n\n")

    def shown(sensed: str, _: list[Message]) -> Prompt:
        system = f"{persona}\n\n{sensed}\n\n{laws}"
        return replace(prompt, system=system, situation="What will you do?")

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


def _dog() -> RobotConfig:
    return validate(RobotConfig, dict(_DOG), Source("", "bench"), os.environ)


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
    async with _brain(robot, environ, more) as llm:
        engine_s = time.perf_counter() - begun
        await llm.warm(shown("", past))
        warm_s = time.perf_counter() - begun
        for heard in _heard(ticks):
            events = [event async for event in llm.stream(shown(heard, past))]
            finished += [event for event in events if isinstance(event, Finished)]
            done = [event.action for event in events if isinstance(event, ActionReady)]
            past += [Message("user", heard), Message("assistant", written(done))]
    return _Start(engine_s, warm_s, finished)


def _brain(robot: RobotConfig, environ: Mapping[str, str], more: Mapping[str, Any]) -> LLM[Any]:
    config = robot.cortex_llm.model_copy(update=more)
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    return load_llm(config, actions=vocabulary, environ=environ)


def _heard(ticks: int) -> Iterator[str]:
    """What is said at each tick; no sentence twice."""
    for tick in range(ticks):
        again = ", my friend" * (tick // len(_HEARD) % 4) + "!" * (tick // len(_HEARD) // 4)
        yield f"A person says: {_HEARD[tick % len(_HEARD)]}{again}"


async def _engine(robot: RobotConfig, requests: int, environ: Mapping[str, str]) -> list[Figure]:
    """How soon an engine is free again, and what it holds after many requests."""
    prompt = Prompt.for_robot(robot)
    before = await asyncio.to_thread(_children)
    async with _brain(robot, environ, {"max_tokens": _LONG}) as llm:
        [pid] = await asyncio.to_thread(_children) - before
        await llm.warm(prompt)
        freed = [await _freed_s(llm, prompt, pid) for _ in range(_CLOSED)]
        early_mb = 0.0
        for count, heard in enumerate(_heard(requests)):
            if count == requests // 10:
                early_mb = await asyncio.to_thread(_resident_mb, pid)
            await llm.ask(prompt.at(heard))
        last_mb = await asyncio.to_thread(_resident_mb, pid)
    how = f"the longest of {_CLOSED}, by the engine's CPU time"
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
