"""A robot's own rules in its loop: what is sensed counts whenever it is, until an action begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from reflexarc.guard import Guard
from reflexarc.prompt import Prompt
from reflexarc.rules import Never
from reflexarc.runtime.actuators import Actuator, Held
from reflexarc.runtime.events import Failed, TickEvent, TickStarted
from reflexarc.runtime.inputs import Board, Input
from reflexarc.runtime.loop import Loop
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import Action, ActionReady, ActionRefused, CortexOutputModel

DRIVE = Action(type="drive", value="forward")
HI = Action(type="speak", value="Hi.")
STAIRS = "There are stairs right ahead."
GO = "A person says: drive forward."


class Timed(Input):
    """Senses texts at set times."""

    def __init__(self, source: str, texts: Sequence[tuple[float, str]]) -> None:
        self.source, self.texts = source, texts

    async def run(self, board: Board) -> None:
        """Put each at its time."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        for at_s, text in self.texts:
            await asyncio.sleep(begun + at_s - clock())
            board.put(self.source, text)


class Wheels(Actuator):
    """Takes its time for what it says, and notes what it drives."""

    def __init__(self) -> None:
        self.driven: list[Action] = []

    async def perform(self, action: Action) -> None:
        """Speak for three seconds, or drive."""
        if action == HI:
            await asyncio.sleep(3)
        else:
            self.driven.append(action)


def drive(turn: Turn, *inputs: Input, hold: float | None = None) -> tuple[Wheels, list[TickEvent]]:
    """What a robot drives that may not do so while it senses stairs, and all that is told."""
    rule = {"type": "drive", "value": "forward", "while": "stairs"}
    never = Never.model_validate(rule if hold is None else {**rule, "hold": hold})
    wheels, seen = Wheels(), list[TickEvent]()

    async def main() -> None:
        guard = Guard(ScriptedLLM[CortexOutputModel](turn), never=[never])
        loop = Loop(
            guard,
            Prompt(system="You are Rover."),
            hertz=5,
            history_length=0,
            inputs=inputs,
            observe=seen.append,
            actuator=Held(wheels, guard.objection),
        )
        loop.board.listen(guard.sense)
        await loop.run()

    run_virtual(main())
    return wheels, seen


def refusals(seen: Sequence[TickEvent]) -> list[str]:
    """Why something was not done."""
    return [event.reason for event in seen if isinstance(event, ActionRefused)]


def test_a_sensor_slower_than_the_ticks_protects_the_robot() -> None:
    """Stairs are told once a second, and a person wants to drive between two such ticks."""
    stairs = Timed("stairs", [(at_s, STAIRS) for at_s in range(10)])
    person = Timed("console", [(0.5 + 1.5 * number, GO) for number in range(6)])
    wheels, seen = drive(Turn((DRIVE,)), stairs, person)
    texts = [event.text for event in seen if isinstance(event, TickStarted)]
    assert texts.count(GO) >= 3
    assert wheels.driven == []
    assert len(refusals(seen)) == len(texts)
    assert "the robot does not do 'drive forward' yet: it sensed 'stairs' 0.5 s ago" in refusals(
        seen
    )


def test_the_ban_ends_some_seconds_after_what_was_sensed_last() -> None:
    """Five, unless the rule says more or less."""
    stairs, person = Timed("stairs", [(0, STAIRS)]), [Timed("console", [(4.9, GO), (5.2, GO)])]
    wheels, seen = drive(Turn((DRIVE,)), stairs, *person)
    assert wheels.driven == [DRIVE]
    assert refusals(seen) == [
        "the robot does not do 'drive forward' while it senses 'stairs'",
        "the robot does not do 'drive forward' yet: it sensed 'stairs' 4.9 s ago",
    ]


@pytest.mark.parametrize(("hold", "driven"), [(0.0, 2), (5.0, 1), (5.3, 0)])
def test_how_long_it_holds_is_a_setting(hold: float, driven: int) -> None:
    """With 0 it holds in ticks in which it is sensed, and in no other."""
    stairs, person = Timed("stairs", [(0, STAIRS)]), Timed("console", [(4.9, GO), (5.2, GO)])
    wheels, _ = drive(Turn((DRIVE,)), stairs, person, hold=hold)
    assert len(wheels.driven) == driven


def test_what_was_given_up_as_missed_counts() -> None:
    """No tick is told of the stairs, since the same sensor sees something else before it begins."""
    camera = Timed("camera", [(0, "A wall."), (0.01, STAIRS), (0.02, "A wall."), (0.03, GO)])
    wheels, seen = drive(Turn((DRIVE,)), camera)
    assert [event.text for event in seen if isinstance(event, TickStarted)] == ["A wall.", GO]
    assert wheels.driven == [DRIVE]  # before the stairs
    assert len(refusals(seen)) == 1


def test_what_is_sensed_while_the_answer_is_written_counts() -> None:
    """The question left before the stairs came into view."""
    person, stairs = Timed("console", [(0, GO)]), Timed("stairs", [(1, STAIRS)])
    wheels, seen = drive(Turn((DRIVE,), first_s=2), person, stairs, hold=1.5)
    assert wheels.driven == []
    assert refusals(seen)[0] == (
        "the robot does not do 'drive forward' yet: it sensed 'stairs' 1.0 s ago"
    )


def test_what_is_sensed_while_an_action_waits_for_another_counts() -> None:
    """It was found right, and then the robot spoke for three seconds."""
    person, stairs = Timed("console", [(0, GO)]), Timed("stairs", [(1, STAIRS)])
    wheels, seen = drive(Turn((HI, DRIVE)), person, stairs)
    assert wheels.driven == []
    assert [event.action for event in seen if isinstance(event, ActionReady)][:2] == [HI, DRIVE]
    [failed] = [event for event in seen if isinstance(event, Failed)]
    assert failed.action == DRIVE
    assert str(failed.error) == (
        "the robot does not do 'drive forward' yet: it sensed 'stairs' 2.0 s ago"
    )
