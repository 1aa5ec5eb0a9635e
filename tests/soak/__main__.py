"""Ten thousand ticks of a robot whose world fails at random, in virtual time.

    python -m tests.soak [TICKS [SEED]]

A scripted server in front misbehaves, a brain behind it does too, and the last one is the real
model on board, whose process is killed now and then. Every tick must be accounted for: acted, idled
with a reason, or broken off; none late; and memory, tasks, sockets and processes as they were.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import LLMError, ServerError, TruncatedError
from reflexarc.llm import LLM, Messages
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.resilience import Around, Breaker, Deadline, Failover, Retry
from reflexarc.testing import Received, Reply, ScriptedLLM, Server, Turn, run_virtual
from reflexarc.types import Action, ActionReady, CortexOutputModel, Event, Finished
from reflexarc.vocabulary import Vocabulary
from tests.chaos.pulse import Waits
from tests.leftovers import Leftovers, children

SPOT = Path(__file__).parents[2] / "config" / "spot_onboard.json5"
TIMEOUT_S = 3.0
SLACK_S = 0.1
STILL = Action(type="move", value="stand still")
ANSWER = '{"actions":[{"type":"move","value":"sit"},{"type":"speak","value":"I sit."}]}'
GROWTH_MB = 8.0  # of 80; a leak of one kilobyte a tick would be 10

GOOD = Reply.stream(ANSWER)
BEGUN = ANSWER[:40]
FAULTS = (
    Reply.stream(2.5, ANSWER),
    Reply.nothing("reset"),
    Reply.nothing("stall"),
    Reply.nothing("cut"),
    Reply.text("busy", 503),
    Reply.text("slow down", 429),
    replace(Reply.text("slow down", 429), headers={"Retry-After": "7"}),
    Reply.text("<html>oops</html>", 502, "text/html"),
    Reply.text("wrong key", 401),
    replace(Reply.stream(BEGUN, finish=None, done=False), end="stall"),
    replace(Reply.stream(ANSWER[:60], finish=None, done=False), end="reset"),
    replace(Reply.stream(ANSWER[:60], finish=None, done=False), end="stall"),
    Reply.stream('{"actions":[{"type":"fly","value":"up"}]}'),
    Reply.stream("I would rather talk."),
    Reply.stream(*[" ", 0.2] * 30),
    Reply.stream(*[b": keep-alive\n\n", 0.2] * 30),
)


@asynccontextmanager
async def in_real_time() -> AsyncGenerator[None]:
    """Let the virtual clock go with the real one, as it does while a thread is waited for."""
    over = threading.Event()
    held = asyncio.get_running_loop().run_in_executor(None, over.wait)
    try:
        yield
    finally:
        over.set()
        await held


class InRealTime(Around[CortexOutputModel]):
    """A brain in another process, which knows of no virtual clock."""

    async def open(self) -> None:
        """Open it; done again after it was killed, this waits until it is back."""
        async with in_real_time():
            await self._llm.open()

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask."""
        async with in_real_time(), aclosing(self._llm.stream(prompt, messages)) as events:
            async for event in events:
                yield event


class World:
    """What goes wrong, and what has become of it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.weather = 0.0  # the share of questions that go wrong; it changes every few minutes
        self.ends: Counter[str] = Counter()
        self.kills = 0

    def answer(self, _: Received) -> Reply:
        """What the server in front does with one question."""
        return self.random.choice(FAULTS) if self.random.random() < self.weather else GOOD

    def turns(self) -> list[Turn]:
        """What the brain behind it does, question after question."""
        down = ServerError("down")
        choices = (
            Turn((STILL,), first_s=0.2),
            Turn(failure=down),
            Turn(first_s=60.0),
            Turn((STILL,), failure=down),
        )
        return self.random.choices(choices, (196, 2, 1, 1), k=20_000)


async def tick(llm: LLM[CortexOutputModel], prompt: Prompt, waits: Waits) -> str:
    """One tick, and what it ended with; fails where that is none of what it may end with."""
    clock = asyncio.get_running_loop().time
    begun, waited_s, indices, end = clock(), waits.seconds(), [], ""
    try:
        async for event in llm.stream(prompt):
            if isinstance(event, ActionReady):
                indices.append(event.index)
            elif isinstance(event, Finished):
                end = event.provider
                assert event.reason or end != "idle", "it idled without a reason"
    except TruncatedError:
        end = "broken off"
        assert indices, "an answer broke off before it had begun"
    except LLMError as error:
        raise AssertionError(f"a tick ended in an error: {error.kind}") from error
    assert indices == [*range(len(indices))], "an action was handed over twice"
    assert end, "a tick ended without a word"
    # While the model on board is asked the time is real, and the machine may have been taken away.
    took_s = clock() - begun - (waits.seconds() - waited_s)
    assert took_s <= TIMEOUT_S + SLACK_S, f"late: {took_s:.2f} s, by {end}"
    return end


async def soak(ticks: int, seed: int) -> World:
    """Run them."""
    world, leftovers = World(seed), Leftovers()
    robot = RobotConfig.load(SPOT)
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    prompt = Prompt.for_robot(robot).at("A person says: please sit down.")
    async with Server(route=world.answer) as server:
        front = LLMConfig(type="LlamaLLM", base_url=server.base_url, model="m")
        last = LLMConfig(type="OnboardLLM", max_tokens=24)
        onboard = InRealTime(load_llm(last, actions=vocabulary))
        brains: list[LLM[CortexOutputModel]] = [
            Breaker(Retry(load_llm(front, actions=vocabulary, environ={}), random=world.random)),
            ScriptedLLM(*world.turns(), name="Behind"),
            onboard,
        ]
        failover = Failover[CortexOutputModel](brains, hedge_after="auto")
        async with Deadline(failover, timeout=TIMEOUT_S, idle=STILL) as llm:
            await onboard.ask(prompt)  # which reads its encoder in, a hundred megabytes
            at_first, waits = 0.0, Waits()
            for number in range(ticks):
                if number % 200 == 0:
                    world.weather = world.random.choice((0.0, 0.1, 0.5, 1.0))
                if number % 1000 == 999:
                    world.kills += kill_child()
                    await asyncio.sleep(0.01)
                    await onboard.open()
                due = asyncio.get_running_loop().time() + 1.0
                world.ends[await tick(llm, prompt, waits)] += 1
                server.requests.clear()
                if number == ticks // 5:
                    at_first = resident_mb()
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            grown = resident_mb() - at_first
    assert grown < GROWTH_MB, f"memory has grown by {grown:.1f} MB"
    left = await leftovers.wait()
    assert not left, f"left behind: {', '.join(left)}"
    print(f"memory {at_first:.0f} MB after a fifth of them, {grown:+.1f} MB since")
    return world


def resident_mb() -> float:
    """Memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def kill_child() -> int:
    """Kill the engine; how many there were."""
    pids = children()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def main() -> None:
    """Run from the command line."""
    ticks, seed = (int(text) for text in (*sys.argv[1:], *("10000", "7")[len(sys.argv) - 1 :]))
    logging.disable(logging.WARNING)  # each failure is one; there are thousands
    begun = time.perf_counter()
    world = run_virtual(soak(ticks, seed))
    assert sum(world.ends.values()) == ticks, "a tick is missing"
    told = ", ".join(f"{who} {count}" for who, count in world.ends.most_common())
    print(f"{ticks} ticks in {time.perf_counter() - begun:.0f} s (seed {seed}): {told}")
    print(f"engine killed {world.kills} times; nothing late, doubled, unaccounted or left behind")


if __name__ == "__main__":
    main()
