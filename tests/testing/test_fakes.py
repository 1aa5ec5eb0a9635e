"""The scripted LLM does in each call what was written for it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from reflexarc.errors import DeadlineError, LLMError, ServerError
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    Message,
    TextDelta,
    Usage,
)

SIT = Action(type="move", value="sit")
WAVE = Action(type="move", value="shake paw")


async def collect(llm: ScriptedLLM[CortexOutputModel], events: list[Event]) -> list[Event]:
    """Add the events of one call to a list, which has them also if the call fails."""
    async for event in llm.stream("sit!"):
        events.append(event)  # noqa: PERF401 - what came before an error counts
    return events


async def test_gives_out_what_is_written() -> None:
    """Events come in order, actions as ready, and the record at the end agrees with them."""
    refused = ActionRefused("move", "fly", "it has no wings", 0.0)
    turn = Turn((TextDelta("{"), SIT, refused, WAVE, Usage(3, 2)))
    events = await collect(ScriptedLLM(turn, name="Fake", model="m"), [])
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert [type(event) for event in events] == [
        TextDelta, ActionReady, ActionRefused, ActionReady, Usage, Finished,
    ]  # fmt: skip
    assert [e.action for e in events if isinstance(e, ActionReady)] == [SIT, WAVE]
    assert [e.index for e in events if isinstance(e, ActionReady)] == [0, 1]
    assert finished.answer == CortexOutputModel(actions=[SIT, WAVE])
    assert (finished.provider, finished.model, finished.usage) == ("Fake", "m", Usage(3, 2))
    assert [attempt.outcome for attempt in finished.attempts] == ["ok"]


async def test_keeps_its_times() -> None:
    """The first event, the others and the end come when they were asked for."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    times = [
        (type(event), loop.time() - started)
        async for event in ScriptedLLM(Turn((SIT, WAVE, SIT), 0.1, 0.3)).stream("")
    ]
    for (_, at_s), due_s in zip(times, (0.1, 0.2, 0.3, 0.3), strict=True):
        assert due_s - 0.01 <= at_s < due_s + 5


@pytest.mark.parametrize("failure", [ServerError("down"), DeadlineError("late", phase="stall")])
async def test_fails_after_what_was_given_out(failure: LLMError) -> None:
    """A failure comes after the events, complete as a provider's, and anew in every call."""
    llm = ScriptedLLM(Turn((SIT,), failure=failure), name="Fake")
    raised: list[LLMError] = []
    for _ in range(2):
        events: list[Event] = []
        with pytest.raises(type(failure), match=str(failure)) as caught:
            await collect(llm, events)
        assert [type(event) for event in events] == [ActionReady]
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert raised[0].to_dict().keys() >= {"kind", "provider", "model", "elapsed_s"}
    assert [attempt.outcome for attempt in raised[0].attempts] == [failure.kind]
    assert failure.provider is None


async def test_turns_follow_each_other() -> None:
    """Each call plays the next turn, the last one for ever; without any, answers are empty."""
    llm = ScriptedLLM[CortexOutputModel](Turn((SIT,)), Turn((WAVE,)))
    answers = [(await llm.ask("")).actions for _ in range(3)]
    assert answers == [[SIT], [WAVE], [WAVE]]
    assert (await ScriptedLLM[CortexOutputModel]().ask("")).actions == []


async def test_records_its_calls() -> None:
    """A call is kept with its prompt, its times and how it ended, also when it was given up."""
    llm = ScriptedLLM[CortexOutputModel](
        Turn((SIT,)), Turn(failure=ServerError("down")), Turn((SIT, WAVE), 0.0, 60.0)
    )
    await llm.ask("a", [Message("user", "before")])
    with pytest.raises(ServerError):
        await llm.ask("b")
    async with aclosing(llm.stream("c")) as events:
        await anext(events)
    call = asyncio.create_task(llm.ask("d"))
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait({call})
    assert [asked.prompt.situation for asked in llm.asked] == ["a", "b", "c", "d"]
    assert llm.asked[0].prompt.history == (Message("user", "before"),)
    assert [asked.ended for asked in llm.asked] == ["finished", "failed", "closed", "closed"]
    assert all((asked.ended_at_s or 0) >= asked.at_s for asked in llm.asked)


async def test_answers_another_model() -> None:
    """An answer that is not made of actions is given as it is."""
    answer = SIT
    llm = ScriptedLLM[Action](Turn(answer=answer), output_model=Action)
    assert await llm.ask("") is answer


async def test_knows_whether_it_is_open() -> None:
    """Whoever wraps an LLM can be seen to open and close it."""
    async with ScriptedLLM[CortexOutputModel]() as llm:
        assert llm.is_open
    assert not llm.is_open
