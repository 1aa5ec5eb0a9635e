"""What telemetry costs a tick and a token, beside the same brain without it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reflexarc.bench.figure import Figure
from reflexarc.llm import LLM
from reflexarc.memory import Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.runtime.events import TickEnded, TickStarted
from reflexarc.runtime.witness import Witness
from reflexarc.telemetry import (
    Journal,
    Measured,
    Metrics,
    TickSpans,
    Traced,
    has_prometheus,
)
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, TextDelta, Usage

TOKENS = 200

_SIT = Action(type="move", value="sit")
_TICK = Tick(
    datetime.now(UTC),
    Prompt(situation="go"),
    (Deed("move", "sit", 0.1),),
    provider="ScriptedLLM",
    model="scripted",
    first_action_s=0.1,
    total_s=0.5,
)

_PAUSE_S = 0.002  # in which a thread writes its line, so that this is not counted as the next one's

Around = Callable[[LLM[Any]], LLM[Any]]
_SetUps = dict[str, tuple[Around, Callable[[Any], None]]]


def bench_telemetry(rounds: int = 100) -> Iterator[Figure]:
    """Ask a scripted brain, alone and with each part of telemetry around it.

    Parameters
    ----------
    rounds : int, default 100
        Ticks of each, in turn with the others; the median counts.

    Yields
    ------
    Figure
        For each part whose packages are here: what it adds to a tick, and to a token.
    """
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), ["move"])
        measured = asyncio.run(_measure(_set_ups(journal), journal, rounds))
    alone_tick, alone_token = measured.pop("off")
    note = f"without telemetry: the brain's own; {TOKENS} tokens, median of {rounds}"
    yield Figure("telemetry: off, a tick", alone_tick * 1e6, "us", note)
    for name, (tick_s, token_s) in measured.items():
        yield Figure(f"telemetry: {name}, a tick", (tick_s - alone_tick) * 1e6, "us", "added")
        added = max(0.0, token_s - alone_token) * 1e6
        yield Figure(f"telemetry: {name}, a token", added, "us", "added")


async def _measure(
    set_ups: _SetUps, journal: Journal, rounds: int
) -> dict[str, tuple[float, float]]:
    """Seconds of a tick without text, and of one token, by what is on."""
    async with journal:
        times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in set_ups}
        for _ in range(rounds):
            for name, (around, observe) in set_ups.items():
                for kind, tokens in enumerate((0, TOKENS)):
                    brain = around(ScriptedLLM[Any](Turn(_events(tokens))))
                    times[name][kind].append(await _tick_s(brain, observe))
                    await asyncio.sleep(_PAUSE_S)
    medians = {name: [*map(statistics.median, each)] for name, each in times.items()}
    return {name: (short, (long - short) / TOKENS) for name, (short, long) in medians.items()}


def _events(tokens: int) -> tuple[Any, ...]:
    return (_SIT, *[TextDelta(" word")] * tokens, Usage(1000, 50, 900))


async def _tick_s(brain: LLM[Any], observe: Callable[[Any], None]) -> float:
    begun = time.perf_counter()
    observe(TickStarted(1, "go"))
    async for _ in brain.stream("go"):
        pass
    observe(TickEnded(1, _TICK))
    return time.perf_counter() - begun


def _set_ups(journal: Journal) -> _SetUps:
    """What can be on: what is put around a brain, and who is told of ticks."""
    parts: dict[str, dict[str, Any]] = {"traces": {"journal": journal}}
    arounds: dict[str, Around] = {}
    if has_prometheus():
        metrics = Metrics("bench", ["move"])
        parts["metrics"] = {"metrics": metrics}
        arounds["metrics"] = lambda llm: Measured(llm, metrics)
    with suppress(ImportError):
        from opentelemetry.sdk.trace import TracerProvider

        provider = TracerProvider(shutdown_on_exit=False)  # makes spans, and sends them nowhere
        parts["spans"] = {"spans": TickSpans("bench", tracer_provider=provider)}
        arounds["spans"] = lambda llm: Traced(llm, tracer_provider=provider)
    watched = {
        name: (arounds.get(name, _bare), Witness(1000, **part).observe)
        for name, part in parts.items()
    }
    return {"off": (_bare, _deaf), **watched}


def _bare(llm: LLM[Any]) -> LLM[Any]:
    return llm


def _deaf(_: object) -> None:
    return
