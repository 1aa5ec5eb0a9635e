"""Two brains at once: when the second is started, who wins, and what becomes of the other."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc import LLMConfig, Vocabulary, load_llm
from reflexarc.errors import RateLimitedError, ServerError
from reflexarc.llm import LLM
from reflexarc.resilience import Deadline, Failover, Hedge, Retry
from reflexarc.resilience.health import Latencies
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn, run_virtual
from reflexarc.types import Action, ActionReady, CortexOutputModel, TextDelta

from .brains import RUN, SIT, Scripted, acts, fails, finished, hangs, outcomes, plays, tick


def says(value: str, *, first_s: float = 0.0, more_s: float = 0.0) -> Scripted:
    """A brain that speaks twice, and thinks aloud before."""
    words = [Action(type="speak", value=f"{value} {number}") for number in range(2)]
    turn = Turn((TextDelta(value), *words), first_s=first_s, duration_s=first_s + more_s)
    return ScriptedLLM(turn, name=value)


def spoken(events: list[object]) -> list[str]:
    """What was said, and thought, in order."""
    return [
        event.action.value if isinstance(event, ActionReady) else event.text
        for event in events
        if isinstance(event, ActionReady | TextDelta)
    ]


def test_the_second_is_not_asked_while_the_first_is_quick() -> None:
    """A hedge costs nothing as long as all is well."""
    second = acts(RUN)
    events, _ = run_virtual(tick(Hedge(says("a", first_s=0.2), second, after_s=0.5)))
    assert spoken([*events]) == ["a", "a 0", "a 1"]
    assert second.asked == []


def test_the_second_wins_where_the_first_is_late() -> None:
    """Its events are the only ones, with the times of the whole question; the first is closed."""

    async def main() -> None:
        first = says("a", first_s=3.0)
        events, _ = await tick(Hedge(first, says("b", first_s=0.2), after_s=0.5))
        assert spoken([*events]) == ["b", "b 0", "b 1"]
        end = finished(events)
        assert end.first_action_s == pytest.approx(0.7)
        assert outcomes(end) == [("a", "overtaken"), ("b", "ok")]
        assert first.asked[0].ended == "closed"
        assert first.asked[0].ended_at_s - first.asked[0].at_s == pytest.approx(0.7)

    run_virtual(main())


def test_the_first_may_still_win() -> None:
    """What it has thought meanwhile is not lost, and nothing of the second is heard."""

    async def main() -> None:
        first = says("a", first_s=0.6, more_s=0.6)  # a word at 0.6 s, an action at 0.9
        second = says("b", first_s=1.0)
        events, _ = await tick(Hedge(first, second, after_s=0.5))
        assert spoken([*events]) == ["a", "a 0", "a 1"]
        assert outcomes(finished(events)) == [("b", "overtaken"), ("a", "ok")]
        assert second.asked[0].ended == "closed"

    run_virtual(main())


@pytest.mark.parametrize("hedge_after", [None, "auto", "p95", 2.0])
def test_a_limit_is_not_waited_out_where_another_one_can_act(hedge_after: Any) -> None:
    """The next one is started at once, and who asked for patience is left alone for so long."""

    async def main() -> None:
        first = plays(Turn(failure=RateLimitedError("slow down", retry_after_s=1.5)), Turn((SIT,)))
        second = says("b", first_s=0.2)
        llm = Deadline(Failover([Retry(first), second], hedge_after=hedge_after), timeout=4)
        events, _ = await tick(llm)
        assert finished(events).first_action_s == pytest.approx(0.2)
        assert outcomes(finished(events)) == [
            ("First", "rate_limited"), ("b", "ok"),
        ]  # fmt: skip
        await tick(llm)
        assert len(first.asked) == 1, "it is asked again before it wants to be"
        await asyncio.sleep(7)  # by then the chain asks it again as well
        await tick(llm)
        assert len(first.asked) == 2

    run_virtual(main())


def test_of_several_with_a_limit_each_is_asked_once() -> None:
    """The last of them acts at once; nobody is asked twice, or beside another one."""

    async def main() -> None:
        limited = [plays(Turn(failure=RateLimitedError("no", retry_after_s=3))) for _ in range(2)]
        for each in limited:
            each.is_paid = True
        last = says("c", first_s=0.2)
        last.is_paid = True
        llm = Deadline(Failover([*map(Retry, limited), last], hedge_after="auto"), timeout=4)
        events, _ = await tick(llm)
        assert finished(events).first_action_s == pytest.approx(0.2)
        assert [len(each.asked) for each in (*limited, last)] == [1, 1, 1]

    run_virtual(main())


def test_a_limit_is_waited_out_where_nobody_else_can_act() -> None:
    """Also by the last of several."""

    async def main() -> None:
        turns = Turn(failure=RateLimitedError("slow down", retry_after_s=1)), Turn((SIT,))
        llm = Deadline(Failover([fails(ServerError("down")), Retry(plays(*turns))]), timeout=4)
        events, _ = await tick(llm)
        assert finished(events).first_action_s == pytest.approx(1.1, abs=0.06)

    run_virtual(main())


def test_a_failure_starts_the_second_at_once() -> None:
    """It is a failover as well."""

    async def main() -> None:
        events, _ = await tick(Hedge(fails(), says("b"), after_s=9.0))
        end = finished(events)
        assert end.first_action_s == 0
        assert outcomes(end) == [("First", "server"), ("b", "ok")]

    run_virtual(main())


def test_one_that_fails_beside_another_leaves_it_alone() -> None:
    """The other goes on, and what was held of it is given out."""

    async def main() -> None:
        first = fails(ServerError("down"), first_s=1.0, duration_s=1.0)
        second = ScriptedLLM[CortexOutputModel](
            Turn((TextDelta("well"), SIT), duration_s=1.0), name="b"
        )
        events, _ = await tick(Hedge(first, second, after_s=0.5))
        assert len(second.asked) == 1
        assert spoken([*events]) == ["well", "sit"]
        assert outcomes(finished(events)) == [("First", "server"), ("b", "ok")]

    run_virtual(main())


def test_both_may_fail() -> None:
    """Then each is named."""

    async def main() -> None:
        _, error = await tick(Hedge(fails(duration_s=1.0), fails(duration_s=1.0), after_s=0.5))
        assert error is not None
        assert outcomes(error) == [("First", "server"), ("First", "server")]
        assert error.elapsed_s == pytest.approx(1.5)

    run_virtual(main())


def test_leaving_closes_both() -> None:
    """Who asks no more has both connections closed."""

    async def main() -> None:
        first, second = hangs(), hangs()
        task = asyncio.create_task(tick(Hedge(first, second, after_s=0.5)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [each.asked[0].ended for each in (first, second)] == ["closed", "closed"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_it_learns_how_long_the_first_takes() -> None:
    """At first half of the time is waited for; then what 19 of 20 answers take."""

    async def main() -> None:
        first = ScriptedLLM[CortexOutputModel](
            *[Turn((SIT,), first_s=0.2 + 0.01 * at) for at in range(20)],
            Turn((SIT,), first_s=60.0),
            name="a",
        )
        second = says("b")
        hedge = Deadline(Hedge(first, second), timeout=4)
        for at in range(20):
            events, _ = await tick(hedge)
            assert finished(events).provider == ("b" if at >= 8 and second.asked else "a")
            if second.asked:
                break
        # Each is a little later than all before it, so the ninth is the first that is too late.
        assert at == 8

        slow = ScriptedLLM[CortexOutputModel](Turn((SIT,), first_s=60.0), name="a")
        events, _ = await tick(Deadline(Hedge(slow, says("b")), timeout=4))
        assert finished(events).first_action_s == pytest.approx(0.99, abs=0.05)

    run_virtual(main())


def test_a_brain_that_has_become_slow_is_waited_for_longer() -> None:
    """Being overtaken counts as an answer of that time, or all would be asked twice for ever."""
    latencies = Latencies()
    for _ in range(20):
        latencies.add(0.1)
    assert latencies.p95 == 0.1
    for _ in range(3):
        latencies.add(0.4)
    assert latencies.p95 == 0.4
    assert Latencies().p95 is None


def test_one_that_is_always_overtaken_is_left_alone() -> None:
    """A brain that hangs for ever costs three ticks some time, and not every one."""

    async def main() -> None:
        first = hangs()
        llm = Deadline(Hedge(first, says("b"), after_s=0.5), timeout=3)
        waits: list[float | None] = []
        for _ in range(7):
            waits.append(finished((await tick(llm))[0]).first_action_s)
            await asyncio.sleep(1)
        assert waits == pytest.approx([0.5, 0.5, 0.5, 0, 0, 0, 0])
        assert len(first.asked) == 3

    run_virtual(main())


@pytest.mark.parametrize(
    ("paid", "hedges"),
    [((True, True), False), ((True, False), True), ((False, True), True), ((False, False), True)],
)
def test_paid_pairs_are_not_hedged_by_themselves(paid: tuple[bool, bool], hedges: bool) -> None:
    """A second answer is started unasked only where one of the two costs nothing."""

    async def main() -> None:
        brains = says("a", first_s=1.5), says("b")
        for brain, is_paid in zip(brains, paid, strict=True):
            brain.is_paid = is_paid
        llm = Deadline(Failover(brains, hedge_after="auto"), timeout=3.2)
        assert bool(finished((await tick(llm))[0]).provider == "b") == hedges

    run_virtual(main())


@given(
    st.floats(0, 5), st.floats(0, 5), st.floats(0.01, 3), st.booleans(), st.booleans()
)  # fmt: skip
def test_the_first_action_is_never_later_than_without(
    first_s: float, second_s: float, after_s: float, first_fails: bool, second_fails: bool
) -> None:
    """It comes when the earlier of both has it, and from one of them alone."""

    def brain(name: str, at_s: float, is_failing: bool) -> Scripted:
        events = () if is_failing else (SIT, RUN)
        failure = ServerError("down") if is_failing else None
        return ScriptedLLM(Turn(events, first_s=at_s, failure=failure), name=name)

    async def main() -> None:
        first, second = brain("a", first_s, first_fails), brain("b", second_s, second_fails)
        events, error = await tick(Hedge(first, second, after_s=after_s))
        starts_s = min(after_s, first_s) if first_fails else after_s
        times = [first_s] * (not first_fails) + [starts_s + second_s] * (not second_fails)
        if not times:
            assert error is not None
            return
        ready = [event for event in events if isinstance(event, ActionReady)]
        assert [event.action for event in ready] == [SIT, RUN]
        assert ready[0].at_s == pytest.approx(min(times), abs=1e-3)
        assert all(asked.ended != "running" for each in (first, second) for asked in each.asked)

    run_virtual(main())


async def test_the_loser_is_disconnected() -> None:
    """Over sockets: the server that was overtaken sees its client go, and stops."""
    answer = '{"actions":[{"type":"move","value":"sit"}]}'
    slow = Server(Reply.stream(30.0, answer))
    quick = Server(Reply.stream(answer))
    dog = Vocabulary([ActionSpec("move", ("sit",))])

    def brain(server: Server) -> LLM[CortexOutputModel]:
        config = LLMConfig(type="LlamaLLM", base_url=server.base_url, model="m")
        return load_llm(config, actions=dog, environ={})

    async with slow, quick, Hedge(brain(slow), brain(quick), after_s=0.05) as hedge:
        begun = time.monotonic()
        async with aclosing(hedge.act("go")) as actions:
            assert await anext(actions) == SIT
            async with asyncio.timeout(5):
                await slow.requests[0].left.wait()
        assert time.monotonic() - begun < 5


def test_one_that_was_overtaken_early_is_not_taken_for_quick() -> None:
    """It had no time to show how long it takes; else it would be left too little the next time."""

    async def main() -> None:
        usual = Turn((SIT,), first_s=0.52)
        first = ScriptedLLM[CortexOutputModel](*[usual] * 12, Turn(first_s=60.0), name="a")
        second = says("b", first_s=0.8)
        hedged = Failover([first, second], hedge_after=0.5)
        for _ in range(12):
            assert finished((await tick(Deadline(hedged, timeout=3)))[0]).provider == "a"
        assert len(second.asked) == 12
        hedged._hedge_after = None
        events, _ = await tick(Deadline(hedged, timeout=3))
        assert finished(events).first_action_s == pytest.approx(2.96 / 2 + 0.8 + 0.0)

    run_virtual(main())


def test_without_a_deadline_a_second_is_a_long_time() -> None:
    """Until there are answers to go by, nobody waits for ever."""

    async def main() -> None:
        events, _ = await tick(Hedge(hangs(), says("b")))
        assert finished(events).first_action_s == pytest.approx(1.0)

    run_virtual(main())
