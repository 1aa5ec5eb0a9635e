"""OM1's LLM configuration in our words, and what of it does not leave the robot."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from reflexarc.config import LLMConfig, validate
from reflexarc.errors import ConfigError, did_you_mean
from reflexarc.onboard.catalogue import DEFAULT, MODELS
from reflexarc.onboard.models import is_path
from reflexarc.registry import find_llm
from reflexarc.resilience.chain import FailoverLLM
from reflexarc.source import Source
from reflexarc.types import Json

_log = logging.getLogger(__name__)

_SETTINGS = LLMConfig.model_fields.keys() - {"type", "extra_params"}

# OM1's runtime adds these to every LLM's configuration; they belong to other parts of the robot.
_OF_OM1 = {"unitree_ethernet", "URID", "robot_ip", "mode"}

_OPENMINDS_VARIABLES = ("OM_API_KEY", "OM1_API_KEY", "OPENMIND_API_KEY")

TOOLS_FIRST = ("tools", "schema", "json", "text")
"""How an answer is held where OM1 hands over function schemas."""


def read_settings(
    name: str, config: BaseModel, environ: Mapping[str, str], *, tools: bool
) -> LLMConfig:
    """Read OM1's configuration of a plugin; it is not changed.

    Parameters
    ----------
    name : str
        The plugin's class name, e.g. ``"MistralLLM"``.
    config : pydantic.BaseModel
        OM1's. Every setting of `LLMConfig` may stand in it, or in its ``extra_params``, whose other
        fields are added to the request.
    environ : mapping of str to str
        Variables for ``${VAR}``, and where OpenMind's key is known by.
    tools : bool
        Whether answers are asked for by tool calls first.

    Returns
    -------
    LLMConfig
        Without OpenMind's key, unless it is OpenMind that is asked.

    Raises
    ------
    ConfigError
        If a setting is wrong.
    """
    settings = _complete(_translated(name, config))
    parsed = validate(LLMConfig, settings, Source("", f"{name}'s configuration"), environ)
    return _without_openminds_key(_tools_first(parsed) if tools else parsed, environ)


def make_llm(
    config: LLMConfig, output_model: type[BaseModel], environ: Mapping[str, str]
) -> FailoverLLM[Any]:
    """Make the LLM of a plugin: a chain, also of one brain, so that it tries again and rests.

    Parameters
    ----------
    config : LLMConfig
        From `read_settings`.
    output_model : type
        What an answer becomes.
    environ : mapping of str to str
        Where keys are looked up.

    Returns
    -------
    FailoverLLM

    Raises
    ------
    ConfigError
        In the words that OM1's own plugins have, where neither key nor server is named.
    """
    shown_all = config.model_copy(update={"history_length": sys.maxsize})  # OM1 shortens the past
    try:
        return FailoverLLM(shown_all, output_model=output_model, environ=environ)
    except ConfigError as error:
        is_nowhere = not (config.llms or _host(config) or config.type == "OnboardLLM")
        if error.variable or is_nowhere:
            raise ConfigError(f"config file missing api_key: {error.message}") from error
        raise


def _translated(name: str, config: BaseModel) -> Json:
    """What is set, in our words; what means nothing to us is told and left out."""
    given = to_jsonable_python(config.model_dump(exclude_unset=True), fallback=str)
    given = {key: value for key, value in given.items() if value not in (None, "")}
    extra: Json = dict(given.pop("extra_params", None) or {})
    lifted = {key: extra.pop(key) for key in _SETTINGS & extra.keys()}
    for key in sorted(given.keys() - _SETTINGS - _OF_OM1):
        _log.warning("%s has no setting '%s'; %s", name, key, did_you_mean(key, _SETTINGS))
    settings = lifted | {key: given[key] for key in _SETTINGS & given.keys()}
    return {"type": name, **settings} | ({"extra_params": extra} if extra else {})


def _complete(settings: Json) -> Json:
    """Make the best of what OM1 gives to a brain that asks no server of its own."""
    if settings["type"] == "FailoverLLM":
        return _failover(settings)
    if settings["type"] == "OnboardLLM":
        settings.pop("api_key", None)  # OM1 adds OpenMind's, for which there is no use here
        model = str(settings.get("model") or DEFAULT)
        if model not in MODELS and not is_path(model):
            _log.warning("OnboardLLM has no model '%s'; %s answers in its place", model, DEFAULT)
            settings.pop("model")
        if base_url := settings.pop("base_url", None):
            host = urlsplit(str(base_url)).hostname
            _log.warning("OnboardLLM runs its own server; base_url, %s, is not asked", host)
        if settings.get("history_length"):
            _log.warning(
                "OnboardLLM writes no summaries, and OM1's words for the past mislead it; "
                "write history_length: 0"
            )
    return settings


def _failover(settings: Json) -> Json:
    """Without ``llms``, a server that is named is asked, and then the model on board."""
    key = settings.pop("api_key", None)  # OM1 adds OpenMind's, for which there is no use here
    if not settings.get("llms") and "base_url" in settings:
        named = {name: settings.pop(name) for name in ("base_url", "model") if name in settings}
        server = {"type": "LlamaLLM", **named} | ({"api_key": key} if key else {})
        settings["llms"] = [server, {"type": "OnboardLLM"}]
    return settings


def _tools_first(config: LLMConfig) -> LLMConfig:
    """Ask by tool calls first, unless the configuration says how; on board knows better itself."""
    if config.type == "FailoverLLM":
        return config.model_copy(update={"llms": tuple(map(_tools_first, config.llms))})
    if config.type == "OnboardLLM" or "structured" in config.model_fields_set:
        return config
    return config.model_copy(update={"structured": TOOLS_FIRST})


def _without_openminds_key(config: LLMConfig, environ: Mapping[str, str]) -> LLMConfig:
    """The configuration without OpenMind's key, unless it is OpenMind that is asked.

    OM1 puts its own key into the configuration of every LLM that has none. It may also stand there
    as a variable, so it is looked for once those are filled in.
    """
    children = tuple(_without_openminds_key(child, environ) for child in config.llms)
    config = config.model_copy(update={"llms": children})
    key = config.api_key.get_secret_value() if config.api_key else ""
    is_openminds = bool(key) and (
        key.casefold().startswith(("om1_", "openmind"))
        or key in (environ.get(name) for name in _OPENMINDS_VARIABLES)
    )
    host = _host(config)
    is_safe = (config.base_url or "").startswith("https://")
    if not is_openminds or (is_safe and host.endswith((".openmind.org", ".openmind.com"))):
        return config
    provider = getattr(find_llm(config.type), "provider", None)
    if provider is not None and host in provider.hosts and provider.key_variable:
        if not environ.get(provider.key_variable):
            raise ConfigError(
                f"config file missing api_key: OM1 hands OpenMind's key to {config.type}, and it "
                f"is not sent to {host}; set {provider.key_variable}, or write that vendor's key "
                "as api_key into cortex_llm.config"
            )
    elif host:
        _log.warning(
            "OpenMind's key is not sent to %s; if that server wants a key, write its own as "
            "api_key into cortex_llm.config",
            host,
        )
    return config.model_copy(update={"api_key": None})


def server_of(config: LLMConfig) -> str | None:
    """The server that a plugin asks.

    Parameters
    ----------
    config : LLMConfig
        From `read_settings`.

    Returns
    -------
    str or None
        As configured, or the vendor's own; None where there is none, or more than one.
    """
    provider = getattr(find_llm(config.type), "provider", None)
    return config.base_url or (provider.base_url if provider else None)


def _host(config: LLMConfig) -> str:
    return urlsplit(server_of(config) or "").hostname or ""
