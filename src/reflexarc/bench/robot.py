"""The robot whose brain on board is measured, and what is said to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from reflexarc.config import RobotConfig, validate
from reflexarc.llm import LLM
from reflexarc.registry import load_llm
from reflexarc.source import Source
from reflexarc.vocabulary import Vocabulary

_DOG: Mapping[str, Any] = {
    "name": "spot",
    "hertz": 1,
    "system_prompt_base": "You are Spot, a friendly robot dog.",
    "cortex_llm": {"type": "OnboardLLM", "config": {"timeout": 60}},
    "agent_actions": [
        {"name": "move", "llm_label": "move"},
        {"name": "emotion", "llm_label": "emotion"},
        {"name": "speak", "llm_label": "speak"},
    ],
}

_HEARD = (
    "please sit down", "come here boy", "give me your paw", "dance for us", "jump up", "good boy",
    "walk with me", "run to the door", "stop right there", "are you happy?", "go back a bit",
    "let me see you wag that tail",
)  # fmt: skip


def dog() -> RobotConfig:
    """A dog with a short prompt.

    Returns
    -------
    RobotConfig
    """
    return validate(RobotConfig, dict(_DOG), Source("", "bench"), os.environ)


def brain(robot: RobotConfig, environ: Mapping[str, str], more: Mapping[str, Any]) -> LLM[Any]:
    """A robot's brain.

    Parameters
    ----------
    robot : RobotConfig
        Whose.
    environ : mapping of str to str
        Where it finds its models and keeps its prompts.
    more : mapping of str to object
        Fields of its configuration that are set otherwise.

    Returns
    -------
    LLM
    """
    config = robot.cortex_llm.model_copy(update=more)
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    return load_llm(config, actions=vocabulary, environ=environ)


def heard(ticks: int) -> Iterator[str]:
    """What is said at each tick; no sentence twice, and none that the phrasebook has.

    Parameters
    ----------
    ticks : int
        How many.

    Yields
    ------
    str
    """
    for tick in range(ticks):
        turn = tick // len(_HEARD)
        more = ", my friend" * (turn % 4 + 1) + "!" * (turn // 4)
        yield f"A person says: {_HEARD[tick % len(_HEARD)]}{more}"
