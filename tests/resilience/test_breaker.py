"""A breaker: when it opens, whom it lets through, and what closes it; on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import (
    AuthError,
    BadRequestError,
    ContextOverflowError,
    LLMError,
    QuotaError,
    RefusedError,
    RestingError,
    ServerError,
    TruncatedError,
)
from reflexarc.llm import LLM, Messages
from reflexarc.prompt import Prompt
from reflexarc.resilience import Breaker, Deadline, Failover
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import Action, CortexOutputModel, Event, TextDelta

from .brains import RUN, SIT, acts, fails, finished, hangs, keep, plays, tick

DOWN = Turn(failure=ServerError("down"))
OK = Turn((SIT,))


async def ask(llm: LLM[Any], times: int = 1) -> list[str]:
    """What becomes of so many questions in a row."""
    ends: list[str] = []
    for _ in range(times):
        _, error = await tick(llm)
        ends.append(error.kind if error else "ok")
    return ends


def test_failures_in_a_row_open_it() -> None:
    """Then nobody is asked, until a probe is let through and answers."""

    async def main() -> None:
        llm = plays(DOWN, DOWN, OK, DOWN, DOWN, DOWN, OK)
        breaker = Breaker(llm)
        assert await ask(breaker, 3) == ["server", "server", "ok"]
        assert breaker.state == "closed"
        assert await ask(breaker, 5) == ["server", "server", "server", "resting", "resting"]
        assert breaker.state == "open"
        assert len(llm.asked) == 6
        await asyncio.sleep(5.1)
        assert breaker.state == "half-open"
        assert await ask(breaker, 2) == ["ok", "ok"]
        assert breaker.state == "closed"

    run_virtual(main())


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    """Twice as long each time, up to a minute."""

    async def main() -> None:
        llm = fails()
        breaker = Breaker(llm)
        probes: list[float] = []
        begun = asyncio.get_running_loop().time()
        for _ in range(300):
            if await ask(breaker) == ["server"]:
                probes.append(round(asyncio.get_running_loop().time() - begun))
            await asyncio.sleep(1)
        assert probes == [0, 1, 2, 7, 17, 37, 77, 137, 197, 257]

    run_virtual(main())


def test_there_is_one_probe_at_a_time() -> None:
    """Of many questions at once one is let through; the others fail at once."""

    async def main() -> None:
        llm = plays(DOWN, Turn((SIT,), first_s=1.0))
        breaker = Breaker(llm, failures=1)
        await ask(breaker)
        await asyncio.sleep(6)
        ends = await asyncio.gather(*(ask(breaker) for _ in range(20)))
        assert sorted(ends) == [["ok"], *[["resting"]] * 19]
        assert len(llm.asked) == 2

    run_virtual(main())


def test_the_first_action_of_a_probe_closes_it() -> None:
    """Others need not wait for its end."""

    async def main() -> None:
        breaker = Breaker(plays(DOWN, Turn((SIT, RUN), duration_s=9.0)), failures=1)
        await ask(breaker)
        await asyncio.sleep(6)
        async with aclosing(breaker.act("go")) as actions:
            assert await anext(actions) == SIT
            assert breaker.state == "closed"

    run_virtual(main())


def test_a_probe_that_is_cancelled_says_nothing() -> None:
    """The next question is the probe then."""

    async def main() -> None:
        llm = plays(DOWN, Turn((SIT,), first_s=60.0), OK)
        breaker = Breaker(llm, failures=1)
        await ask(breaker)
        await asyncio.sleep(6)
        probe = asyncio.create_task(ask(breaker))
        await asyncio.sleep(1)
        assert breaker.state == "open"
        probe.cancel()
        with suppress(asyncio.CancelledError):
            await probe
        assert breaker.state == "half-open"
        assert await ask(breaker) == ["ok"]

    run_virtual(main())


def test_cancelled_questions_do_not_count() -> None:
    """Who asks may have changed his mind."""

    async def main() -> None:
        breaker = Breaker(hangs(), failures=1)
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await ask(breaker)
        assert breaker.state == "closed"

    run_virtual(main())


def test_a_question_that_the_deadline_has_cut_counts() -> None:
    """One that says nothing at all is as bad as one that is down."""

    async def main() -> None:
        breaker = Breaker(hangs(), failures=2)
        llm = Deadline(breaker, timeout=1)
        assert await ask(llm, 3) == ["timeout", "timeout", "resting"]
        shared = Breaker(hangs(), failures=1)
        assert await ask(Deadline(Failover([shared, acts()]), timeout=1)) == ["ok"]
        assert shared.state == "open"

    run_virtual(main())


@pytest.mark.parametrize(
    "error", [BadRequestError("?"), ContextOverflowError("!"), RefusedError("no")]
)
def test_a_callers_mistakes_do_not_count(error: LLMError) -> None:
    """What is wrong with one question is nothing against the next."""

    async def main() -> None:
        breaker = Breaker(fails(error), failures=1)
        assert await ask(breaker, 5) == [error.kind] * 5
        assert breaker.state == "closed"

    run_virtual(main())


@pytest.mark.parametrize("error", [AuthError("no"), QuotaError("empty")])
def test_what_does_not_pass_opens_it_at_once(error: LLMError) -> None:
    """A key that is refused is refused at the next tick as well, so for a minute nobody asks."""

    async def main() -> None:
        breaker = Breaker(fails(error))
        assert await ask(breaker, 2) == [error.kind, "resting"]
        await asyncio.sleep(59)
        assert await ask(breaker) == ["resting"]

    run_virtual(main())


def test_answers_that_break_off_count() -> None:
    """Also behind the first action; who has heard enough leaves by himself, and was served."""

    async def main() -> None:
        cut = Turn((SIT,), failure=TruncatedError("cut"))
        breaker = Breaker(plays(cut, cut, Turn((SIT, RUN), duration_s=9), cut, cut, cut))
        await ask(breaker, 2)
        async with aclosing(breaker.act("go")) as actions:
            assert await anext(actions) == SIT
        assert await ask(breaker, 3) == ["truncated"] * 3
        assert breaker.state == "open"

    run_virtual(main())


def test_what_began_before_it_opened_is_old_news() -> None:
    """An answer that was slow does not close it, and a failure does not open it further."""

    async def main() -> None:
        llm = plays(
            Turn(failure=ServerError("late"), duration_s=3.0), Turn((SIT,), first_s=3.0), DOWN
        )
        breaker = Breaker(llm, failures=1)
        old = [asyncio.create_task(ask(breaker)), asyncio.create_task(ask(breaker))]
        await asyncio.sleep(1)
        await ask(breaker)
        await asyncio.gather(*old)
        assert breaker.state == "open"
        await asyncio.sleep(3)
        assert breaker.state == "half-open"

    run_virtual(main())


def test_an_open_breaker_costs_no_time() -> None:
    """The next brain is asked in the same instant."""

    async def main() -> None:
        first = fails()
        breaker = Breaker(first, failures=1)
        await ask(breaker)
        begun = asyncio.get_running_loop().time()
        events, _ = await tick(Deadline(Failover([breaker, acts()]), timeout=3))
        assert asyncio.get_running_loop().time() == begun
        assert [each.outcome for each in finished(events).attempts] == ["resting", "ok"]
        with pytest.raises(RestingError):
            await keep(breaker, [])
        assert len(first.asked) == 1

    run_virtual(main())


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "down", "mistake", "cancel", "hang"]), st.floats(0, 20)),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_it_follows_its_three_states(script: list[tuple[str, float]], failures: int) -> None:
    """Against a model of it in ten lines: whom it lets through, and when."""
    turns = {
        "ok": OK,
        "down": DOWN,
        "mistake": Turn(failure=RefusedError("no")),
        "cancel": Turn(first_s=1e4),
        "hang": Turn(first_s=1e4),
    }

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        in_a_row, opens, until, is_open = 0, 0, 0.0, False
        llm = plays(OK)
        breaker = Breaker(llm, failures=failures)
        for what, pause_s in script:
            llm._turns = (turns[what],)
            asked = len(llm.asked)
            expected = not is_open or clock() >= until
            done: list[Action] = []
            with suppress(LLMError, TimeoutError):
                async with asyncio.timeout(0.5 if what == "cancel" else None):
                    await keep(Deadline(breaker, timeout=1), done)
            assert (len(llm.asked) - asked == 1) == expected
            if expected:
                if what == "ok":
                    in_a_row, opens, is_open = 0, 0, False
                elif what in ("down", "hang"):
                    in_a_row += 1
                    if is_open or in_a_row >= failures:
                        rest_s = min(60.0, 5.0 * 2**opens)
                        in_a_row, opens, is_open = 0, opens + 1, True
                        until = clock() + rest_s - (0.05 if what == "hang" else 0.0)
            assert (breaker.state == "closed") == (not is_open)
            await asyncio.sleep(pause_s + (0.1 if what == "hang" else 0.0))

    run_virtual(main())


def test_a_probe_that_never_ends_is_given_up() -> None:
    """Another one is let through then."""

    over = asyncio.Event()

    class Stuck(ScriptedLLM[CortexOutputModel]):
        async def stream(
            self, prompt: str | Prompt, messages: Messages = None
        ) -> AsyncGenerator[Event, None]:
            if len(self.asked) == 1:
                self.asked.append(self.asked[0])
                while not over.is_set():
                    with suppress(asyncio.CancelledError):
                        await over.wait()
            async with aclosing(super().stream(prompt, messages)) as events:
                async for event in events:
                    yield event

    async def main() -> None:
        breaker = Breaker(Stuck(DOWN, DOWN, OK), failures=1)
        robot = Deadline(Failover([breaker, acts()]), timeout=3)
        await ask(robot)
        await asyncio.sleep(6)
        assert await ask(robot) == ["ok"]
        assert breaker.state == "open"
        await asyncio.sleep(61)
        assert breaker.state == "half-open"
        assert await ask(robot) == ["ok"]
        assert breaker.state == "closed"
        over.set()

    run_virtual(main())


def test_a_cancelled_question_that_takes_long_to_end_does_not_count() -> None:
    """It was cancelled in time, however late its end is."""

    class Slow(ScriptedLLM[CortexOutputModel]):
        async def stream(
            self, prompt: str | Prompt, messages: Messages = None
        ) -> AsyncGenerator[Event, None]:
            try:
                await asyncio.sleep(60)
                yield TextDelta("")
            finally:
                await asyncio.sleep(0.3)

    async def main() -> None:
        breaker = Breaker(Slow(), failures=1)
        for _ in range(3):
            with suppress(TimeoutError):
                async with asyncio.timeout(2.8):
                    await ask(Deadline(breaker, timeout=3))
            await asyncio.sleep(1)
        assert breaker.state == "closed"

    run_virtual(main())
