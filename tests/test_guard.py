"""The robot's own rules: what they stop, what they let pass, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from reflexarc import RobotConfig
from reflexarc.errors import ConfigError, ServerError
from reflexarc.guard import Guard
from reflexarc.llm import LLM
from reflexarc.resilience import Deadline
from reflexarc.rules import Limit, Never
from reflexarc.specs import ActionSpec
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    PlainText,
)
from reflexarc.vocabulary import Vocabulary

SIT = Action(type="move", value="sit")
RUN = Action(type="move", value="run")
HI = Action(type="speak", value="Hi.")
DOG = Vocabulary([ActionSpec("move", ("sit", "run")), ActionSpec("speak", None)])


def brain(*actions: Action, **turn: Any) -> ScriptedLLM[CortexOutputModel]:
    """A brain that does these each time."""
    return ScriptedLLM(Turn(actions, **turn))


def never(**rule: Any) -> Never:
    """A rule as a file has it."""
    return Never.model_validate(rule)


def limit(**rule: Any) -> Limit:
    """A rule as a file has it."""
    return Limit.model_validate(rule)


async def listen(llm: LLM[Any], sensed: str = "A person says: go.") -> list[Event]:
    """All that comes of one question."""
    return [event async for event in llm.stream(sensed)]


def done(events: list[Event]) -> list[Action]:
    """What was done; the answer says the same, and the actions are counted without gaps."""
    ready = [event for event in events if isinstance(event, ActionReady)]
    assert [event.index for event in ready] == [*range(len(ready))]
    end = events[-1]
    assert isinstance(end, Finished)
    assert isinstance(end.answer, CortexOutputModel)
    assert end.answer.actions == [event.action for event in ready]
    return end.answer.actions


def test_what_is_never_done_is_refused_and_told() -> None:
    """The other actions pass; a value's case and white space make no difference."""
    guard = Guard(brain(SIT, RUN, HI), never=[never(type="Move", value=" RUN")], vocabulary=DOG)
    events = run_virtual(listen(guard))
    assert done(events) == [SIT, HI]
    [refused] = [event for event in events if isinstance(event, ActionRefused)]
    assert (refused.type, refused.value) == ("move", "run")
    assert refused.reason == "the robot never does 'Move  RUN'"


@pytest.mark.parametrize(
    ("sensed", "passes"),
    [
        ("The camera sees STAIRS ahead.\nA person says: run!", False),
        ("You see a cliff.", False),
        ("A person wears upstairs boots.", True),
        ("Nothing.", True),
    ],
)
def test_a_rule_may_hold_only_while_something_is_sensed(sensed: str, passes: bool) -> None:
    """By whole words, in any case, of all that is sensed in the tick."""
    rule = never(type="move", value="run", **{"while": ["stairs", "a cliff"]})
    assert done(run_virtual(listen(Guard(brain(RUN), never=[rule]), sensed))) == [RUN] * passes


def test_a_type_may_be_forbidden_as_a_whole() -> None:
    """Without a value, any value."""
    rule = never(type="speak", **{"while": "asleep"})
    guard = Guard(brain(SIT, HI), never=[rule])
    assert done(run_virtual(listen(guard, "The baby is asleep."))) == [SIT]


def test_a_ban_holds_on_after_what_was_sensed() -> None:
    """For some seconds, by any question or by what `sense` is told; then it is over."""
    rule = never(type="move", value="run", hold=3, **{"while": ["stairs", "a child"]})

    async def main() -> None:
        guard = Guard(brain(RUN, HI), never=[rule, never(type="speak", **{"while": "asleep"})])
        assert done(await listen(guard)) == [RUN, HI]
        assert guard.objection(RUN) is None
        assert done(await listen(guard, "You see stairs.")) == [HI]
        await asyncio.sleep(2)
        events = await listen(guard)
        assert done(events) == [HI]
        [refused] = [event for event in events if isinstance(event, ActionRefused)]
        told = "the robot does not do 'move run' yet: it sensed 'stairs' 2.0 s ago"
        assert refused.reason == guard.objection(RUN) == told
        guard.sense("You see\nA CHILD.")
        await asyncio.sleep(2.9)
        assert guard.objection(RUN)
        assert guard.objection(HI) is None
        await asyncio.sleep(0.2)
        assert guard.objection(RUN) is None
        assert done(await listen(guard)) == [RUN, HI]

    run_virtual(main())


def test_what_is_written_about_is_not_sensed() -> None:
    """A summary of the past tells of stairs that may be far away by now."""

    async def main() -> None:
        llm = ScriptedLLM[CortexOutputModel](Turn(answer=PlainText(text="It saw stairs.")))
        guard = Guard(llm, never=[never(type="move", **{"while": "stairs"})])
        assert await guard.write("Sum up: you see stairs.") == "It saw stairs."
        assert guard.objection(RUN) is None

    run_virtual(main())


