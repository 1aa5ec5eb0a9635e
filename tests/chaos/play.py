"""How a fault is played: a robot of one tick a second, and what is done to it meanwhile."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.runtime.loop import _CONNECT_EVERY_S
from reflexarc.testing import Received, Reply, Server
from reflexarc.types import ActionReady
from reflexarc.vocabulary import Vocabulary
from tests.leftovers import Leftovers, children

from .faults import Asked, Fault, Strike
from .judge import TIMEOUT_S, Judge, Tick
from .machine import WallClock, complaints, looked_up, untrusted, wall_clock
from .pulse import Pulse
from .row import Row

ROBOT = Path(__file__).parents[2] / "config" / "spot_onboard.json5"
PERIOD_S = 1.0
AROUND_S = 0.1  # before the deadline: there everything that ends in time by a clock has its place

# The model on board answers the questions with two actions, the others with three.
SITUATIONS = tuple(
    f"A person says: {what}"
    for what in (
        "who are you?",
        "sit!",
        "what time is it?",
        "jump!",
        "what is your name?",
        "dance!",
        "do nothing.",
    )
)
"""Which tick a request belongs to can be read from it: neighbouring ticks have other words."""


async def prepare() -> None:
    """Have the robot's prompt read once: each chain then takes it from disk."""
    robot = RobotConfig.load(ROBOT)
    made = LLMConfig(type="OnboardLLM")
    async with load_llm(made, actions=Vocabulary.from_actions(robot.agent_actions)) as llm:
        await llm.warm(Prompt.for_robot(robot))


async def play(fault: Fault) -> Row:
    """Play a fault from its beginning to its end."""
    row, began = Row(fault.name), time.monotonic()
    with complaints(row.unhandled), looked_up(fault.names), wall_clock() as clock:
        leftovers = Leftovers()
        async with Stage(fault, row, clock) as stage:
            for number in range(fault.rounds):
                await stage.play_round(number)
        row.leaked += await leftovers.wait()
        gc.unfreeze()
        gc.collect()  # what nobody has retrieved is told now
        await asyncio.sleep(0)
    if fault.is_met and stage.rounds_met < fault.rounds:
        row.missed.append(f"only {stage.rounds_met} rounds have reached the front")
    row.missed += [f"no tick was {each!r}" for each in fault.sees if not row.endings[each]]
    row.took_s = time.monotonic() - began
    return row


