"""The shortest path from what a robot senses to what it does, through a language model."""

from reflexarc.attempts import AttemptFailed
from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import ConfigError, LLMError, ReflexarcError
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    Message,
    TextDelta,
    Usage,
)
from reflexarc.vocabulary import Vocabulary

__all__ = [
    "LLM",
    "Action",
    "ActionReady",
    "ActionRefused",
    "AttemptFailed",
    "ConfigError",
    "CortexOutputModel",
    "Event",
    "Finished",
    "LLMConfig",
    "LLMError",
    "Message",
    "Prompt",
    "ReflexarcError",
    "RobotConfig",
    "TextDelta",
    "Usage",
    "Vocabulary",
    "load_llm",
]
