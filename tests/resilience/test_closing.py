"""A chain that is closed ends what it is asked, and answers nothing before it is opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from reflexarc import LLM, LLMConfig, Vocabulary, load_llm
from reflexarc.errors import ClosedError, ServerError
from reflexarc.llm import Messages
from reflexarc.prompt import Prompt
from reflexarc.resilience import Breaker, Deadline, Failover, Hedge, Retry
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, Server, Turn, run_virtual
from reflexarc.types import CortexOutputModel, Event, TextDelta

from .brains import SIT, acts, fails, hangs, plays, tick

DOG = Vocabulary([ActionSpec("move", ("sit",))])


class Endless(LLM[CortexOutputModel]):
    """Somebody else's brain, which writes for ever and knows nothing of closing."""

    name = "Endless"

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Write."""
        while True:
            await asyncio.sleep(0.1)
            yield TextDelta("hm")


SLOW = Turn(failure=ServerError("down", retry_after_s=30))

Make = Callable[[], LLM[Any]]
CHAINS: list[Make] = [
    lambda: Failover([hangs(), acts()]),
    lambda: Failover([fails(), hangs()]),
    lambda: Hedge(hangs(), hangs(), after_s=0.5),
    lambda: Retry(plays(SLOW)),
    lambda: Breaker(Retry(hangs())),
    lambda: Deadline(hangs(), timeout=60, idle=SIT),
    lambda: Deadline(Failover([Breaker(Retry(plays(SLOW))), Endless()]), timeout=60, idle=SIT),
    lambda: Deadline(Endless(), timeout=60, idle=SIT),
]


@pytest.mark.parametrize("make", CHAINS)
def test_closing_ends_a_question_at_once(make: Make) -> None:
    """Nobody else is asked in its place, the robot does not idle, and no task is left."""

    async def ask() -> None:
        llm = make()
        asking = asyncio.create_task(tick(llm))
        await asyncio.sleep(2.0)
        began = asyncio.get_running_loop().time()
        await llm.aclose()
        _, error = await asking
        assert isinstance(error, ClosedError)
        assert asyncio.get_running_loop().time() - began < 0.05
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(ask())


def test_a_reader_who_is_elsewhere_learns_of_it() -> None:
    """The brains that read ahead for it are ended by the closing itself."""

    async def ask() -> None:
        llm = Deadline(Failover([Endless()]), timeout=60, idle=SIT)
        async with aclosing(llm.stream("go")) as events:
            assert await anext(events) == TextDelta("hm")
            await llm.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            with pytest.raises(ClosedError, match="was closed"):
                await anext(events)

    run_virtual(ask())


def test_being_closed_is_nobodys_failure() -> None:
    """Neither a breaker nor a rest counts it, and once it is opened all is as before."""

    async def ask() -> None:
        brain = acts()
        llm = Deadline(Failover([Breaker(Retry(brain), failures=1)]), timeout=5, idle=SIT)
        alone = Breaker(Retry(brain), failures=1)
        for _ in range(3):
            await llm.aclose()
            for each in (llm, alone):
                _, error = await tick(each)
                assert isinstance(error, ClosedError)
            async with llm:
                for each in (llm, alone):
                    assert (await each.ask("go")).actions == [SIT]

    run_virtual(ask())


def test_one_event_loop_after_the_other() -> None:
    """A robot does not idle for ever since its brain was opened in a loop that has ended."""
    config = LLMConfig.model_validate(
        {
            "type": "LlamaLLM",
            "model": "m",
            "base_url": "http://127.0.0.1:9",
            "idle_action": {"type": "move", "value": "sit"},
        }
    )
    llm = load_llm(config, actions=DOG, environ={})

    async def ask() -> list[Any]:
        async with Server(Reply.stream("x")):
            return (await llm.ask("go")).actions

    assert asyncio.run(ask()) == [SIT]
    with pytest.raises(ClosedError, match="another event loop"):
        asyncio.run(ask())
    asyncio.run(llm.aclose())
