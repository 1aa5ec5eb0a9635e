"""Every answer ends in time, by an action, the idle action or an error; on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from reflexarc.attempts import AttemptFailed
from reflexarc.due import NEVER, Due, due, due_by
from reflexarc.errors import BadOutputError, DeadlineError, ServerError, TruncatedError
from reflexarc.llm import LLM, Messages
from reflexarc.prompt import Prompt
from reflexarc.resilience import Breaker, Deadline, Failover, Retry
from reflexarc.specs import ActionSpec
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import (
    Action,
    ActionReady,
    CortexOutputModel,
    Event,
    Finished,
    PlainText,
    TextDelta,
)
from reflexarc.vocabulary import Vocabulary

from .brains import RUN, SIT, acts, chain, fails, finished, hangs, keep, outcomes, plays, tick

STILL = Action(type="move", value="stand still")


class Foreign(LLM[CortexOutputModel]):
    """A brain of somebody else's: it knows of no deadline, and does what it is told to."""

    name = "Foreign"

    def __init__(self, *steps: Event | float) -> None:
        self.steps = steps
        self.was_closed = False

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Wait, or give out."""
        try:
            for step in self.steps:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.was_closed = True


def drip(*, empty: bool) -> Foreign:
    """A brain that never stops writing, and never acts."""
    return Foreign(*[0.3, TextDelta("" if empty else " a")] * 1000)


def test_a_running_answer_is_cut() -> None:
    """Whatever it writes meanwhile, and it is closed by then."""

    async def main() -> None:
        llm = drip(empty=False)
        begun = asyncio.get_running_loop().time()
        _, error = await tick(Deadline(llm, timeout=3))
        assert asyncio.get_running_loop().time() - begun <= 3
        assert isinstance(error, DeadlineError)
        assert error.phase == "total"
        assert error.message.startswith("the answer was not complete within the 3 s")
        assert llm.was_closed
        assert outcomes(error) == [("Foreign", "timeout")]

    run_virtual(main())


@pytest.mark.parametrize("empty", [True, False])
def test_silence_is_a_limit_of_its_own(empty: bool) -> None:
    """Empty pieces are silence; a word is none."""

    async def main() -> None:
        llm = Foreign(TextDelta("{"), *drip(empty=empty).steps)
        _, error = await tick(Deadline(llm, timeout=9, stall_timeout=1))
        assert isinstance(error, DeadlineError)
        assert error.phase == ("stall" if empty else "total")

    run_virtual(main())


def test_the_first_action_has_a_limit_of_its_own() -> None:
    """It ends with the first action; the rest may take longer."""

    async def main() -> None:
        quick = Foreign(0.5, ActionReady(SIT, 0, 0.5), 2.0, TextDelta("x"), 9.0)
        limits = {"timeout": 4.0, "first_action_timeout": 1.0}
        events, error = await tick(Deadline(quick, **limits))
        assert len(events) == 2
        assert isinstance(error, TruncatedError)
        _, error = await tick(Deadline(drip(empty=False), **limits))
        assert isinstance(error, DeadlineError)
        assert error.phase == "first_action"

    run_virtual(main())


def test_what_has_arrived_is_taken_however_late() -> None:
    """A robot that walks between two actions still gets the second one."""

    async def main() -> None:
        done: list[Action] = []
        async for action in chain(acts(SIT, RUN), timeout=1).act("go"):
            done.append(action)
            await asyncio.sleep(5)
        assert done == [SIT, RUN]

    run_virtual(main())


def test_where_nobody_acts_the_robot_idles() -> None:
    """Inside the deadline, with the reason, and with the record of who was asked."""

    async def main() -> None:
        llm = chain(fails(), hangs(), timeout=3, idle=STILL)
        events, error = await tick(llm)
        assert error is None
        failed, also, ready, _ = events
        assert isinstance(failed, AttemptFailed)
        assert isinstance(also, AttemptFailed)
        assert also.next == "idle"
        assert isinstance(ready, ActionReady)
        assert ready.action == STILL
        assert ready.at_s <= 3
        end = finished(events)
        assert end.provider == "idle"
        assert end.answer == CortexOutputModel(actions=[STILL])
        assert end.reason.startswith("unavailable: none of 2 brains answered: First (server): down")
        assert [outcome for _, outcome in outcomes(end)] == ["server", "timeout"]
        assert end.to_dict()["reason"] == end.reason

    run_virtual(main())


def test_one_that_keeps_no_deadline_is_cut_for_the_idle_action() -> None:
    """Also where nothing inside looks at the clock, the idle action is out in time."""

    async def main() -> None:
        events, _ = await tick(Deadline(drip(empty=True), timeout=3, idle=STILL))
        ready = events[-2]
        assert isinstance(ready, ActionReady)
        assert 2.9 < ready.at_s <= 3

    run_virtual(main())


def test_one_that_will_not_be_cancelled_holds_nobody_up() -> None:
    """It goes on behind the robot's back; the idle action is out in time all the same."""

    class Stubborn(Foreign):
        async def stream(
            self, prompt: str | Prompt, messages: Messages = None
        ) -> AsyncGenerator[Event, None]:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)
            yield TextDelta("")

    async def main() -> None:
        events, _ = await tick(chain(Stubborn(), timeout=3, idle=STILL))
        ready = events[-2]
        assert isinstance(ready, ActionReady)
        assert (ready.action, ready.at_s <= 3) == (STILL, True)
        await asyncio.sleep(100)

    run_virtual(main())


