"""What the commands share that ask a robot's brain."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reflexarc.cli import completion
from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.guard import Guard
from reflexarc.llm import LLM
from reflexarc.registry import load_llm
from reflexarc.resilience import FailoverLLM
from reflexarc.runtime.switch import Switch
from reflexarc.vocabulary import Refusal, Vocabulary

Llm = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="JSON",
        help='Another brain: {"type": "LlamaLLM", …}.',
        autocompletion=completion.brain,
    ),
]


def brain_of(robot: RobotConfig) -> LLM[Any]:
    """The brain of a robot, behind the robot's own rules; nothing is opened.

    Each question is a scene of its own: what was sensed in another one does not count.

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
    never = tuple(rule.model_copy(update={"hold": 0.0}) for rule in robot.never)
    alone = robot.model_copy(update={"never": never})
    return guarded(alone, load_llm(robot.cortex_llm, actions=vocabulary_of(robot)))


def guarded(robot: RobotConfig, llm: LLM[Any]) -> Guard[Any]:
    """A brain behind the rules of a robot.

    Parameters
    ----------
    robot : RobotConfig
        Whose rules.
    llm : LLM
        The brain.

    Returns
    -------
    Guard

    Raises
    ------
    ConfigError
        If a rule is wrong.
    """
    vocabulary = vocabulary_of(robot)
    return Guard(llm, never=robot.never, limits=robot.limits, vocabulary=vocabulary)


def switch_of(robot: RobotConfig) -> Switch[Any]:
    """All brains that a robot's file names, of which the first is its ``cortex_llm``.

    Parameters
    ----------
    robot : RobotConfig
        Whose. Each of several ``llms`` may be chosen alone, and so may each of its ``brains``.

    Returns
    -------
    Switch

    Raises
    ------
    ConfigError
        If one of them is wrong.
    """
    vocabulary = vocabulary_of(robot)
    llms: dict[str, LLM[Any]] = {}
    lengths: dict[str, int] = {}

    def add(llm: LLM[Any], name: str, length: int | None) -> None:
        number, unique = 1, name
        while unique in llms:
            number += 1
            unique = f"{name} #{number}"
        llms[unique] = llm
        if length is not None:
            lengths[unique] = length

    for config in (robot.cortex_llm, *robot.brains):
        llm = load_llm(config, actions=vocabulary)
        if not isinstance(llm, FailoverLLM):
            add(llm, _called(llm), config.history_length)
            continue
        add(llm, "FailoverLLM", config.history_length)
        parts = zip(llm.each_alone(), llm.llms, llm.history_lengths, strict=True)
        for alone, inner, length in parts:
            add(alone, _called(inner), config.history_length if length is None else length)
    return Switch(llms, lengths)


def _called(llm: LLM[Any]) -> str:
    return f"{llm.name} {getattr(llm, 'model', '')}".strip()


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
