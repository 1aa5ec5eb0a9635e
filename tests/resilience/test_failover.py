"""Several brains behind one face: who is asked, for how long, and what the robot does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc import LLMConfig, Prompt, load_llm
from reflexarc.attempts import AttemptFailed
from reflexarc.due import due
from reflexarc.errors import (
    AuthError,
    ConfigError,
    ConnectError,
    DeadlineError,
    LLMError,
    RestingError,
    ServerError,
    TruncatedError,
    UnavailableError,
)
from reflexarc.llm import Messages
from reflexarc.resilience import Breaker, Deadline, Failover
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    PlainText,
    TextDelta,
)

from .brains import RUN, SIT, acts, chain, fails, finished, hangs, keep, plays, tick


async def test_the_first_that_answers_is_the_one() -> None:
    """With a brain that answers, nobody behind it is asked."""
    first, second = acts(SIT), acts(RUN)
    answer = await chain(first, second).ask("go")
    assert answer.actions == [SIT]
    assert second.asked == []


@pytest.mark.parametrize("error", [ServerError("down"), AuthError("no"), ConnectError("gone")])
async def test_a_failure_is_followed_by_the_next(error: LLMError) -> None:
    """Whatever it is, and the record of the call has both."""
    events = [event async for event in chain(fails(error), acts()).stream("go")]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert [(each.provider, each.outcome) for each in finished.attempts] == [
        ("First", error.kind),
        ("Second", "ok"),
    ]


async def test_nothing_starts_again_once_an_action_is_out() -> None:
    """The robot has begun to move: the failure is told, and what was done stands."""
    second = acts(RUN)
    failover = chain(fails(events=(SIT,)), second)
    done: list[Action] = []
    with pytest.raises(TruncatedError, match=r"after an action \(server\): down") as caught:
        await keep(failover, done)
    assert done == [SIT]
    assert second.asked == []
    assert isinstance(caught.value.__cause__, ServerError)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["server"]


async def test_a_silent_brain_has_its_share_of_the_time() -> None:
    """Of three brains the first must act within a third; the others have what is left."""
    clock = asyncio.get_running_loop().time
    silent = acts(first_s=60.0)
    begun = clock()
    finished = [event async for event in chain(silent, fails(), acts(), timeout=0.9).stream("go")]
    assert 0.25 <= clock() - begun < 0.85
    assert [attempt.outcome for attempt in finished[-1].attempts] == ["timeout", "server", "ok"]  # pyright: ignore[reportAttributeAccessIssue]
    assert silent.asked[0].ended == "closed"


async def test_one_that_is_not_reached_in_its_share_is_told_as_such() -> None:
    """Its failure is the connection's, and says nothing of a slow model; the next one acts."""

    class Unreached(ScriptedLLM[CortexOutputModel]):
        async def stream(
            self, prompt: str | Prompt, messages: Messages = None
        ) -> AsyncGenerator[Event, None]:
            due().seek("http://10.0.0.9/v1")
            async with aclosing(super().stream(prompt, messages)) as events:
                async for event in events:
                    yield event

    failover = chain(Unreached(Turn((SIT,), first_s=60.0)), acts(), timeout=0.9)
    events = [event async for event in failover.stream("go")]
    first, last = events[-1].attempts  # pyright: ignore[reportAttributeAccessIssue]
    assert (first.outcome, last.outcome) == ("connection", "ok")
    assert first.message.startswith("no connection to http://10.0.0.9/v1 within the 0.")


async def test_once_it_acts_a_brain_has_all_the_time() -> None:
    """The share is for the first action; the rest of the answer may take what remains."""
    slow = acts(SIT, RUN, first_s=0.1, duration_s=0.6)
    answer = await chain(slow, acts(), timeout=0.9).ask("go")
    assert answer.actions == [SIT, RUN]


@pytest.mark.parametrize(
    ("limits", "phase"),
    [({"timeout": 0.2}, "total"), ({"first_action_timeout": 0.2}, "first_action")],
)
async def test_the_whole_is_over_in_time(limits: dict[str, float], phase: str) -> None:
    """Where the last one is silent too, the deadline is the answer."""
    with pytest.raises(DeadlineError) as caught:
        await chain(acts(first_s=60.0), **limits).ask("go")
    assert caught.value.phase == phase


