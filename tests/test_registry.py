"""A name in a configuration becomes a brain, or a sentence that says what is missing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from reflexarc import load_llm
from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.llm import LLM
from reflexarc.registry import GROUP, PROVIDERS
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, Server
from reflexarc.vocabulary import Vocabulary

SECRET = "sk-4f1c2d3e4b5a6978"
DOG = Vocabulary([ActionSpec("move", ("sit",))])
ANSWER = '{"actions":[{"type":"move","value":"sit"}]}'


@pytest.mark.parametrize(("name", "target"), PROVIDERS.items())
def test_the_table_is_true(name: str, target: str) -> None:
    """Every row names a class that exists, under its own name."""
    module, _, attribute = target.partition(":")
    assert issubclass(getattr(import_module(module), attribute), LLM)
    assert attribute == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("MistralLM", "there is no LLM type 'MistralLM'; did you mean 'MistralLLM'?"),
        ("llamallm", "did you mean 'LlamaLLM'?"),
        ("Grok", "choose one of "),
        ("", "choose one of DeepSeekLLM, "),
    ],
)
def test_an_unknown_type_is_refused(name: str, says: str) -> None:
    """The error names the nearest type, or all of them."""
    with pytest.raises(ConfigError) as caught:
        load_llm(LLMConfig(type=name), environ={})
    assert says in str(caught.value)


# --- other packages -----------------------------------------------------------------------------

PLUGIN = """
from reflexarc.testing import ScriptedLLM

class ParrotLLM(ScriptedLLM):
    def __init__(self, config, *, vocabulary, output_model, environ):
        super().__init__(name="ParrotLLM", output_model=output_model)
        self.given = (config, vocabulary, output_model, dict(environ))

class Impostor:
    def __init__(self, *args, **kwargs):
        raise AssertionError("the built-in provider comes first")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that announces a provider, as pip would."""
    (tmp_path / "reflexarc_parrot.py").write_text(PLUGIN)
    info = tmp_path / "reflexarc_parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reflexarc-parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\n"
        "ParrotLLM = reflexarc_parrot:ParrotLLM\n"
        "MistralLLM = reflexarc_parrot:Impostor\n"
        "[another.group]\nOtherLLM = reflexarc_parrot:ParrotLLM\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugin")
def test_another_package_may_announce_a_provider() -> None:
    """An entry point is found by its name and made with what the built-in ones get."""
    config = LLMConfig(type="ParrotLLM", model="m")
    llm: Any = load_llm(config, actions=DOG, environ={"A": "1"})
    assert llm.given == (config, DOG, None, {"A": "1"})
    assert llm.name == "ParrotLLM"


@pytest.mark.usefixtures("plugin")
def test_an_announced_name_is_known_to_the_hint() -> None:
    """A slip in a plugin's name is found like any other; other groups do not count."""
    with pytest.raises(ConfigError, match="did you mean 'ParrotLLM'"):
        load_llm(LLMConfig(type="ParotLLM"), environ={})
    with pytest.raises(ConfigError, match="no LLM type 'OtherLLM'"):
        load_llm(LLMConfig(type="OtherLLM"), environ={})


@pytest.mark.usefixtures("plugin")
def test_no_package_can_take_a_built_in_name() -> None:
    """What is installed beside us does not change what MistralLLM means."""
    llm = load_llm(LLMConfig(type="MistralLLM", base_url="http://127.0.0.1:1"), environ={})
    assert type(llm).__module__ == "reflexarc.providers.mistral"


# --- what each needs ----------------------------------------------------------------------------


@pytest.mark.parametrize("environ", [{}, {"MISTRAL_API_KEY": ""}, {"LLAMA_API_KEY": SECRET}])
def test_mistral_needs_a_key_at_its_own_host(environ: dict[str, str]) -> None:
    """Without a key the error names the variable, the setting, and the way without either."""
    with pytest.raises(ConfigError, match=r"set MISTRAL_API_KEY, write api_key, or .* base_url"):
        load_llm(LLMConfig(type="MistralLLM"), environ=environ)


async def test_the_environment_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only without `environ` the key comes from the process, and it is not printed."""
    with pytest.raises(ConfigError):
        load_llm(LLMConfig(type="MistralLLM"))
    monkeypatch.setenv("MISTRAL_API_KEY", SECRET)
    with pytest.raises(ConfigError):
        load_llm(LLMConfig(type="MistralLLM"), environ={})
    llm = load_llm(LLMConfig(type="MistralLLM"))
    assert llm.name == "MistralLLM"
    assert SECRET not in f"{llm!r} {vars(llm)}"
    await llm.aclose()


def test_llama_needs_a_server() -> None:
    """The error names the retirement of Meta's service and both ways out."""
    with pytest.raises(ConfigError) as caught:
        load_llm(LLMConfig(type="LlamaLLM", model="m"), environ={"LLAMA_API_KEY": SECRET})
    for part in ("base_url", "retired", "2026-07-06", "http://127.0.0.1:8080/v1", "OnboardLLM"):
        assert part in str(caught.value)


