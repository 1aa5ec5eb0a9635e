"""What the commands share that ask a robot's brain."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.vocabulary import Refusal, Vocabulary

Llm = Annotated[
    str | None,
    typer.Option("--llm", metavar="JSON", help='Another brain: {"type": "LlamaLLM", …}.'),
]


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