def test_after_an_action_there_is_no_idling() -> None:
    """What was done stands, and the answer has broken off."""

    async def main() -> None:
        done: list[Action] = []
        with pytest.raises(TruncatedError):
            await keep(chain(fails(events=(SIT,)), timeout=3, idle=STILL), done)
        assert done == [SIT]

    run_virtual(main())


def test_a_robot_without_that_action_does_not_idle() -> None:
    """Where the question has a vocabulary of its own, the idle action is of it or is not done."""

    async def main() -> None:
        llm = chain(fails(), idle=STILL)
        still = Prompt(actions=Vocabulary([ActionSpec("move", ("stand still",))]))
        assert (await llm.ask(still)).actions == [STILL]
        with pytest.raises(ServerError):
            await llm.ask(Prompt(actions=Vocabulary([ActionSpec("gripper", ("open",))])))

    run_virtual(main())


def test_no_text_is_written_by_idling() -> None:
    """Plain text comes from a brain or not at all, and knows no first action."""

    async def main() -> None:
        limits: dict[str, Any] = {"idle": STILL, "first_action_timeout": 0.1}
        with pytest.raises(ServerError):
            await chain(fails(), **limits).write("What has happened?")
        slow = plays(Turn(first_s=1.0, answer=PlainText(text="Much.")))
        assert await Deadline(slow, timeout=3, **limits).write("What?") == "Much."

    run_virtual(main())


def test_an_idle_action_takes_the_form_that_was_asked_for() -> None:
    """OM1's own class of actions, for instance."""

    class Plan(BaseModel):
        actions: list[dict[str, str]]

    async def main() -> None:
        llm = Deadline(fails(), timeout=3, idle=STILL, output_model=Plan)
        assert finished((await tick(llm))[0]).answer == Plan(actions=[STILL.model_dump()])

    run_virtual(main())


def test_one_that_ends_without_a_word_has_failed() -> None:
    """A stream that has neither an end nor an error is a mistake of that provider."""
    _, error = run_virtual(tick(Deadline(Foreign(), timeout=3)))
    assert isinstance(error, BadOutputError)


def test_the_nearest_deadline_holds() -> None:
    """One inside another may only shorten it, and who is inside both can ask for it."""
    assert due() is NEVER
    with due_by(Due(5, 9)), due_by(Due(7, 8, outer=due())):
        assert (due().first_action, due().whole) == (5, 8)
    assert due() is NEVER


