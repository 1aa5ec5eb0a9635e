"""Brains of somebody else's that keep no rule: none of them keeps the robot from acting in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from reflexarc.errors import BadOutputError, ConfigError, ServerError
from reflexarc.llm import LLM, Messages
from reflexarc.prompt import Prompt
from reflexarc.resilience import Deadline, Failover, Hedge, Retry
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import Action, ActionReady, CortexOutputModel, Event, PlainText

from .brains import RUN, SIT, acts, finished, outcomes, plays, tick

STILL = Action(type="move", value="stand still")


class Stranger(LLM[CortexOutputModel]):
    """A brain that says nothing, and does something of its own when it is to end.

    Parameters
    ----------
    end_s : float, default 0.0
        Seconds that it takes for its end.
    is_deaf : bool, default False
        Whether it goes on for so long without a look at its cancellations.
    """

    name = "Stranger"

    def __init__(self, end_s: float = 0.0, *, is_deaf: bool = False) -> None:
        self.end_s = end_s
        self.is_deaf = is_deaf
        self.ends_begun = 0
        self.ended = 0

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Hang."""
        clock = asyncio.get_running_loop().time
        try:
            await asyncio.sleep(1e4)
        finally:
            self.ends_begun += 1
            until = clock() + self.end_s
            while clock() < until:
                with suppress(asyncio.CancelledError if self.is_deaf else ZeroDivisionError):
                    await asyncio.sleep(until - clock())
            self.ended += 1
        yield ActionReady(RUN, 0, 0.0)


def clock() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("is_deaf", [True, False])
def test_one_that_will_not_end_holds_up_no_tick(is_deaf: bool) -> None:
    """With another one behind it, and alone; it is cancelled again when the chain is closed."""

    async def main() -> None:
        stranger = Stranger(20, is_deaf=is_deaf)
        for llm, who in ((stranger, "idle"), (Failover([stranger, acts()]), "Second")):
            robot = Deadline(llm, timeout=3, idle=STILL)
            begun = clock()
            events, error = await tick(robot)
            assert (error, finished(events).provider) == (None, who)
            assert clock() - begun <= 3
            assert outcomes(finished(events))[0] == ("Stranger", "timeout")
            assert len(asyncio.all_tasks()) == 2
            await robot.aclose()
            assert len(asyncio.all_tasks()) == 1 + is_deaf
            await asyncio.sleep(25)
            assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


@pytest.mark.parametrize("way", ["late", "overtaken", "left"])
def test_an_end_that_takes_a_moment_is_left_alone(way: str) -> None:
    """It is cancelled once, so that its connection is closed in peace, and waited for."""

    async def main() -> None:
        stranger = Stranger(0.05)
        if way == "late":
            await tick(Deadline(Failover([stranger, acts()]), timeout=1))
        elif way == "overtaken":
            await tick(Hedge(stranger, acts(), after_s=0.1))
        else:
            asking = asyncio.create_task(tick(Failover([stranger])))
            await asyncio.sleep(1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert (stranger.ends_begun, stranger.ended) == (1, 1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


class Raising(ScriptedLLM[CortexOutputModel]):
    """A brain that raises the same object each time, whatever it is asked to do."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(name="Raising")
        self.error = error

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Fail."""
        raise self.error
        yield

    async def open(self) -> None:
        """Fail."""
        raise self.error

    async def warm(self, prompt: Prompt) -> None:
        """Fail."""
        raise self.error

    async def connect(self) -> None:
        """Fail."""
        raise self.error


class Panic(BaseException):
    """As an extension in Rust raises it."""


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), OSError("gone"), KeyError("x"), Panic("!")]
)
def test_what_no_brain_should_raise_is_a_failure(error: BaseException) -> None:
    """Also a cancellation that nobody asked for; with and without a deadline, and at the start."""

    async def main() -> None:
        for wrap in (lambda llm: Deadline(llm, timeout=3), lambda llm: llm):
            llm: LLM[Any] = wrap(Failover([Raising(error), acts()]))
            async with AsyncExitStack() as stack:
                if not isinstance(error, Panic):
                    await stack.enter_async_context(llm)
                    await llm.warm(Prompt())
                    await llm.connect()
                begun = clock()
                events, _ = await tick(llm)
                assert clock() == begun
            assert outcomes(finished(events)) == [("Raising", "unavailable"), ("Second", "ok")]
        events, _ = await tick(Deadline(Raising(error), timeout=3, idle=STILL))
        assert finished(events).provider == "idle"

    run_virtual(main())


