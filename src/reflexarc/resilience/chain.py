"""The chain that a configuration describes: several brains, one deadline, and an idle action."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from reflexarc.config import LLMConfig
from reflexarc.errors import ConfigError
from reflexarc.llm import LLM, Messages, R
from reflexarc.prompt import Prompt, check_actions, read_prompt
from reflexarc.registry import find_llm
from reflexarc.resilience.breaker import Breaker
from reflexarc.resilience.deadline import Deadline
from reflexarc.resilience.failover import Failover, HedgeAfter
from reflexarc.resilience.retry import Retry
from reflexarc.types import Action, CortexOutputModel, Event
from reflexarc.vocabulary import Refusal, Vocabulary

_log = logging.getLogger(__name__)

# What is the robot's, and may stand beside ``llms``; the rest is each brain's own.
_OF_THE_CHAIN = {"llms", "fallback", "hedge_after", "idle_action", "first_action_timeout"}
_OF_THE_ROBOT = {"type", "timeout", "history_length", "agent_name", "examples"} | _OF_THE_CHAIN


class FailoverLLM(Deadline[R]):
    """``Deadline(Failover([Breaker(Retry(llm)), …]))`` of a configuration's ``llms``.

    A brain on board has no breaker: it has a supervisor of its own, and nobody behind it. One whose
    key is missing is left out, with a warning, as long as there is another.

    Parameters
    ----------
    config : LLMConfig
        With ``llms``, and of its own the limits alone; or one brain with a fallback or an idle
        action.
    vocabulary : Vocabulary or None, default None
        What the robot can do; see `reflexarc.registry.load_llm`.
    output_model : type or None, default None
        What `ask` returns; None is `CortexOutputModel`, and needs a vocabulary.
    environ : mapping of str to str
        Where the providers' keys are looked up.

    Raises
    ------
    ConfigError
        If there is no brain, one of them is wrong, each lacks its key, a setting stands beside
        ``llms`` that is a brain's own, or the idle action is not legal.

    Attributes
    ----------
    llms : tuple of LLM
        The brains that can be asked, best first.
    history_lengths : tuple of int or None
        Past ticks that each of them is shown at most; None is all.
    """

    def __init__(
        self,
        config: LLMConfig,
        *,
        vocabulary: Vocabulary | None = None,
        output_model: type[BaseModel] | None = None,
        environ: Mapping[str, str],
    ) -> None:
        idle = config.idle_action
        if idle is not None:
            _check_idle(idle, vocabulary, output_model)
        settings = {"vocabulary": vocabulary, "output_model": output_model, "environ": environ}
        brains = _made(entries(config), settings)
        llms = [llm for llm, _ in brains]
        lengths = [_history_length(llm, its) for llm, its in brains]
        hedge_after: HedgeAfter = None if config.hedge_after == "off" else config.hedge_after
        failover = Failover[R](
            [Retry(llm) if llm.is_on_board else Breaker(Retry(llm)) for llm in llms],
            hedge_after=hedge_after,
            history_lengths=lengths,
        )
        self._settings: dict[str, Any] = {
            "timeout": config.timeout,
            "first_action_timeout": config.first_action_timeout,
            "idle": idle,
            "output_model": output_model,
        }
        super().__init__(failover, **self._settings)
        self.llms = tuple(llms)
        self._is_aimed = not (vocabulary is None and output_model is None)
        self.history_lengths = tuple(lengths)
        self._members = failover.llms

    def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`.

        Actions of a robot of which nothing is known are a `ConfigError`, and nobody is asked.
        """
        whole = read_prompt(prompt, messages)
        check_actions(whole, are_known=self._is_aimed)
        return super().stream(whole)

    def each_alone(self) -> tuple[LLM[R], ...]:
        """Each brain without the others, inside the same limits and with the same idle action.

        They share connections, engines and breakers with the whole, which closes them. All of the
        past is shown to them; see `history_lengths`.

        Returns
        -------
        tuple of LLM
            In order.
        """
        return tuple(Deadline[R](llm, **self._settings) for llm in self._members)

    def __repr__(self) -> str:
        return f"FailoverLLM({', '.join(map(repr, self.llms))})"


def entries(config: LLMConfig) -> tuple[LLMConfig, ...]:
    """The brains of a configuration, best first.

    Parameters
    ----------
    config : LLMConfig
        Of one brain or of several.

    Returns
    -------
    tuple of LLMConfig
        At least one.

    Raises
    ------
    ConfigError
        If there is none, or a setting stands where it means nothing.
    """
    if config.type != "FailoverLLM":
        if config.llms:
            raise ConfigError(f"{config.type} is one brain and takes no llms; FailoverLLM does")
        if config.type == "OnboardLLM" and config.fallback:
            raise ConfigError("OnboardLLM is what one falls back to; leave its fallback out")
        alone = {name: LLMConfig.model_fields[name].default for name in _OF_THE_CHAIN}
        first = config.model_copy(update=alone)
        return (first, LLMConfig(type="OnboardLLM")) if config.fallback else (first,)
    if config.fallback:
        raise ConfigError('FailoverLLM has no fallback; write {type: "OnboardLLM"} as last of llms')
    if not config.llms:
        raise ConfigError(
            "FailoverLLM needs llms, best first, such as "
            '[{type: "MistralLLM"}, {type: "OnboardLLM"}]'
        )
    strays = sorted(config.model_fields_set - _OF_THE_ROBOT)
    if strays:
        raise ConfigError(
            f"FailoverLLM has no {', '.join(strays)} of its own; write it into the entries of llms"
        )
    for child in config.llms:
        if child.is_chain:
            raise ConfigError(
                "an entry of llms is one brain; write fallback and idle_action beside llms, and "
                "further brains as further entries"
            )
    return config.llms


def _made(
    configs: Sequence[LLMConfig], settings: Mapping[str, Any]
) -> list[tuple[LLM[Any], LLMConfig]]:
    """The brains that can be asked: a robot does not stand still since one of them has no key."""
    brains: list[tuple[LLM[Any], LLMConfig]] = []
    without: list[ConfigError] = []
    for each in configs:
        try:
            brains.append((find_llm(each.type)(each, **settings), each))
        except ConfigError as error:
            if error.variable is None:
                raise
            without.append(error)
    if not brains:
        raise without[0]
    for error in without:
        _log.warning("%s. The robot does without it.", error.message)
    return brains


def _check_idle(
    idle: Action, vocabulary: Vocabulary | None, output_model: type[BaseModel] | None
) -> None:
    if vocabulary is None and output_model not in (None, CortexOutputModel):
        raise ConfigError("idle_action is for a robot's actions, not for another output model")
    verdict = vocabulary.judge(idle.type, idle.value) if vocabulary else None
    if isinstance(verdict, Refusal):
        raise ConfigError(f"idle_action is not legal: {verdict.reason}")


def _history_length(llm: LLM[Any], config: LLMConfig) -> int | None:
    """As configured; none on board, where it costs time and does not help (decision 20)."""
    if "history_length" in config.model_fields_set:
        return config.history_length
    return 0 if llm.is_on_board else None
