"""The plugin files that OM1 wants: one literal class each, and the same but for its facts.

OM1 finds a plugin by the text ``class MistralLLM(LLM…):`` at the top level of a file below
``src/llm/plugins``, and asks for a direct subclass. What two of them share can therefore not be
inherited: it is `reflexarc.om1.cortex`, and what remains is written by a template for each of OM1's
two Python generations (docs/decisions/0030).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Literal

Generation = Literal["A", "B"]
"""OM1's Python contracts: A until autumn 2025 (``output_model, config``), B after it (``config,
available_actions``)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that generation B declares, for its portal and its schema.

    Parameters
    ----------
    name, type : str
        As Python writes them.
    default : str
        Python's expression for it: ``default=…`` or ``default_factory=…``.
    description : str
        One sentence without its full stop.
    is_redeclared : bool, default False
        Whether OM1's base class has it with another type.
    """

    name: str
    type: str
    default: str
    description: str
    is_redeclared: bool = False


# OM1 counts whole seconds, which are too coarse for a robot.
_TIMEOUT = Setting(
    "timeout",
    "T.Optional[float]",
    "default=10",
    "Seconds that the whole answer may take",
    is_redeclared=True,
)
_TEMPERATURE = Setting(
    "temperature", "T.Optional[float]", "default=None", "Sampling temperature, 0 to 2"
)


def _asked(server: str, model: str | None) -> tuple[Setting, ...]:
    """The settings of a model that is asked over the network."""
    base_url = Setting("base_url", "T.Optional[str]", "default=None", f"Server to ask; {server}")
    default = "None" if model is None else f'"{model}"'
    named = Setting("model", "T.Optional[str]", f"default={default}", "Name of the model")
    return base_url, named, _TEMPERATURE, _TIMEOUT


@dataclass(frozen=True, slots=True)
class Brain:
    """One plugin: facts, no behaviour.

    Parameters
    ----------
    name : str
        Its class, as in ``cortex_llm.type``.
    stem : str
        Its file below ``src/llm/plugins``, without ``.py``.
    about : str
        What it is, in one sentence.
    settings : tuple of Setting
        What generation B declares.
    """

    name: str
    stem: str
    about: str
    settings: tuple[Setting, ...]


MISTRAL = Brain(
    "MistralLLM",
    "mistral_llm",
    "Mistral's models, at the vendor or on any server that has one.",
    _asked("Mistral's own if left out", "mistral-small-latest"),
)
LLAMA = Brain(
    "LlamaLLM",
    "llama_llm",
    "Meta's Llama models, on a server named by base_url.",
    _asked("such as http://127.0.0.1:11434; Meta has none any more", None),
)
ONBOARD = Brain(
    "OnboardLLM",
    "onboard_llm",
    "A small model on the robot itself: no key, no network.",
    (
        Setting(
            "model",
            "T.Optional[str]",
            'default="smollm2-135m-instruct"',
            "A known model, or the path of a GGUF file",
        ),
        _TEMPERATURE,
        _TIMEOUT,
    ),
)
FAILOVER = Brain(
    "FailoverLLM",
    "failover_llm",
    "Several models in order: where one fails, the next one answers.",
    (
        Setting(
            "llms",
            "T.List[T.Dict[str, T.Any]]",
            "default_factory=list",
            "The models, best first, each with its type and settings",
        ),
        _TIMEOUT,
    ),
)
OPENAI = Brain(
    "OpenAILLM",
    "openai_llm",
    "OpenAI's models.",
    _asked("OpenAI's own if left out", "gpt-5.6-luna"),
)
GEMINI = Brain(
    "GeminiLLM",
    "gemini_llm",
    "Google's Gemini models, by their OpenAI dialect.",
    _asked("Google's own if left out", "gemini-flash-latest"),
)
DEEPSEEK = Brain(
    "DeepSeekLLM",
    "deepseek_llm",
    "DeepSeek's models.",
    _asked("DeepSeek's own if left out", "deepseek-flash"),
)
XAI = Brain("XAILLM", "xai_llm", "xAI's Grok models.", _asked("xAI's own if left out", "grok-4.7"))

INSTALLED = (MISTRAL, LLAMA, ONBOARD, FAILOVER)
"""Those that an OM1 checkout gets; it has plugins of its own for the other vendors."""

BRAINS = (*INSTALLED, OPENAI, GEMINI, DEEPSEEK, XAI)


def render(brain: Brain, generation: Generation, *, avatar: bool = False) -> str:
    """The text of a plugin file.

    Parameters
    ----------
    brain : Brain
        Which plugin.
    generation : {"A", "B"}
        For which contract.
    avatar : bool, default False
        Whether the checkout has ``providers.avatar_llm_state_provider``, which shows people that
        the robot thinks; generation B only.

    Returns
    -------
    str
        As black, isort and ruff leave it in OM1.
    """
    template = Template(_read(f"plugin_{generation.lower()}.txt"))
    return template.substitute(
        name=brain.name,
        about=brain.about,
        config=f"{brain.name.removesuffix('LLM')}Config",
        fields="".join(map(_field, brain.settings)),
        avatar_import=_AVATAR_IMPORT if avatar else "",
        given=_GIVEN_AVATAR if avatar else _GIVEN,
    )


def render_tests(generation: Generation) -> dict[str, str]:
    """The tests of MistralLLM and LlamaLLM that OM1's own suite runs.

    Parameters
    ----------
    generation : {"A", "B"}
        For which contract.

    Returns
    -------
    dict of str to str
        By their file's name below ``tests/llm/plugins``.
    """
    return {
        f"{name}.py": _read(f"tests/{template.format(generation.lower())}.txt")
        for name, template in _TESTS.items()
    }


# Those without a letter are the same for both contracts.
_TESTS = {
    "asking": "asking_{}",
    "test_llama_llm": "llama",
    "test_mistral_and_llama": "both",
    "test_mistral_and_llama_actions": "actions_{}",
    "test_mistral_llm": "mistral",
}

_GIVEN = "self, CortexOutputModel, LLMHistoryManager"
_GIVEN_AVATAR = f"\n            {_GIVEN}, AvatarLLMState\n        "
_AVATAR_IMPORT = "from providers.avatar_llm_state_provider import AvatarLLMState\n"


def _field(setting: Setting) -> str:
    remark = "  # type: ignore[assignment]" if setting.is_redeclared else ""
    return (
        f"    {setting.name}: {setting.type} = Field({remark}\n"
        f"        {setting.default},\n"
        f'        description="{setting.description}",\n'
        "    )\n"
    )


def _read(name: str) -> str:
    return resources.files("reflexarc.om1").joinpath("templates", name).read_text(encoding="utf-8")
