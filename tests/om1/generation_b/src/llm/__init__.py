"""A stand-in for OM1's package of language models, as its generation B has it."""

import importlib
import re
import typing as T
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from providers.io_provider import IOProvider

R = T.TypeVar("R")


class LLMConfig(BaseModel):
    """Settings of one language model; unknown ones are kept."""

    model_config = ConfigDict(extra="allow")

    base_url: T.Optional[str] = None
    api_key: T.Optional[str] = None
    model: T.Optional[str] = None
    timeout: T.Optional[int] = 10
    agent_name: T.Optional[str] = "IRIS"
    history_length: T.Optional[int] = 0
    extra_params: T.Dict[str, T.Any] = Field(default_factory=dict)


class LLM(T.Generic[R]):
    """Base of every plugin; an action of these tests is its own function schema."""

    def __init__(self, config: LLMConfig, available_actions: T.Optional[list] = None):
        self._config = config
        self._available_actions = available_actions or []
        self.function_schemas = list(self._available_actions)
        self.io_provider = IOProvider()
        self._skip_state_management: bool = False

    async def ask(
        self, prompt: str, messages: T.Optional[T.List[T.Dict[str, str]]] = None
    ) -> T.Optional[R]:
        """Leave the answer to heirs."""
        raise NotImplementedError


def find_module(class_name: str) -> T.Optional[str]:
    """Find the plugin file that defines a class, by its text."""
    pattern = rf"^class\s+{re.escape(class_name)}\s*\([^)]*LLM[^)]*\)\s*:"
    for path in sorted((Path(__file__).parent / "plugins").glob("*.py")):
        if re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE):
            return path.stem
    return None


def get_llm_class(class_name: str) -> T.Any:
    """Find a plugin's class."""
    module_name = find_module(class_name)
    if module_name is None:
        raise ValueError(f"Class '{class_name}' not found in any LLM plugin module")
    return getattr(importlib.import_module(f"llm.plugins.{module_name}"), class_name)


def load_llm(
    llm_config: T.Dict[str, T.Any], available_actions: T.Optional[list] = None
) -> T.Any:
    """Make a plugin; the last configuration class that its module has is its own."""
    found = get_llm_class(llm_config["type"])
    module = importlib.import_module(found.__module__)
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, LLMConfig)
        and kind is not LLMConfig
    ]
    config = (kinds or [LLMConfig])[-1](**llm_config.get("config", {}))
    return found(config=config, available_actions=available_actions)