class Stage:
    """One fault being played: the scripted server, and a robot's chain after the other."""

    def __init__(self, fault: Fault, row: Row, clock: WallClock) -> None:
        self._fault = fault
        self._row = row
        self._clock = clock
        robot = RobotConfig.load(ROBOT)
        self._vocabulary = Vocabulary.from_actions(robot.agent_actions)
        self._prompt = Prompt.for_robot(robot)
        self._judge = Judge(self._vocabulary, repeats=fault.repeats)
        self._server = Server(route=self._reply, tls=untrusted() if fault.tls else None)
        self._requests = 0
        self._in_round: Counter[int] = Counter()
        self._strikes: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Stage:
        await self._server.__aenter__()
        self._plain = await asyncio.start_server(_bad_request, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in self._strikes:
            task.cancel()
        await asyncio.gather(*self._strikes, return_exceptions=True)
        self._plain.close()
        await self._plain.wait_closed()
        await self._server.__aexit__(*error)

    @property
    def rounds_met(self) -> int:
        """Rounds in which a request has reached the front."""
        return len(self._in_round)

    async def play_round(self, number: int) -> None:
        """Some ticks of a chain that nothing has happened to yet."""
        clock = asyncio.get_running_loop().time
        async with self._chain(number) as llm:
            # A pass of the collector over all that was imported takes 30 ms (measured): that is the
            # interpreter's, and would hide what a fault does.
            gc.freeze()
            async with Pulse() as pulse, connected(llm):
                due = clock()
                for tick in range(self._fault.ticks):
                    await asyncio.sleep(max(0.0, due - clock()))
                    due = clock() + PERIOD_S
                    seen = await self._tick(llm, pulse, Tick(number, tick, tick % len(SITUATIONS)))
                    self._row.add(
                        self._judge.verdict(seen), f"tick {tick + 1} of round {number + 1}"
                    )
            self._row.worst_gap_s = max(self._row.worst_gap_s, pulse.worst_gap_s)
            self._row.worst_own_s = max(self._row.worst_own_s, pulse.worst_own_s)

    @asynccontextmanager
    async def _chain(self, round_: int) -> AsyncIterator[LLM[Any]]:
        """The chain, opened and warmed as the runtime does."""
        fault, plain = self._fault, self._plain.sockets[0].getsockname()[1]
        kind = "MistralLLM" if fault.over == "sdk" else "LlamaLLM"
        front = {
            "type": kind,
            "base_url": fault.url.format(port=self._server.port, plain=plain),
            "model": f"m{round_}",
            **({"api_key": "no-key-at-all", "transport": "sdk"} if fault.over == "sdk" else {}),
        }
        config = {
            "type": "FailoverLLM",
            "timeout": TIMEOUT_S,
            "idle_action": {"type": "move", "value": "stand still"},
            "llms": [front, {"type": "OnboardLLM"}],
            **fault.chain,
        }
        nowhere = {"XDG_DATA_HOME": "/nonexistent", "HOME": "/nonexistent"}
        environ = os.environ if fault.fetched else nowhere
        made = LLMConfig.model_validate(config)
        async with load_llm(made, actions=self._vocabulary, environ=environ) as llm:
            await llm.warm(self._prompt)
            yield llm

    async def _tick(self, llm: LLM[Any], pulse: Pulse, tick: Tick) -> Tick:
        """Ask once, and note all that is given out."""
        clock = time.monotonic
        prompt = self._prompt.at(SITUATIONS[tick.situation])
        self._strike(tick, "before")
        acted = False
        began = clock()
        try:
            async with aclosing(llm.stream(prompt)) as events:
                async for event in events:
                    tick.seen.append((clock() - began, event))
                    if isinstance(event, ActionReady) and not acted:
                        acted = True
                        self._strike(tick, "first action")
        except Exception as error:  # noqa: BLE001 - the judge says whether it may be
            tick.error = error
        tick.ended_s = clock() - began
        if tick.ended_s > TIMEOUT_S:
            tick.starved_s = pulse.starved_s(began + TIMEOUT_S - AROUND_S)
        return tick

    def _reply(self, request: Received) -> Reply:
        """The scripted reply: it knows the tick by what is asked, not by the time."""
        body = request.json
        round_ = int(body["model"].removeprefix("m"))
        text = str(body["messages"][-1]["content"])
        situation = next(at for at, words in enumerate(SITUATIONS) if words in text)
        asked = Asked(round_, situation, self._requests, self._in_round[round_])
        self._requests += 1
        self._in_round[round_] += 1
        return self._fault.answer(asked)

    def _strike(self, tick: Tick, when: str) -> None:
        for strike in self._fault.strikes:
            if (strike.tick, strike.when) != (tick.number, when):
                continue
            if strike.after_s:
                self._strikes.append(asyncio.create_task(self._later(strike), name="strike"))
            else:
                self._do(strike)

    async def _later(self, strike: Strike) -> None:
        await asyncio.sleep(strike.after_s)
        self._do(strike)

    def _do(self, strike: Strike) -> None:
        if strike.do.startswith("clock "):
            self._clock.jump(float(strike.do.removeprefix("clock ")))
            return
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "continue": signal.SIGCONT}
        for pid in children():
            os.kill(pid, number[strike.do])


async def _bad_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer whatever comes, as a web server answers what is no HTTP."""
    if await reader.read(1):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


@asynccontextmanager
async def connected(llm: LLM[Any]) -> AsyncIterator[None]:
    """Have connections kept open between the ticks, as the runtime does."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(_CONNECT_EVERY_S)
            await llm.connect()

    task = asyncio.create_task(keep(), name="stay connected")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