def test_one_error_raised_again_and_again_is_told_once() -> None:
    """What is written into it at one tick is not told at the next, where it would grow for ever."""

    async def main() -> None:
        error = ServerError("down")
        robot = Deadline(Retry(Raising(error), budget=1.0), timeout=3, idle=STILL)
        for _ in range(5):
            events, _ = await tick(robot)
            assert outcomes(finished(events)) == [("Raising", "server")] * 2
        assert error.attempts == ()

    run_virtual(main())


def test_one_that_writes_no_text_is_followed_by_one_that_does() -> None:
    """It takes a request for a text for one to act; nothing of that leaves."""

    async def main() -> None:
        writer = ScriptedLLM[CortexOutputModel](Turn(answer=PlainText(text="Much.")))
        for deaf in (acts(), acts(RUN), plays(Turn())):
            assert await Failover([deaf, writer]).write("What has happened?") == "Much."
        with pytest.raises(BadOutputError, match="asked for plain text"):
            await Failover([acts()]).write("What has happened?")

    run_virtual(main())


def test_times_are_those_of_our_clock() -> None:
    """What a brain says of its own times is not what the next question goes by."""

    class Liar(Stranger):
        async def stream(
            self, prompt: str | Prompt, messages: Messages = None
        ) -> AsyncGenerator[Event, None]:
            await asyncio.sleep(1e4 if self.ended > 8 else 0.4)
            self.ended += 1
            yield ActionReady(SIT, 0, float("nan"))
            raise ServerError("down")

    async def main() -> None:
        liar, second = Liar(), acts()
        chain = Failover([liar, second], hedge_after="p95")
        for _ in range(9):
            await tick(chain)
            await asyncio.sleep(61)
        begun = clock()
        events, _ = await tick(chain)
        assert finished(events).provider == "Second"
        assert clock() - begun == pytest.approx(0.4)

    run_virtual(main())


def test_an_idle_action_that_does_not_fit_is_told_at_the_start() -> None:
    """Not at the moment at which the robot needs it."""
    with pytest.raises(ConfigError, match="the idle action does not fit PlainText"):
        Deadline(acts(), timeout=3, idle=STILL, output_model=PlainText)


def test_one_that_is_not_ready_is_not_waited_for() -> None:
    """Also where it swallows its cancellation; it is cancelled again when all is closed."""

    class Cold(ScriptedLLM[CortexOutputModel]):
        async def warm(self, prompt: Prompt) -> None:
            while True:
                try:
                    await asyncio.sleep(1e4)
                except asyncio.CancelledError:
                    if self.is_open:
                        continue
                    raise

    async def main() -> None:
        cold = Cold()
        chain = Failover([cold, acts()])
        await chain.open()
        begun = clock()
        await chain.warm(Prompt())
        assert clock() - begun == pytest.approx(0.5)
        cold.is_open = False
        await chain.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_one_error_of_two_brains_names_each() -> None:
    """Though both raise the same object, which keeps nothing of it."""

    async def main() -> None:
        error = ServerError("down")
        brains = Raising(error), Raising(error)
        brains[1].name = "Other"
        _, whole = await tick(Failover(brains))
        assert whole is not None
        assert whole.message.endswith("Raising (server): down; Other (server): down")
        assert (error.provider, error.__traceback__) == (None, None)

    run_virtual(main())
