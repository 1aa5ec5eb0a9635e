"""What the commands share that ask a robot's brain."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.guard import Guard
from reflexarc.llm import LLM
from reflexarc.registry import load_llm
from reflexarc.vocabulary import Refusal, Vocabulary

Llm = Annotated[
    str | None,
    typer.Option("--llm", metavar="JSON", help='Another brain: {"type": "LlamaLLM", …}.'),
]


def brain_of(robot: RobotConfig) -> LLM[Any]:
    """The brain of a robot, behind the robot's own rules; nothing is opened.

    Parameters
    ----------
    robot : RobotConfig
        Whose.

    Returns
    -------
    LLM

    Raises
    ------
    ConfigError
        If the brain, the actions or a rule are wrong.
    """
    vocabulary = vocabulary_of(robot)
    llm: LLM[Any] = load_llm(robot.cortex_llm, actions=vocabulary)
    if not (robot.never or robot.limits):
        return llm
    return Guard(llm, never=robot.never, limits=robot.limits, vocabulary=vocabulary)


def vocabulary_of(robot: RobotConfig) -> Vocabulary:
    """What a robot can do, as its examples have it as well.

    Parameters
    ----------
    robot : RobotConfig
        Whose.

    Returns
    -------
    Vocabulary

    Raises
    ------
    ConfigError
        If its actions cannot be understood, or an example teaches what is not legal.
    """
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    for index, example in enumerate(robot.examples):
        for action in example.actions:
            verdict = vocabulary.judge(action.type, action.value)
            if isinstance(verdict, Refusal):
                raise ConfigError(f"examples[{index}] teaches what is not legal: {verdict.reason}")
    return vocabulary
