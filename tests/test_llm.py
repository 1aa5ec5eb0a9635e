"""Every brain is used alike: asked, acted upon, opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from reflexarc.config import LLMConfig
from reflexarc.errors import ServerError
from reflexarc.llm import LLM, Messages, Request, Transport
from reflexarc.prompt import Prompt
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import (
    Action,
    ActionRefused,
    CortexOutputModel,
    Event,
    Message,
    TextDelta,
    Usage,
    Wire,
)

SIT = Action(type="move", value="sit")
HI = Action(type="speak", value="Hi!")
FULL = Turn((TextDelta("x"), SIT, ActionRefused("fly", "up", "no", 0.0), HI, Usage(1, 1)))


class Endless(LLM[CortexOutputModel]):
    """The least a brain must have: it goes on without ever finishing."""

    name = "Endless"

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._events = events
        self.closed = False

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        try:
            for event in self._events:
                yield event
        finally:
            self.closed = True


async def test_ask_gives_the_whole_answer() -> None:
    """`ask` waits for the end and returns the output model."""
    assert await ScriptedLLM(FULL).ask("now") == CortexOutputModel(actions=[SIT, HI])


async def test_act_gives_the_actions_alone() -> None:
    """`act` leaves out text, refusals and counts, and keeps the order."""
    assert [action async for action in ScriptedLLM(FULL).act("now")] == [SIT, HI]


async def test_all_three_ask_the_same() -> None:
    """Prompt and past turns reach the brain whichever way it is asked."""
    llm = ScriptedLLM(FULL)
    past = [{"role": "user", "content": "a"}, Message("assistant", "b")]
    await llm.ask("now", past)
    _ = [action async for action in llm.act("now", past)]
    _ = [event async for event in llm.stream("now", past)]
    prompts = [asked.prompt for asked in llm.asked]
    assert prompts == [Prompt("", (Message("user", "a"), Message("assistant", "b")), "now")] * 3


async def test_a_failure_comes_after_the_actions() -> None:
    """`ask` raises; `act` gives out what was complete and raises then."""
    llm = ScriptedLLM(Turn((SIT,), failure=ServerError("broke")))
    with pytest.raises(ServerError, match="broke"):
        await llm.ask("now")
    done: list[Action] = []

    async def act() -> None:
        async for action in llm.act("now"):
            done.append(action)  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(ServerError, match="broke"):
        await act()
    assert done == [SIT]


async def test_leaving_act_closes_the_stream_at_once() -> None:
    """Who takes one action and leaves ends the call."""
    llm = ScriptedLLM(Turn((SIT, HI), duration_s=60))
    async with aclosing(llm.act("now")) as actions:
        assert await anext(actions) == SIT
    assert llm.asked[0].ended == "closed"


async def test_cancelling_ask_closes_the_stream() -> None:
    """A cancelled question goes on nowhere."""
    llm = ScriptedLLM(Turn((SIT,), first_s=60))
    task = asyncio.create_task(llm.ask("now"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm.asked[0].ended == "closed"


async def test_asking_closes_the_stream_when_it_has_the_answer() -> None:
    """`ask` does not leave the generator to the garbage collector."""
    llm = ScriptedLLM(FULL)
    await llm.ask("now")
    assert llm.asked[0].ended == "finished"
    assert llm.asked[0].ended_at_s is not None


async def test_a_stream_that_just_ends_is_a_bug() -> None:
    """A brain ends with Finished or an error; `ask` never returns None."""
    llm = Endless([TextDelta("x")])
    with pytest.raises(AssertionError, match="Finished or an error"):
        await llm.ask("now")
    assert llm.closed


async def test_a_brain_is_open_inside_its_context_and_closed_after() -> None:
    """Also when what happens inside fails."""
    llm = ScriptedLLM()
    assert not llm.is_open
    async with llm as opened:
        assert opened is llm
        assert llm.is_open
    assert not llm.is_open
    with pytest.raises(ZeroDivisionError):
        async with llm:
            raise ZeroDivisionError
    assert not llm.is_open


async def test_opening_connecting_and_warming_are_optional() -> None:
    """A brain that needs none of them has none, and may be closed twice."""
    async with Endless() as llm:
        await llm.warm(Prompt("You are a dog."))
        await llm.connect()
    await llm.aclose()


async def test_a_transport_may_need_no_opening() -> None:
    """What opens nothing has nothing to close; its request is plain data with plain defaults."""

    class Silent(Transport):
        async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
            yield ()

    transport = Silent()
    await transport.open()
    await transport.connect()
    request = Request("m", (), LLMConfig(type="x"))
    assert [batch async for batch in transport.send(request)] == [()]
    assert (request.schema, request.tools, request.grammar, request.json_object) == (
        *(None, None, None),
        False,
    )
    await transport.aclose()
    await transport.aclose()
