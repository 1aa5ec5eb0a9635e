"""Several brains, of which one is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reflexarc import Action, Prompt, Vocabulary
from reflexarc.config import LLMConfig
from reflexarc.errors import ConfigError, ServerError, UnavailableError
from reflexarc.guard import Guard
from reflexarc.registry import load_llm
from reflexarc.resilience import Breaker, FailoverLLM
from reflexarc.runtime.switch import Switch
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn
from reflexarc.types import CortexOutputModel, Message

SIT = Action(type="move", value="sit")
WALK = Action(type="move", value="walk")
ANSWER = '{"actions":[{"type":"move","value":"sit"}]}'
GIVES_UP_S = 5.0


class Brain(ScriptedLLM[Any]):
    """A brain that notes what it was warmed with."""

    warmed: Prompt | None = None

    async def warm(self, prompt: Prompt) -> None:
        """Note it."""
        self.warmed = prompt


class Shut(Brain):
    """A brain that cannot be opened."""

    async def open(self) -> None:
        """Fail."""
        raise UnavailableError("it is not here")


async def did(switch: Switch[Any]) -> list[str]:
    """What the one that is chosen does."""
    return [action.value async for action in switch.act("go")]


async def test_the_one_that_is_chosen_is_asked() -> None:
    """The first at the beginning; only what is chosen is opened; all are closed."""
    one, two = Brain(Turn((SIT,)), name="One"), Brain(Turn((WALK,)), name="Two")
    switch = Switch[Any]({"1": one, "2": two})
    assert repr(switch) == "Switch(1, 2)"
    async with switch:
        await switch.connect()
        await switch.warm(Prompt(system="You are Dot."))
        assert (one.is_open, two.is_open) == (True, False)
        assert (switch.chosen, switch.name, await did(switch)) == ("1", "One", ["sit"])
        switch.choose("2")
        assert (switch.chosen, switch.name, await did(switch)) == ("2", "Two", ["walk"])
        async with asyncio.timeout(GIVES_UP_S):
            while two.warmed is None:  # noqa: ASYNC110 - that it is ready has no event
                await asyncio.sleep(0)
        assert two.is_open
        assert two.warmed.system == "You are Dot."
        switch.choose("2")
        with pytest.raises(ConfigError, match="no brain '3'"):
            switch.choose("3")
        assert switch.chosen == "2"
    assert (one.is_open, two.is_open) == (False, False)


async def test_one_that_cannot_be_opened_may_be_chosen() -> None:
    """The next question meets the same, and tells; one can go back."""
    async with Switch[Any](
        {"1": Brain(Turn((SIT,))), "2": Shut(Turn(failure=ServerError("x")))}
    ) as switch:
        switch.choose("2")
        await asyncio.sleep(0.01)
        with pytest.raises(ServerError):
            await did(switch)
        switch.choose("1")
        assert await did(switch) == ["sit"]


async def test_closing_gives_up_what_is_being_prepared() -> None:
    """One that takes long to open does not hold the end up."""

    class Slow(Brain):
        async def open(self) -> None:
            await asyncio.sleep(60)

    async with Switch[Any]({"1": Brain(), "2": Slow()}) as switch:
        switch.choose("2")
        await asyncio.sleep(0.01)


async def test_the_state_of_each_is_told() -> None:
    """A breaker that is open shows, and that it is asked again after a while."""
    down = Breaker[Any](
        ScriptedLLM(Turn(failure=ServerError("down")), name="Down"), failures=1, open_s=0.05
    )
    async with Switch[Any]({"down": down, "up": Brain(name="Up", model="m")}) as switch:
        assert [each.state for each in switch.standings()] == ["closed"]
        with pytest.raises(ServerError):
            await did(switch)
        assert [each.to_dict() for each in switch.brains()["down"]] == [
            {"name": "Down", "model": "scripted", "state": "open"}
        ]
        assert [each.to_dict() for each in switch.brains()["up"]] == [
            {"name": "Up", "model": "m", "state": "closed"}
        ]
        await asyncio.sleep(0.1)
        assert [each.state for each in switch.standings()] == ["half-open"]


async def test_each_of_a_chain_may_be_asked_alone() -> None:
    """Inside the same limits, with the same idle action, over the same connections."""
    async with (
        Server() as down,
        Server(*[Reply.stream(ANSWER)] * 2) as up,
    ):
        config = LLMConfig(
            type="FailoverLLM",
            timeout=2,
            idle_action=WALK,
            llms=[
                {"type": "LlamaLLM", "model": "a", "base_url": down.base_url},
                {"type": "LlamaLLM", "model": "b", "base_url": up.base_url},
            ],
        )
        whole = load_llm(config, output_model=CortexOutputModel)
        assert isinstance(whole, FailoverLLM)
        first, second = whole.each_alone()
        async with Switch[Any]({"all": whole, "a": first, "b": second}) as switch:
            assert await did(switch) == ["sit"]
            states = [each.state for each in whole.standings()]
            assert states == ["open", "closed"], "the one that has failed is left alone for a while"
            switch.choose("a")
            assert await did(switch) == ["walk"]
            switch.choose("b")
            assert await did(switch) == ["sit"]


async def test_each_is_shown_as_much_of_the_past_as_it_is_to_be() -> None:
    """One with the longest history all, others what is their own; a summary stays but for none."""
    long, short, none = Brain(), Brain(), Brain()
    lengths = {"long": 5, "short": 1, "none": 0}
    past = (Message("system", "before"), *[Message("user", "u"), Message("assistant", "a")] * 6)
    async with Switch[Any]({"long": long, "short": short, "none": none}, lengths) as switch:
        assert switch.history_length == 5
        for name in lengths:
            switch.choose(name)
            await switch.ask(Prompt(situation="go", history=past))
    shown = [len(each.asked[0].prompt.history) for each in (long, short, none)]
    assert shown == [13, 3, 0]


async def test_choosing_back_and_forth_prepares_each_once() -> None:
    """A person who plays with the switch piles nothing up."""

    class Slow(Brain):
        opened = 0

        async def open(self) -> None:
            self.opened += 1
            await asyncio.sleep(0.05)

    one, two = Slow(), Slow()
    async with Switch[Any]({"1": one, "2": two}) as switch:
        for _ in range(50):
            switch.choose("2")
            switch.choose("1")
        await asyncio.sleep(0.1)
    assert (one.opened, two.opened) == (2, 1)


async def test_what_is_around_a_switch_is_what_is_chosen() -> None:
    """Whether it is on board, and paid for, is asked when it matters."""
    cloud, board = Brain(), Brain()
    cloud.is_paid, board.is_on_board = True, True
    async with Switch[Any]({"cloud": cloud, "board": board}) as switch:
        guard = Guard(switch, vocabulary=Vocabulary([ActionSpec("move", ("sit",))]))
        assert (guard.is_paid, guard.is_on_board) == (True, False)
        switch.choose("board")
        assert (guard.is_paid, guard.is_on_board) == (False, True)