async def test_the_deadline_cuts_an_answer_that_has_begun() -> None:
    """Also behind the first action the whole keeps its limit."""
    with pytest.raises(TruncatedError, match="not complete") as caught:
        await chain(acts(SIT, RUN, duration_s=60.0), acts(), timeout=0.3).ask("go")
    assert isinstance(caught.value.__cause__, DeadlineError)
    assert caught.value.__cause__.phase == "total"
    assert [attempt.outcome for attempt in caught.value.attempts] == ["timeout"]


async def test_times_count_from_the_start_of_the_question() -> None:
    """What the failed ones took is in every time that is told."""
    refused = ActionRefused("fly", "up", "it has no wings", 0.0)
    second = ScriptedLLM[CortexOutputModel](Turn((refused, SIT)))
    events = [event async for event in chain(fails(duration_s=0.3), second).stream("go")]
    failed, refusal, ready, finished = events
    assert isinstance(failed, AttemptFailed)
    assert (failed.attempt.provider, failed.next) == ("First", "ScriptedLLM")
    assert isinstance(refusal, ActionRefused)
    assert isinstance(ready, ActionReady)
    assert isinstance(finished, Finished)
    assert ready.index == 0
    times = failed.at_s, refusal.at_s, ready.at_s, finished.total_s, finished.first_action_s or 0
    assert min(times) >= 0.29


async def test_when_all_fail_each_is_named() -> None:
    """One error says who failed and how, and may be tried again if any of them may."""
    second = ScriptedLLM[CortexOutputModel](Turn(failure=AuthError("bad key")), name="Second")
    with pytest.raises(UnavailableError) as caught:
        await chain(fails(), second).ask("go")
    error = caught.value
    assert error.message == (
        "none of 2 brains answered: First (server): down; Second (auth): bad key"
    )
    assert error.retryable
    assert [attempt.outcome for attempt in error.attempts] == ["server", "auth"]
    assert isinstance(error.__cause__, ExceptionGroup)


async def test_a_callers_mistake_is_nobodys_failure() -> None:
    """A wrong message is told at once, not to every brain in turn."""
    second = acts()
    with pytest.raises(ConfigError):
        await chain(acts(), second).ask("go", [{"role": "nobody", "content": "x"}])
    assert second.asked == []


