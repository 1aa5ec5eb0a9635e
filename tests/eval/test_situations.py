"""What is right in a situation, and the account of many; and the file of them that is ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import RobotConfig, Sensed
from reflexarc.errors import ConfigError, ServerError
from reflexarc.eval.judges import Idle, Nearest
from reflexarc.eval.score import Result, Share, play, summary
from reflexarc.eval.situations import Situation, load_situations
from reflexarc.prompt import Prompt
from reflexarc.specs import ActionSpec
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, CortexOutputModel
from reflexarc.vocabulary import Refusal, Vocabulary

OURS = Path(__file__).parents[2] / "eval" / "situations.jsonl"
CONFIG = OURS.parents[1] / "config"
SIT, RUN = Action(type="move", value="sit"), Action(type="move", value="run")
DOG = Vocabulary([ActionSpec("move", ("stand still", "sit", "run")), ActionSpec("speak", None)])


def say(value: str) -> Action:
    """A sentence."""
    return Action(type="speak", value=value)


def situation(**fields: Any) -> Situation:
    """One in which a person says sit."""
    accept = [[SIT.model_dump()]]
    whole = {"id": "x", "category": "simple", "text": "A person says: sit", "accept": accept}
    return Situation.model_validate({**whole, **fields})


@pytest.mark.parametrize(
    ("fields", "actions", "mistake"),
    [
        ({}, [SIT], ""),
        ({}, [RUN, SIT], ""),
        ({}, [], "it does not do what is asked for"),
        ({"allow": {"move": ["sit"]}}, [SIT, RUN], "move 'run' is not to be done"),
        ({"allow": {"speak": []}}, [SIT, say("Hi.")], "speak 'Hi.' is not to be done"),
        ({"accept": [[RUN.model_dump()], []]}, [], ""),
        ({"accept": [[{"type": "speak", "value": "*"}]]}, [say("Oh.")], ""),
        (
            {"accept": [[{"type": "speak", "value": "*"}]]},
            [SIT],
            "it does not do what is asked for",
        ),
        ({"accept": [[SIT.model_dump(), RUN.model_dump()]], "ordered": True}, [SIT, RUN], ""),
        (
            {"accept": [[SIT.model_dump(), RUN.model_dump()]], "ordered": True},
            [RUN, SIT],
            "it does not do what is asked for",
        ),
        ({"say": {"not": ["sure"]}}, [SIT, say("I am not unsure.")], ""),
        ({"say": {"not": ["sure"]}}, [SIT, say("SURE, boss.")], "what is said agrees"),
        ({"say": {"any": ["no", "sorry"]}}, [SIT], ""),
        ({"say": {"any": ["no", "sorry"]}}, [SIT, say("I know.")], "what is said does not decline"),
        ({}, [SIT, say("Sit, sit it is, sit it is, sit it is.")], "what is said goes round"),
    ],
)
def test_an_answer_is_judged(fields: dict[str, Any], actions: list[Action], mistake: str) -> None:
    """By what must be done, what may be, in which order, and what is said."""
    found = situation(**fields).mistake(actions, "speak")
    assert found.startswith(mistake)
    assert bool(found) == bool(mistake)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no situation in it"),
        ("\n{", ":2: this is not JSON"),
        ('{"id": "x"}', ":1: 'category': Field required"),
        ('{"id": "x", "typo": 1}', "'category'"),
    ],
)
def test_a_file_that_is_wrong_is_told(text: str, sentence: str, tmp_path: Path) -> None:
    """With the line."""
    path = tmp_path / "s.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_situations(path)
    with pytest.raises(ConfigError, match="the situations cannot be read: No such file"):
        load_situations(tmp_path / "none.jsonl")


def test_our_situations_are_what_they_are_said_to_be() -> None:
    """For three robots, in ten categories and two halves; all that is asked for can be done.

    What is forbidden, and noise, came later, and nothing of them is held back.
    """
    found = load_situations(OURS)
    assert len(found) >= 450
    assert len({each.id for each in found}) == len({each.text for each in found}) == len(found)
    halves = Counter((each.robot, each.category, each.half) for each in found)
    later = {category for _, category, _ in halves if category in ("forbid", "noise")}
    older = {(r, c) for r, c, _ in halves if c not in later}
    assert all(halves[r, c, "tune"] >= halves[r, c, "held"] - 1 >= 2 for r, c in older)
    assert len({c for _, c in older} | later) == 10
    assert not any(halves[r, c, "held"] for r, c, _ in halves if c in later)
    for name in {each.robot for each in found}:
        robot = RobotConfig.load(CONFIG / f"{name}_onboard.json5")
        assert robot.name == name
        vocabulary = Vocabulary.from_actions(robot.agent_actions)
        for each in found:
            wanted = [action for actions in each.accept for action in actions if each.robot == name]
            assert not [w for w in wanted if isinstance(vocabulary.judge(w.type, w.value), Refusal)]


async def test_a_brain_is_played_through() -> None:
    """Each situation is a question; a failure is a mistake, and what is illegal is counted."""
    fly = Action(type="move", value="fly")
    brain = ScriptedLLM[CortexOutputModel](
        Turn((SIT,)), Turn((fly, say("Hi."))), Turn(failure=ServerError("down"))
    )
    asked = [situation(id=str(at), category="ab"[at % 2]) for at in range(3)]
    results = [each async for each in play(brain, Prompt(system="Dog."), DOG, asked)]
    assert [each.mistake for each in results] == [
        "",
        "it does not do what is asked for",
        "server: down",
    ]
    assert [each.illegal for each in results] == [0, 1, 0]
    assert [each.prompt.system for each in brain.asked] == ["Dog."] * 3
    whole = summary(results)
    assert (whole["right"], whole["of"], whole["illegal"]) == (1, 3, 1)
    assert whole["categories"] == {"a": {"right": 1, "of": 2}, "b": {"right": 0, "of": 1}}
    assert whole["first_action_s"]["p95"] is not None
    assert results[2].to_dict()["total_s"] is None


def test_a_summary_without_an_action_has_no_times() -> None:
    """Where nothing was done, there is nothing to measure."""
    empty = summary([Result(situation(), (), "no", 0, None, None)])
    assert empty["first_action_s"] == {"p50": None, "p95": None}


def test_an_interval_is_wilsons() -> None:
    """As tables have it: 8 of 10, and none and all of a few."""
    assert Share(8, 10).interval == pytest.approx((0.490, 0.943), abs=1e-3)
    assert Share(0, 5).interval == pytest.approx((0.0, 0.434), abs=1e-3)
    assert Share(5, 5).interval == pytest.approx((0.566, 1.0), abs=1e-3)


def test_baselines_do_not_think() -> None:
    """One does nothing; one does what the example does that shares the rarest words."""
    assert Idle(DOG).actions("A person says: sit") == [Action(type="move", value="stand still")]
    examples = [
        Sensed(sensed="A person says: sit", actions=(SIT,)),
        Sensed(sensed="A person says: run", actions=(RUN,)),
    ]
    assert Nearest(examples).actions("A dog says: run!") == (RUN,)
    assert Nearest([]).actions("run") == []
    assert asyncio.run(Nearest(examples).ask("Run!")).actions == [RUN]
