"""An LLM of ours behind OM1's plugin contract: it answers or returns None, and never raises.

OM1 builds a plugin from its own configuration, hands it one text that holds everything, and ends
its whole runtime if the plugin raises. What differs from that stays on this side.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from reflexarc.config import LLMConfig, parse_llm
from reflexarc.decoder import fit
from reflexarc.errors import ConfigError, ReflexarcError, did_you_mean
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.providers.provider import ProviderLLM
from reflexarc.registry import load_llm

R = TypeVar("R", bound=BaseModel)

_log = logging.getLogger(__name__)

_SETTINGS = LLMConfig.model_fields.keys() - {"type", "extra_params"}

# OM1's runtime adds these to every LLM's configuration; they belong to other parts of the robot.
_OF_OM1 = {"unitree_ethernet", "URID", "robot_ip", "mode"}


@dataclass(frozen=True, slots=True)
class Client:
    """Where a plugin's questions go, as OM1's runtime and tests look at it.

    Parameters
    ----------
    base_url : str or None
        As configured, or the vendor's own.
    api_key : str or None
        As configured; None where none is sent, or it comes from the environment.
    """

    base_url: str | None
    api_key: str | None = field(repr=False)


class Cortex(Generic[R]):
    """The LLM of one OM1 plugin.

    Parameters
    ----------
    name : str
        The plugin's class name, e.g. ``"MistralLLM"``.
    output_model : type
        Pydantic model that OM1 expects.
    config : pydantic.BaseModel
        OM1's LLM configuration; read, never changed. Every setting of `LLMConfig` may stand in it,
        or in its ``extra_params``, whose other fields are added to the request.
    environ : mapping of str to str or None, default None
        Where keys are looked up; None is the process's environment.

    Attributes
    ----------
    client : Client
        Where the questions go.
    last_error : Exception or None
        Why the last question got no answer.

    Raises
    ------
    ConfigError
        If the key or the server is missing, or a setting is wrong; it is a ValueError.
    """

    def __init__(
        self,
        name: str,
        output_model: type[R],
        config: BaseModel,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        variables = os.environ if environ is None else environ
        settings = _translate(name, config)
        ours = _parse(name, settings, variables)
        self._name = name
        self._output_model = output_model
        self._llm = _load(ours, output_model, variables)
        base_url = settings.get("base_url")
        if base_url is None and isinstance(self._llm, ProviderLLM):
            base_url = self._llm.provider.base_url
        self.client = Client(base_url, ours.api_key.get_secret_value() if ours.api_key else None)
        self.last_error: Exception | None = None

    def __repr__(self) -> str:
        return f"Cortex({self._name}, {self.client!r})"

    async def ask(
        self, prompt: str, messages: Sequence[Mapping[str, str]] | None = None, io: Any = None
    ) -> R | None:
        """Ask, and return the answer or None.

        Parameters
        ----------
        prompt : str
            Everything the model is told, as OM1's fuser writes it.
        messages : sequence of mapping or None, default None
            Past turns, oldest first.
        io : object or None, default None
            OM1's ``io_provider``, which is told the prompt and the times, also of a failure.

        Returns
        -------
        pydantic.BaseModel or None
            None where there is no answer; `last_error` then says why, and so does one log line.
        """
        try:
            if io is not None:
                io.llm_start_time = time.time()
                io.set_llm_prompt(prompt)
            answer = self._fitted(await self._llm.ask(_split(prompt, io), messages))
        except ReflexarcError as error:
            self.last_error = error
            _log.error("%s gave no answer (%s): %s", self._name, error.kind, error.message)
        except Exception as error:  # noqa: BLE001 - out of a plugin, it ends OM1's whole runtime
            self.last_error = error
            _log.exception("%s failed by a mistake of its own", self._name)
        else:
            self.last_error = None
            return answer
        finally:
            if io is not None:
                io.llm_end_time = time.time()
        return None

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._llm.aclose()

    def _fitted(self, answer: BaseModel) -> R:
        if isinstance(answer, self._output_model):
            return answer
        return fit(self._output_model, answer.model_dump())


def _translate(name: str, config: BaseModel) -> dict[str, Any]:
    """OM1's configuration in our words; what means nothing to us is told and left out."""
    given = {key: value for key, value in config.model_dump().items() if value not in (None, "")}
    extra: dict[str, Any] = dict(given.pop("extra_params", {}))
    lifted = {key: extra.pop(key) for key in _SETTINGS & extra.keys()}
    for key in sorted(given.keys() - _SETTINGS - _OF_OM1):
        _log.warning("%s has no setting '%s'; %s", name, key, did_you_mean(key, _SETTINGS))
    settings = lifted | {key: given[key] for key in _SETTINGS & given.keys()}
    return {"type": name, **settings, "extra_params": extra}


def _parse(name: str, settings: dict[str, Any], environ: Mapping[str, str]) -> LLMConfig:
    """Our configuration, without OpenMind's key unless it is OpenMind that is asked.

    OM1 puts its own key into the configuration of every LLM that has none. It may also stand there
    as a variable, so it is looked for when those are filled in.
    """
    config = parse_llm(json.dumps(settings, default=str), environ, name=f"{name}'s configuration")
    key = config.api_key.get_secret_value() if config.api_key else ""
    openminds = bool(key) and (
        key.startswith(("om1_", "openmind")) or key == environ.get("OM_API_KEY")
    )
    if openminds and not _is_openmind(config.base_url):
        _log.info("%s does not send OpenMind's key to another host", name)
        return config.model_copy(update={"api_key": None})
    return config


def _is_openmind(base_url: str | None) -> bool:
    host = urlsplit(base_url or "").hostname or ""
    return host.endswith((".openmind.org", ".openmind.com"))


def _load(config: LLMConfig, output_model: type[BaseModel], environ: Mapping[str, str]) -> LLM[Any]:
    # OM1's own class of the same shape: decoded action by action, which forgives more.
    wanted = None if _is_actions(output_model) else output_model
    try:
        return load_llm(config, output_model=wanted, environ=environ)
    except ConfigError as error:
        if config.api_key is None and config.base_url is None:
            raise ConfigError(f"config file missing api_key: {error.message}") from error
        raise


def _is_actions(output_model: type[BaseModel]) -> bool:
    try:
        output_model.model_validate({"actions": [{"type": "speak", "value": "hello"}]})
    except ValidationError:
        return False
    return set(output_model.model_fields) == {"actions"}


def _split(prompt: str, io: Any) -> Prompt:
    """The stable part of OM1's prompt, which a server keeps in its cache, and what is new."""
    system: str = getattr(io, "fuser_system_prompt", None) or ""
    rest = prompt.removeprefix(system)
    if not system or rest == prompt or not rest.strip():
        return Prompt(situation=prompt)
    return Prompt(system=system, situation=rest.strip())
