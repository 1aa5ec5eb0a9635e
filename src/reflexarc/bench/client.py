"""What our own code costs: its import, its decoder, and a chain of brains."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from reflexarc.actions import JsonActions
from reflexarc.bench.figure import Figure
from reflexarc.decoder import judge_any
from reflexarc.errors import LLMError, ServerError
from reflexarc.llm import LLM
from reflexarc.prompt import written
from reflexarc.resilience import Breaker, Deadline, Failover, Retry
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, TextDelta

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