times = st.floats(0, 6)


@given(
    st.lists(st.tuples(times, times, st.booleans(), st.integers(0, 2)), min_size=1, max_size=4),
    st.sampled_from([None, 0.3, 1.0]),
)
def test_no_tick_is_late_whatever_they_do(
    script: list[tuple[float, float, bool, int]], hedge_after: float | None
) -> None:
    """An action or the idle action, in time; each action once and of one brain; nothing is left."""
    brains = [
        ScriptedLLM[CortexOutputModel](
            Turn(
                tuple(Action(type="speak", value=f"{at}.{number}") for number in range(count)),
                first_s=first_s,
                duration_s=first_s + more_s,
                failure=ServerError("down") if fails else None,
            ),
            name=str(at),
        )
        for at, (first_s, more_s, fails, count) in enumerate(script)
    ]

    async def main() -> None:
        llm = Deadline(Failover(brains, hedge_after=hedge_after), timeout=3, idle=STILL)
        clock = asyncio.get_running_loop().time
        for _ in range(3):
            begun = clock()
            events, error = await tick(llm)
            assert clock() - begun <= 3
            actions = [event.action for event in events if isinstance(event, ActionReady)]
            indices = [event.index for event in events if isinstance(event, ActionReady)]
            assert indices == [*range(len(actions))]
            assert isinstance(error, TruncatedError) == (error is not None)
            if actions and actions != [STILL]:
                whose = actions[0].value.partition(".")[0]
                assert [each.value for each in actions] == [f"{whose}.{at}" for at in indices]
            assert actions or (error is None and finished(events).provider != "idle")
            assert all(asked.ended != "running" for brain in brains for asked in brain.asked)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await asyncio.sleep(1)

    run_virtual(main())


def test_a_short_first_limit_leaves_most_of_its_time() -> None:
    """What is kept back for the idle action is a part of the shortest limit, not of the longest."""

    async def main() -> None:
        quick = Foreign(0.03, ActionReady(SIT, 0, 0.03), 60.0)
        events, _ = await tick(Deadline(quick, timeout=3, first_action_timeout=0.04))
        assert isinstance(events[0], ActionReady)

    run_virtual(main())


@pytest.mark.parametrize("actions", [(), (SIT,)])
def test_a_brain_that_stalls_is_followed_by_the_next(actions: tuple[Action, ...]) -> None:
    """At once where it has not acted, else at the next tick; its breaker opens in time."""

    async def main() -> None:
        said = actions or (TextDelta("hm"),)
        stalls = plays(Turn((*said, RUN), duration_s=1e3))
        breaker = Breaker(stalls)
        robot = Deadline(Failover([breaker, acts()]), timeout=3, stall_timeout=0.5)
        for _ in range(3):
            events, error = await tick(robot)
            if actions:
                assert isinstance(error, TruncatedError)
                events, error = await tick(robot)
            else:
                assert outcomes(finished(events))[0] == ("First", "timeout")
            assert finished(events).provider == "Second"
            await asyncio.sleep(61)
        assert len(stalls.asked) == 3
        assert breaker.state == "half-open"

    run_virtual(main())


def test_silence_of_one_brain_is_not_the_next_ones() -> None:
    """Who is asked after a failure begins anew."""

    async def main() -> None:
        breaks = fails(events=(TextDelta("hm"),), duration_s=0.2)
        slow = acts(first_s=0.8)
        events, _ = await tick(chain(breaks, slow, timeout=3, stall_timeout=0.5))
        assert finished(events).provider == "Second"
        nested = chain(Failover([breaks, slow]), timeout=3, stall_timeout=0.5)
        assert finished((await tick(nested))[0]).provider == "Second"

    run_virtual(main())