async def test_cancelling_closes_the_running_one() -> None:
    """Cancelling passes through, and the brain that was asked is left at once."""
    silent, second = acts(first_s=60.0), acts()
    task = asyncio.create_task(chain(silent, second, timeout=120).ask("go"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert silent.asked[0].ended == "closed"
    assert second.asked == []


async def test_leaving_in_the_middle_closes_the_running_one() -> None:
    """Who has heard enough stops the model."""
    slow = acts(SIT, RUN, duration_s=60.0)
    async with aclosing(chain(slow, timeout=120).act("go")) as actions:
        assert await anext(actions) == SIT
    assert slow.asked[0].ended == "closed"


class Stubborn(ScriptedLLM[CortexOutputModel]):
    """A brain that cannot be opened, warmed or closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(name="Stubborn")
        self.error = error

    async def open(self) -> None:
        """Fail."""
        raise self.error

    async def warm(self, prompt: Prompt) -> None:
        """Fail."""
        raise self.error

    async def aclose(self) -> None:
        """Fail."""
        raise self.error


async def test_one_that_opens_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    """A brain that cannot be made ready is told, and the others are ready."""
    second = acts()
    failover = chain(Stubborn(ConnectError("gone")), second)
    await failover.open()
    await failover.warm(Prompt(system="x"))
    assert second.is_open
    assert caplog.text.count("Stubborn is not ready (connection): gone") == 2


async def test_none_that_opens_is_an_error() -> None:
    """Where no brain can be made ready, that is told at the start."""
    with pytest.raises(UnavailableError, match="none of 2"):
        await chain(Stubborn(ConnectError("a")), Stubborn(ConnectError("b"))).open()


async def test_a_callers_mistake_at_the_start_is_told_as_it_is() -> None:
    """A brain that is configured wrongly is no failure of the world."""
    with pytest.raises(ConfigError, match="no such model"):
        await chain(Stubborn(ConfigError("no such model")), acts()).open()


@pytest.mark.parametrize("wrong_first", [True, False])
async def test_what_is_configured_wrongly_stops_no_other(tmp_path: Path, wrong_first: bool) -> None:
    """Once the robot runs, a brain that cannot be made fails like any other."""
    wrong = {"type": "OnboardLLM", "model": str(tmp_path / "none.gguf")}
    wrongly = load_llm(LLMConfig.model_validate(wrong), environ={"HOME": str(tmp_path)})
    if wrong_first:
        assert (await chain(wrongly, acts()).ask("go")).actions == [SIT]
    else:
        with pytest.raises(UnavailableError, match=r"First \(server\): down; OnboardLLM"):
            await chain(fails(), wrongly).ask("go")


async def test_a_deadline_names_its_brain() -> None:
    """Who was too slow is known to a program as well."""
    with pytest.raises(DeadlineError) as caught:
        await chain(acts(first_s=60.0), timeout=0.05).ask("go")
    assert caught.value.provider == "Second"


async def test_all_are_closed_even_where_one_fails() -> None:
    """Closing one that fails leaves none open."""
    before, after = acts(), acts()
    failover = chain(before, Stubborn(OSError("stuck")), after)
    before.is_open = after.is_open = True
    with pytest.raises(OSError, match="stuck"):
        await failover.aclose()
    assert not before.is_open
    assert not after.is_open


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5))
def test_every_action_is_given_once_and_in_order(script: list[tuple[int, bool]]) -> None:
    """Whatever the brains do, the actions are those of the first that acts or answers."""
    steps = [Action(type="move", value=str(number)) for number in range(3)]
    turns = [
        Turn(tuple(steps[:count]), failure=None if ends_well else ServerError("down"))
        for count, ends_well in script
    ]
    expected = next((count for count, ends_well in script if ends_well or count), 0)

    async def play() -> list[Action]:
        done: list[Action] = []
        with suppress(LLMError):
            await keep(chain(*map(ScriptedLLM, turns)), done)
        return done

    assert asyncio.run(play()) == steps[:expected]


def test_one_that_has_failed_is_no_help_to_one_that_is_slow() -> None:
    """It is not started beside it, and takes none of its time."""

    async def main() -> None:
        first = plays(Turn((SIT,), failure=ServerError("down")))
        slow = acts(RUN, first_s=1.8)
        llm = Deadline(Failover([first, slow], hedge_after="p95"), timeout=3)
        assert isinstance((await tick(llm))[1], TruncatedError)
        for _ in range(3):
            events, _ = await tick(llm)
            assert finished(events).first_action_s == pytest.approx(1.8)
        assert len(first.asked) == 1

    run_virtual(main())


def test_a_server_out_of_reach_holds_up_no_start() -> None:
    """The others are ready by then, and one on board is waited for."""

    class Slow(ScriptedLLM[CortexOutputModel]):
        async def warm(self, prompt: Prompt) -> None:
            await asyncio.sleep(1 if self.is_on_board else 60)
            self.is_open = True

    async def main() -> None:
        far, onboard = Slow(), Slow()
        onboard.is_on_board = True
        begun = asyncio.get_running_loop().time()
        await Failover([far, onboard]).warm(Prompt())
        assert asyncio.get_running_loop().time() - begun == pytest.approx(1)
        assert (far.is_open, onboard.is_open) == (False, True)

    run_virtual(main())


class Buggy(ScriptedLLM[CortexOutputModel]):
    """A brain of somebody else's with a mistake in it, or without an end."""

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Fail as no provider should, or end without a word."""
        if self.name == "silent":
            return
        yield TextDelta("")
        raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("name", ["broken", "silent"])
async def test_a_mistake_in_one_brain_is_no_reason_for_none(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback, and the next one answers."""
    events, _ = await tick(chain(Buggy(name=name), acts()))
    [failed] = [event for event in events if isinstance(event, AttemptFailed)]
    assert failed.attempt.outcome == ("unavailable" if name == "broken" else "bad_output")
    assert finished(events).provider == "Second"
    assert ("ZeroDivisionError" in caplog.text) == (name == "broken")


WORDS = (TextDelta("It has"), TextDelta(" rained."))
TEXT = PlainText(text="It has rained.")


def test_a_text_may_take_all_the_time_once_it_has_begun() -> None:
    """It must begin in its share; being late with it is nothing against how well one acts."""

    async def main() -> None:
        writes = plays(Turn(WORDS, first_s=0.5, duration_s=2.5, answer=TEXT), Turn((SIT,)))
        robot = chain(writes, acts(), timeout=3)
        assert await robot.write("What has happened?") == TEXT.text

        slow = plays(Turn(first_s=60.0), Turn((SIT,)))
        second = plays(Turn(WORDS, first_s=1.0, duration_s=1.4, answer=TEXT))
        breaker = Breaker(slow, failures=1)
        robot = chain(breaker, second, timeout=3)
        assert await robot.write("What has happened?") == TEXT.text
        assert breaker.state == "closed"
        assert (await robot.ask("go")).actions == [SIT]
        assert len(slow.asked) == 2

    run_virtual(main())


def test_a_quick_brain_is_left_an_equal_share_for_a_text() -> None:
    """How long its actions take says nothing of its texts."""

    async def main() -> None:
        second = plays(*[Turn((SIT,), first_s=0.05)] * 8, Turn(WORDS, first_s=0.8, answer=TEXT))
        first = plays(*[Turn(failure=ServerError("down"))] * 8, Turn(first_s=60.0))
        robot = chain(first, second, timeout=3)
        for _ in range(8):
            await robot.ask("go")
            await asyncio.sleep(61)
        assert await robot.write("What has happened?") == TEXT.text

    run_virtual(main())


def test_a_text_that_breaks_off_is_begun_again() -> None:
    """By the next brain: nothing has been done."""

    async def main() -> None:
        first = plays(Turn(WORDS[:1], failure=ServerError("down")))
        second = plays(Turn(WORDS, answer=TEXT))
        assert await chain(first, second).write("What has happened?") == TEXT.text

    run_virtual(main())


def test_one_whose_brains_rest_is_left_alone_no_longer_than_they() -> None:
    """Inside another one, it begins no rest of its own on top of theirs."""

    async def main() -> None:
        well = plays(Turn(failure=AuthError("no")), Turn((SIT,)))
        inner = Failover([Breaker(well), fails()])
        robot = chain(inner, acts(RUN), timeout=3)
        for _ in range(62):
            actions = (await robot.ask("go")).actions
            if actions == [SIT]:
                break
            await asyncio.sleep(1)
        assert actions == [SIT]

        resting = Failover([Breaker(fails(AuthError("no"))), fails()])
        with pytest.raises(UnavailableError, match="none of 2"):
            await resting.ask("go")
        with pytest.raises(RestingError, match="none of 2") as caught:
            await resting.ask("go")
        assert caught.value.retry_after_s == pytest.approx(60)

    run_virtual(main())


def test_questions_at_the_same_time_meet_one_failure() -> None:
    """Five that meet it are no five in a row, and what was asked before it does not undo it."""

    async def main() -> None:
        down = Turn(failure=ServerError("down"), first_s=0.1)
        first = plays(Turn((SIT,), first_s=0.5), *[down] * 5, Turn((SIT,)))
        failover = Failover([first, acts(RUN)])
        answers = await asyncio.gather(*(failover.ask("go") for _ in range(6)))
        assert [answer.actions for answer in answers] == [[SIT], *[[RUN]] * 5]
        await asyncio.sleep(4)
        assert (await failover.ask("go")).actions == [RUN]
        await asyncio.sleep(1)
        assert (await failover.ask("go")).actions == [SIT]

    run_virtual(main())


def test_all_that_rest_have_equal_shares() -> None:
    """Or the first of them would have all the time for ever, and one that is well none of it."""

    async def main() -> None:
        down = Turn(failure=ServerError("down"))
        second = plays(down, Turn((RUN,), first_s=0.5))
        robot = chain(hangs(), second, timeout=3)
        with pytest.raises(UnavailableError):
            await robot.ask("go")
        assert (await robot.ask("go")).actions == [RUN]

    run_virtual(main())


def test_a_text_makes_up_for_no_action() -> None:
    """A brain that hangs at actions and writes texts is left alone at actions all the same."""

    async def main() -> None:
        class Writer(ScriptedLLM[CortexOutputModel]):
            async def stream(
                self, prompt: str | Prompt, messages: Messages = None
            ) -> AsyncGenerator[Event, None]:
                is_plain = isinstance(prompt, Prompt) and prompt.is_plain
                self._turns = (Turn(answer=TEXT),) if is_plain else (Turn(first_s=60.0),)
                async with aclosing(super().stream(prompt, messages)) as events:
                    async for event in events:
                        yield event

        writer = Writer()
        breaker = Breaker(writer, failures=1)
        robot = chain(breaker, acts(), timeout=3)
        for _ in range(3):
            assert (await robot.ask("go")).actions == [SIT]
            with suppress(RestingError):
                await writer.write("What has happened?")
        acted = [asked for asked in writer.asked if not asked.prompt.is_plain]
        assert (len(acted), breaker.state) == (1, "open")

    run_virtual(main())
