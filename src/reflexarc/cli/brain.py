"""What the commands share that ask a robot's brain."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.guard import Guard
from reflexarc.llm import LLM
from reflexarc.registry import load_llm
from reflexarc.resilience import FailoverLLM
from reflexarc.runtime.switch import Switch
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
    return guarded(robot, load_llm(robot.cortex_llm, actions=vocabulary_of(robot)))


def guarded(robot: RobotConfig, llm: LLM[Any]) -> LLM[Any]:
    """A brain behind the rules of a robot, where there are any.

    Parameters
    ----------
    robot : RobotConfig
        Whose rules.
    llm : LLM
        The brain.

    Returns
    -------
    LLM

    Raises
    ------
    ConfigError
        If a rule is wrong.
    """
    if not (robot.never or robot.limits):
        return llm
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

    def add(llm: LLM[Any], name: str) -> None:
        same = sum(each.partition(" #")[0] == name for each in llms)
        llms[f"{name} #{same + 1}" if same else name] = llm

    for config in (robot.cortex_llm, *robot.brains):
        llm = load_llm(config, actions=vocabulary)
        if not isinstance(llm, FailoverLLM):
            add(llm, _called(llm, config))
            continue
        add(llm, "FailoverLLM")
        for alone, inner in zip(llm.each_alone(), llm.llms, strict=True):
            add(alone, _called(inner, config))
    return Switch(llms)


def _called(llm: LLM[Any], config: LLMConfig) -> str:
    return f"{llm.name} {getattr(llm, 'model', config.model or '')}".strip()


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