@pytest.mark.parametrize(("actions", "first_s"), [((SIT, RUN, HI), 2.0), ((SIT,), None)])
def test_the_first_action_is_one_that_was_done(
    actions: tuple[Action, ...], first_s: float | None
) -> None:
    """What was refused before it was quicker, and moved nobody."""
    ban = [never(type="move", value="sit"), never(type="move", value="run")]
    events = run_virtual(listen(Guard(brain(*actions, duration_s=2), never=ban)))
    assert isinstance(events[-1], Finished)
    assert events[-1].first_action_s == first_s


def test_a_rate_is_kept_over_ticks() -> None:
    """What was refused does not count; the time is counted from what was done."""

    async def main() -> None:
        guard = Guard(brain(HI), limits=[limit(type="speak", per=5)], vocabulary=DOG)
        said: list[float] = []
        clock = asyncio.get_running_loop().time
        begun = clock()
        for _ in range(24):
            events = await listen(guard)
            if done(events):
                said.append(clock() - begun)
            else:
                [refused] = [event for event in events if isinstance(event, ActionRefused)]
                assert refused.reason == "the robot does 'speak' no more than once in 5 s"
            await asyncio.sleep(0.5)
        assert said == pytest.approx([0, 5, 10])

    run_virtual(main())


@given(st.lists(st.floats(0, 3), max_size=30), st.integers(1, 4), st.floats(0.5, 5))
def test_no_window_has_more_than_its_limit(pauses: list[float], most: int, per: float) -> None:
    """However the ticks fall; and nothing is refused while there is room."""

    async def main() -> None:
        guard = Guard(brain(RUN), limits=[limit(type="move", value="run", most=most, per=per)])
        clock = asyncio.get_running_loop().time
        times: list[float] = []
        for pause in pauses:
            now, lately = clock(), [each for each in times if each > clock() - per]
            ran = done(await listen(guard)) == [RUN]
            assert ran == (len(lately) < most)
            times += [now] * ran
            await asyncio.sleep(pause)

    run_virtual(main())


def test_a_rule_holds_for_the_idle_action_too() -> None:
    """Whoever wants it."""

    async def main() -> None:
        down = brain(failure=ServerError("down"))
        guard = Guard(Deadline(down, timeout=3, idle=SIT), never=[never(type="move", value="sit")])
        assert done(await listen(guard)) == []

    run_virtual(main())


def test_an_answer_in_another_class_has_no_more_than_was_done() -> None:
    """Actions as plain objects, as a program may ask for; and one twice, of which one was done."""

    class Plan(BaseModel):
        actions: list[dict[str, str]]

    async def main() -> None:
        plan = Plan(actions=[HI.model_dump(), SIT.model_dump(), HI.model_dump()])
        llm = ScriptedLLM[Plan](Turn((HI, SIT, HI), answer=plan))
        end = (await listen(Guard(llm, limits=[limit(type="speak", per=9)])))[-1]
        assert isinstance(end, Finished)
        assert end.answer == Plan(actions=[HI.model_dump(), SIT.model_dump()])

        class Other(BaseModel):
            goal: str

        other = ScriptedLLM[Other](Turn((RUN,), answer=Other(goal="run")))
        end = (await listen(Guard(other, never=[never(type="move")])))[-1]
        assert isinstance(end, Finished)
        assert end.answer == Other(goal="run")

    run_virtual(main())


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"type": "moev"}, "never has a rule about 'moev', .* did you mean 'move'"),
        ({"type": "move", "value": "fly"}, "never has a rule that could never hold: 'fly' is not"),
    ],
)
def test_a_rule_that_could_never_hold_is_told(rule: dict[str, str], sentence: str) -> None:
    """A misspelled rule is worse than none."""
    with pytest.raises(ConfigError, match=sentence):
        Guard(brain(), never=[never(**rule)], vocabulary=DOG)
    Guard(brain(), never=[never(type="speak", value="Hi.")], vocabulary=DOG)


def test_rules_stand_in_the_robots_file() -> None:
    """Beside its examples; `while` may be one word or several, and wrong ones are told."""
    data: dict[str, Any] = {
        "name": "spot",
        "hertz": 1,
        "cortex_llm": {"type": "OnboardLLM"},
        "agent_actions": [{"name": "move", "llm_label": "move"}],
        "never": [{"type": "move", "value": "run", "while": "stairs"}],
        "limits": [{"type": "move", "most": 2, "per": 60}],
    }
    robot = RobotConfig.model_validate(data)
    assert (robot.never[0].while_, robot.never[0].hold) == (("stairs",), 5)
    assert (robot.limits[0].most, robot.limits[0].per) == (2, 60)
    for wrong in (
        {"limits": [{"type": "move"}]},
        {"never": [{"typ": "move"}]},
        {"never": [{"type": "move", "hold": -1}]},
        {"never": [{"type": "move", "hold": float("inf")}]},
    ):
        with pytest.raises(ValueError, match=r"per|unknown key 'typ'|hold"):
            RobotConfig.model_validate({**data, **wrong})