def test_nobody_inside_is_missing_from_the_record() -> None:
    """Also where it is cut from outside, those that it has asked before are told."""

    async def main() -> None:
        retry = Retry(plays(Turn(failure=ServerError("down")), Turn(first_s=60.0)))
        events, _ = await tick(Deadline(retry, timeout=1, idle=STILL))
        assert outcomes(finished(events)) == [("First", "server"), ("First", "timeout")]
        inner = Failover([fails(), acts(first_s=60.0)])
        events, _ = await tick(chain(inner, plays(Turn((RUN,))), timeout=1))
        record = finished(events).attempts
        assert [(each.provider, each.outcome) for each in record] == [
            ("First", "server"), ("Second", "timeout"), ("First", "ok"),
        ]  # fmt: skip
        assert [each.elapsed_s for each in record] == pytest.approx([0, 0.48, 0])

    run_virtual(main())


@pytest.mark.parametrize("count", [1, 2])
def test_a_piece_at_the_very_moment_of_its_limit_asks_nobody_else(count: int) -> None:
    """The limit has moved by the time at which it is looked at; that is no time for another one."""

    async def main() -> None:
        moment = asyncio.get_running_loop().time() + 0.5

        class Exact(Foreign):
            async def stream(
                self, prompt: str | Prompt, messages: Messages = None
            ) -> AsyncGenerator[Event, None]:
                yield ActionReady(SIT, 0, 0.0)
                arrived = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_at(moment, arrived.set_result, None)
                await arrived
                yield ActionReady(RUN, 1, 0.5)
                yield Finished(CortexOutputModel(actions=[SIT, RUN]), self.name, "", 0, 0.5, None)

        behind = [acts() for _ in range(count - 1)]
        robot = Deadline(Failover([Exact(), *behind]), timeout=3, stall_timeout=0.5, idle=STILL)
        events, error = await tick(robot)
        actions = [event.action for event in events if isinstance(event, ActionReady)]
        assert error is None or isinstance(error, TruncatedError)
        assert actions in ([SIT, RUN], [SIT])
        assert not any(each.asked for each in behind)

    run_virtual(main())


@pytest.mark.parametrize("wrap", [lambda llm: llm, lambda llm: Deadline(llm, timeout=9), Breaker])
def test_a_chain_inside_another_learns_that_it_was_cut(
    wrap: Callable[[LLM[Any]], LLM[CortexOutputModel]],
) -> None:
    """A brain that acts and then hangs is not the first at the next tick, however deep it is."""

    async def main() -> None:
        hanging = plays(Turn((SIT, RUN), duration_s=1e4))
        robot = Deadline(wrap(Failover([hanging, acts()])), timeout=3)
        assert isinstance((await tick(robot))[1], TruncatedError)
        for _ in range(3):
            assert finished((await tick(robot))[0]).provider == "Second"
        assert len(hanging.asked) == 1

    run_virtual(main())


def test_what_is_put_off_is_so_for_all_inside() -> None:
    """A brain that is given more time, since another runs beside it, has it however deep it is."""

    async def main() -> None:
        slow = acts(first_s=2.0)
        inner = Deadline(Failover([Retry(slow)]), timeout=9)
        robot = Deadline(Failover([inner, hangs()], hedge_after=0.5), timeout=3)
        assert finished((await tick(robot))[0]).first_action_s == pytest.approx(2.0)

    run_virtual(main())


def test_nothing_is_late_while_the_robot_walks() -> None:
    """What comes after its limit is no more taken then; what came before is."""

    async def main() -> None:
        slow = Foreign(ActionReady(SIT, 0, 0.0), 0.5, ActionReady(RUN, 1, 0.5), 9.0, TextDelta("x"))
        done: list[Action] = []
        with suppress(TruncatedError):
            async for action in Deadline(slow, timeout=3).act("go"):
                done.append(action)
                await asyncio.sleep(10)
            done.clear()
        assert done == [SIT, RUN]

    run_virtual(main())
