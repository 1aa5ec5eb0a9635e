"""What ``reflexarc bench`` measures, each by a function that gives figures.

Times on a shared machine are noisy: compare figures of one run with each other, not runs.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from reflexarc.actions import JsonActions
from reflexarc.config import RobotConfig, validate
from reflexarc.decoder import judge_any
from reflexarc.errors import LLMError, ServerError
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt, written
from reflexarc.registry import load_llm
from reflexarc.resilience import Breaker, Deadline, Failover, Retry
from reflexarc.source import Source
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, ActionReady, Finished, Message, TextDelta
from reflexarc.vocabulary import Vocabulary

NAMES = ("import", "decoder", "chain", "onboard")
"""What can be measured."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Parameters
    ----------
    name : str
        What it is.
    value : float
        How much.
    unit : str
        Of what: ``"ms"``, ``"MB"``, ``"us"``, ``"us/token"``, ``"%"``, ``"times"``.
    note : str, default ""
        How it was measured.
    """

    name: str
    value: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name:<44} {self.value:>9.4g} {self.unit:<9} {self.note}"

    def to_dict(self) -> dict[str, Any]:
        """The figure as one JSON object."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "note": self.note}


def measure(what: Iterable[str], robot: RobotConfig | None = None) -> Iterator[Figure]:
    """Run benches, and give each figure when it is known.

    Parameters
    ----------
    what : iterable of str
        Some of `NAMES`.
    robot : RobotConfig or None, default None
        The robot of the on-board bench; None is a dog with a short prompt.

    Yields
    ------
    Figure
    """
    benches: Mapping[str, Callable[[], Iterator[Figure]]] = {
        "import": bench_import,
        "decoder": bench_decoder,
        "chain": bench_chain,
        "onboard": partial(bench_onboard, robot or _dog()),
    }
    for name in what:
        yield from benches[name]()


# Runs in a process of its own. VmHWM, not getrusage: that one counts the parent's memory as well.
_IMPORT = """
import sys, time
begun = time.perf_counter()
import pydantic.main
floor = time.perf_counter() - begun
import reflexarc
spent = time.perf_counter() - begun
sdks = {"aiohttp", "mistralai", "llama_api_client", "xllamacpp", "openai"} & set(sys.modules)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(spent * 1e3, floor * 1e3, int(status["VmHWM"].split()[0]) / 1e3, len(sdks))
"""


def bench_import(rounds: int = 9) -> Iterator[Figure]:
    """Measure ``import reflexarc`` in fresh interpreters.

    Parameters
    ----------
    rounds : int, default 9
        Interpreters started; the median counts.

    Yields
    ------
    Figure
    """
    runs = [
        [float(part) for part in _output([sys.executable, "-c", _IMPORT]).split()]
        for _ in range(rounds)
    ]
    times, floors, memory, sdks = zip(*runs, strict=True)
    note = f"median of {rounds} fresh interpreters"
    floor = f"{statistics.median(floors):.0f} ms of it are pydantic, {note}"
    yield Figure("import reflexarc", statistics.median(times), "ms", floor)
    yield Figure(
        "memory after import", statistics.median(memory), "MB", "resident, peak, whole process"
    )
    yield Figure("SDKs and clients loaded by it", max(sdks), "", "of 5 looked for")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def bench_decoder(piece: int = 4) -> Iterator[Figure]:
    """Measure the decoder on answers of 2 kB, 32 kB and 1 MB.

    Parameters
    ----------
    piece : int, default 4
        Characters of a token.

    Yields
    ------
    Figure
    """
    for size, rounds in ((2_000, 50), (32_000, 5), (1_000_000, 1)):
        action = Action(type="speak", value='Hello {there}, "friend", how are you today?')
        answer = written([action] * (size // 75))
        pieces = [TextDelta(answer[at : at + piece]) for at in range(0, len(answer), piece)]
        times = [_time(lambda: _decode(pieces)) for _ in range(rounds)]  # noqa: B023 - runs at once
        per_token = statistics.median(times) / len(pieces) * 1e6
        note = f"{len(pieces)} tokens, {size // 75} actions, median of {rounds}"
        yield Figure(f"decoder, answer of {len(answer) / 1e3:.0f} kB", per_token, "us/token", note)


def _decode(pieces: Sequence[TextDelta]) -> None:
    decoder = JsonActions(judge_any)
    for piece in pieces:
        decoder.feed(piece)
    decoder.close("finished")


def _time(function: Callable[[], None]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def bench_chain(tokens: int = 400, rounds: int = 50) -> Iterator[Figure]:
    """Measure what a chain of brains adds to the first of them, which answers at once.

    Parameters
    ----------
    tokens : int, default 400
        Pieces of the answer.
    rounds : int, default 50
        Questions asked of each; the median counts.

    Yields
    ------
    Figure
    """
    sit = Action(type="move", value="sit")

    def brain(*events: Any, failure: LLMError | None = None) -> LLM[Any]:
        return ScriptedLLM(Turn(events, failure=failure))

    def chain(first: LLM[Any]) -> LLM[Any]:
        return Deadline(Failover[Any]([Breaker(Retry(first)), brain(sit)]), timeout=3)

    async def question_s(llm: LLM[Any]) -> float:
        times: list[float] = []
        for _ in range(rounds):
            begun = time.perf_counter()
            async for _event in llm.stream("go"):
                pass
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    async def figures() -> list[float]:
        short, long = brain(sit), brain(sit, *[TextDelta(" ")] * tokens)
        times = [await question_s(each) for each in (short, chain(short), long, chain(long))]
        broken = Breaker(brain(failure=ServerError("down")), failures=1)
        down: LLM[Any] = Deadline(Failover[Any]([broken, brain(sit)]), timeout=3)
        return [*times, await question_s(down)]

    bare, chained, bare_long, chained_long, skipped = asyncio.run(figures())
    note = f"beside the brain alone, median of {rounds}"
    per_token = max(0.0, chained_long - bare_long - (chained - bare)) / tokens
    yield Figure("chain: one question", (chained - bare) * 1e6, "us", f"added, {note}")
    yield Figure("chain: one token", per_token * 1e6, "us", f"added, {note}")
    yield Figure(
        "chain: past a brain that is down", (skipped - bare) * 1e6, "us", "to the next one's answer"
    )


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


def bench_onboard(robot: RobotConfig, ticks: int = 24) -> Iterator[Figure]:
    """Measure two starts of the on-board model, and its steady ticks after the second.

    Parameters
    ----------
    robot : RobotConfig
        Whose prompt and actions to use.
    ticks : int, default 24
        Measured.

    Yields
    ------
    Figure
    """
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
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    config = robot.cortex_llm.model_copy(update=more)
    finished: list[Finished] = []
    past: list[Message] = []
    async with load_llm(config, actions=vocabulary, environ=environ) as llm:
        engine_s = time.perf_counter() - begun
        await llm.warm(shown("", past))
        warm_s = time.perf_counter() - begun
        for tick in range(ticks):
            again = ", my friend" * (tick // len(_HEARD))  # no sentence twice
            heard = f"A person says: {_HEARD[tick % len(_HEARD)]}{again}"
            events = [event async for event in llm.stream(shown(heard, past))]
            finished += [event for event in events if isinstance(event, Finished)]
            done = [event.action for event in events if isinstance(event, ActionReady)]
            past += [Message("user", heard), Message("assistant", written(done))]
    return _Start(engine_s, warm_s, finished)
