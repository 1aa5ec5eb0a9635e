"""Example robots for OM1, and the same ones here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import json5
import pytest

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.om1.examples import BRAINS, render_example, robot
from reflexarc.om1.fused import NOTHING
from reflexarc.om1.plugins import Generation
from reflexarc.specs import ActionSpec
from reflexarc.vocabulary import Refusal, Vocabulary

OURS = Path(__file__).parents[2] / "config"
NAMES = sorted(BRAINS)
GENERATIONS: list[Generation] = ["A", "B"]

# What OM1's schemas ask for; its first generation refuses every key at the top that it does not
# know, and `version` is one of those.
REQUIRED = [
    "hertz",
    "name",
    "api_key",
    "system_prompt_base",
    "system_governance",
    "system_prompt_examples",
    "agent_inputs",
    "cortex_llm",
    "agent_actions",
]
FACES = {
    "A": ("cry", "smile", "frown", "think", "joy"),
    "B": ("happy", "confused", "curious", "excited", "sad", "think"),
}


def brain(data: dict[str, Any]) -> LLMConfig:
    """The settings of a robot's brain."""
    return LLMConfig.model_validate(data["cortex_llm"])


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_what_its_data_say(name: str, generation: Generation) -> None:
    """What is written for people to read is the robot, comments apart."""
    text = render_example(name, generation)
    assert json5.loads(text) == robot(name, generation)
    assert text.startswith("// ")
    assert text.endswith("}\n")


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_what_om1_knows(name: str, generation: Generation) -> None:
    """Every field that OM1 asks for is there, and none that it would refuse."""
    data = robot(name, generation)
    assert sorted(data) == sorted(REQUIRED if generation == "A" else [*REQUIRED, "version"])
    config = data["cortex_llm"]["config"]
    assert type(config["history_length"]) is int
    assert type(config.get("timeout", 0)) is int, "generation A takes whole seconds"
    assert all(each["implementation"] == "passthrough" for each in data["agent_actions"])


@pytest.mark.parametrize("name", NAMES)
def test_each_generation_has_its_own_style(name: str) -> None:
    """The first quotes its keys; the later one writes as prettier does."""
    first, later = (render_example(name, generation) for generation in GENERATIONS)
    assert '\n  "hertz": 1,\n' in first
    assert "\n  hertz: 1,\n" in later
    assert ",\n}" not in first.replace(" ", "")
    assert "\n  ],\n}\n" in later
    lines = [line for line in later.splitlines() if '"type"' in line or "type:" in line]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_its_brain_is_one_of_ours(name: str, generation: Generation) -> None:
    """What stands below cortex_llm are settings that we know."""
    config = brain(robot(name, generation))
    assert config.type == BRAINS[name][0]
    assert config.agent_name == "Spot"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_examples_are_legal(generation: Generation) -> None:
    """A model is taught nothing that the robot cannot do, silence included."""
    data = robot("spot_onboard", generation)
    moves = Vocabulary.from_actions(RobotConfig.model_validate(data).agent_actions).specs[0]
    vocabulary = Vocabulary(
        [moves, ActionSpec("speak", None, ""), ActionSpec("emotion", FACES[generation], "")]
    )
    examples = brain(data).examples
    assert len(examples) == 16
    for example in examples:
        for action in example.actions:
            assert not isinstance(vocabulary.judge(action.type, action.value), Refusal)
    silent = [example for example in examples if example.sensed == NOTHING]
    assert [[action.type for action in each.actions] for each in silent] == [["move", "emotion"]]
    assert {each.actions[0].value for each in examples} == set(moves.values or ())


@pytest.mark.parametrize("name", NAMES)
def test_ours_are_the_same_robots(name: str) -> None:
    """A robot here has the brain that it has in OM1; its name there and its examples apart.

    Here the examples stand beside the brain and say what the console senses; on board they are 32.
    """
    apart = {"examples": (), "agent_name": ""}
    here = RobotConfig.load(OURS / f"{name}.json5", {}).cortex_llm
    there = brain(robot(name, "B"))
    assert here.model_copy(update=apart) == there.model_copy(update=apart)


@pytest.mark.parametrize("name", NAMES)
def test_ours_have_what_om1_asks_for(name: str) -> None:
    """A robot's file here is one that OM1 would read; only examples are our addition."""
    data = json5.loads((OURS / f"{name}.json5").read_text(encoding="utf-8"))
    assert {*REQUIRED, "version"} <= data.keys() <= {*REQUIRED, "version", "examples"}
    assert all({"name", "llm_label", "connector"} <= each.keys() for each in data["agent_actions"])


def test_ours_teach_the_same() -> None:
    """The failover's examples here are those that it has in OM1, in the console's words."""
    here = RobotConfig.load(OURS / "spot_failover.json5", {}).examples
    there = brain(robot("spot_failover", "B")).examples
    assert [each.actions[:-1] for each in here] == [each.actions[:-1] for each in there]
