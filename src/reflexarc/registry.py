"""Which name means which LLM: one table, plus what other packages announce.

A package adds a provider by the entry-point group ``reflexarc.providers``: name it as
``LLMConfig.type`` does, and point to a callable with `ProviderLLM`'s parameters.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, overload

from pydantic import BaseModel

from reflexarc.config import AgentAction, LLMConfig
from reflexarc.errors import ConfigError, UnavailableError, check_type, did_you_mean
from reflexarc.llm import LLM, R
from reflexarc.redaction import blotted
from reflexarc.types import CortexOutputModel
from reflexarc.vocabulary import Vocabulary

GROUP = "reflexarc.providers"

PROVIDERS: Mapping[str, str] = {
    "DeepSeekLLM": "reflexarc.providers.vendors:DeepSeekLLM",
    "FailoverLLM": "reflexarc.resilience:FailoverLLM",
    "GeminiLLM": "reflexarc.providers.vendors:GeminiLLM",
    "LlamaLLM": "reflexarc.providers.llama:LlamaLLM",
    "MistralLLM": "reflexarc.providers.mistral:MistralLLM",
    "OnboardLLM": "reflexarc.providers.onboard:OnboardLLM",
    "OpenAILLM": "reflexarc.providers.vendors:OpenAILLM",
    "XAILLM": "reflexarc.providers.vendors:XAILLM",
}
"""Name and ``module:Class``; the module is imported on use."""


@overload
def load_llm(
    config: LLMConfig,
    *,
    actions: Vocabulary | Iterable[AgentAction] | None = None,
    output_model: None = None,
    environ: Mapping[str, str] | None = None,
) -> LLM[CortexOutputModel]: ...


@overload
def load_llm(
    config: LLMConfig,
    *,
    actions: Vocabulary | Iterable[AgentAction] | None = None,
    output_model: type[R],
    environ: Mapping[str, str] | None = None,
) -> LLM[R]: ...


def load_llm(
    config: LLMConfig,
    *,
    actions: Vocabulary | Iterable[AgentAction] | None = None,
    output_model: type[Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LLM[Any]:
    """Make the LLM that a configuration describes. Nothing is opened or sent yet.

    Parameters
    ----------
    config : LLMConfig
        Its ``type`` names the provider.
    actions : Vocabulary, iterable of AgentAction or None, default None
        What the robot can do, as a vocabulary or as the ``agent_actions`` of a `RobotConfig`. None
        is for plain texts, for an output model of your own, and where each prompt has its actions;
        any other question is a `ConfigError` then.
    output_model : type or None, default None
        Pydantic model that `LLM.ask` returns; None is `CortexOutputModel`. `CortexOutputModel` by
        name and without `actions` takes any action, and the caller is to check each.
    environ : mapping of str to str or None, default None
        Where keys are looked up; None is the process's environment.

    Returns
    -------
    LLM

    Raises
    ------
    ConfigError
        If the type is unknown, the configuration does not fit it, or an argument has another type.
    UnavailableError
        If the provider needs a package or model that is not installed.
    """
    check_type(
        config,
        LLMConfig,
        "config must be an LLMConfig",
        'write LLMConfig(type="OnboardLLM"), or robot.cortex_llm of a RobotConfig',
    )
    if not (output_model is None or _is_model(output_model)):
        raise ConfigError(
            "output_model must be a class of pydantic's BaseModel; write one with the fields that "
            "an answer is to have"
        )
    if not (actions is None or isinstance(actions, Vocabulary)):
        actions = Vocabulary.from_actions(actions)
    make = find_llm("FailoverLLM" if config.is_chain else config.type)
    variables = os.environ if environ is None else environ
    return make(config, vocabulary=actions, output_model=output_model, environ=variables)


def _is_model(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, BaseModel)


def find_llm(name: str) -> Any:
    """What makes the LLMs of a type.

    Parameters
    ----------
    name : str
        As in ``LLMConfig.type``.

    Returns
    -------
    callable
        With `ProviderLLM`'s parameters; mostly the class itself.

    Raises
    ------
    ConfigError
        If there is no such type.
    UnavailableError
        If another package announces it and cannot be imported.
    """
    target = PROVIDERS.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    from importlib.metadata import entry_points  # 15 ms and 2 MB that most calls do without

    announced = {point.name: point for point in entry_points(group=GROUP)}
    if name in announced:
        try:
            return announced[name].load()
        except (ImportError, AttributeError) as error:
            raise UnavailableError(
                f"'{name}' is announced as {announced[name].value}, which cannot be imported "
                f"({error}); install that package again",
                retryable=False,
            ) from error
    raise ConfigError(
        f"there is no LLM type '{blotted(name)}'; {did_you_mean(name, [*PROVIDERS, *announced])}"
    )