def test_llama_needs_a_model_name() -> None:
    """A server of one's own has no default model."""
    with pytest.raises(ConfigError, match="LlamaLLM needs a model"):
        load_llm(LLMConfig(type="LlamaLLM", base_url="http://127.0.0.1:8080"), environ={})


def test_actions_need_a_place_in_the_output_model() -> None:
    """A vocabulary and an output model without `actions` contradict each other."""

    class Mood(BaseModel):
        mood: str

    config = LLMConfig(type="LlamaLLM", base_url="http://127.0.0.1:8080", model="m")
    with pytest.raises(ConfigError, match="Mood has no field 'actions'"):
        load_llm(config, actions=DOG, output_model=Mood, environ={})
    assert load_llm(config, output_model=Mood, environ={}).name == "LlamaLLM"


def test_a_robots_actions_are_taken_as_they_are() -> None:
    """What a file of OM1's names makes the vocabulary, without another step."""
    robot = RobotConfig.model_validate(
        {
            "name": "dot",
            "hertz": 1,
            "cortex_llm": {"type": "LlamaLLM", "config": {"base_url": "http://a", "model": "m"}},
            "agent_actions": [{"name": "move", "llm_label": "move"}],
        }
    )
    llm: Any = load_llm(robot.cortex_llm, actions=robot.agent_actions, environ={})
    assert llm.vocabulary == Vocabulary.from_actions(robot.agent_actions)


LLAMA = LLMConfig(type="LlamaLLM", base_url="http://127.0.0.1:8080", model="m")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"config": {"type": "OnboardLLM"}},
            r"LLMConfig, not of type dict; write LLMConfig\(type=",
        ),
        ({"config": "OnboardLLM"}, "not of type str"),
        ({"config": LLMConfig}, "not LLMConfig; write"),
        ({"actions": ["drive"]}, "AgentAction, not of type str; write Vocabulary.load"),
        ({"actions": [{"name": "move"}]}, "not of type dict"),
        ({"actions": "spot.json5"}, "not of type str"),
        ({"actions": 5}, "not of type int"),
        ({"output_model": dict}, "BaseModel; write one"),
        ({"output_model": DOG}, "BaseModel; write one"),
    ],
)
def test_a_wrong_argument_is_told_at_once(given: dict[str, Any], words: str) -> None:
    """What has another type is refused with what to write, not met at the first question."""
    with pytest.raises(ConfigError, match=words):
        load_llm(**{"config": LLAMA, "environ": {}, **given})


# --- keys go nowhere else -----------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["MistralLLM", "LlamaLLM"])
@pytest.mark.parametrize("key", [None, "own-key"])
async def test_the_vendor_s_variable_is_for_the_vendor_s_host(type_: str, key: str | None) -> None:
    """Another server gets the key that the configuration names for it, or none."""
    environ = dict.fromkeys(["MISTRAL_API_KEY", "LLAMA_API_KEY", "OPENAI_API_KEY"], SECRET)
    async with Server(Reply.stream(ANSWER)) as server:
        config = LLMConfig.model_validate(
            {"type": type_, "model": "m", "base_url": server.base_url, "api_key": key}
        )
        async with load_llm(config, actions=DOG, environ=environ) as llm:
            assert await llm.ask("Sit!")
    (request,) = server.requests
    assert request.headers.get("authorization") == (key and f"Bearer {key}")
    assert SECRET not in f"{request.path} {request.headers} {request.body!r}"


@pytest.mark.parametrize(
    ("base_url", "is_vendor"),
    [
        ("https://api.mistral.ai", True),
        ("https://API.Mistral.AI/v1", True),
        ("https://api.eu.mistral.ai/v1", True),
        ("https://api.mistral.ai.example.org/v1", False),
        ("https://example.org/api.mistral.ai/v1", False),
        ("https://evil-api.mistral.ai/v1", False),
        ("http://127.0.0.1:8080/v1", False),
    ],
)
def test_a_host_that_looks_like_the_vendor_s_is_another(base_url: str, is_vendor: bool) -> None:
    """Only the vendor's own hosts ask for its key: no key, and a look-alike needs none."""
    config = LLMConfig(type="MistralLLM", base_url=base_url)
    if is_vendor:
        with pytest.raises(ConfigError, match="MISTRAL_API_KEY"):
            load_llm(config, environ={})
    else:
        load_llm(config, environ={})
