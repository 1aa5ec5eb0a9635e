"""OM1's configuration in our words, and what does not leave the robot."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from reflexarc.errors import ConfigError
from reflexarc.om1.cortex import Cortex
from reflexarc.testing import Reply, Server
from reflexarc.types import CortexOutputModel

HERE = "http://127.0.0.1:9/v1"


class Config(BaseModel):
    """OM1's configuration as far as it matters here: anything goes."""

    model_config = ConfigDict(extra="allow")


class Model(str, Enum):  # noqa: UP042 - as OM1 writes it
    """A model as OM1's later plugins name it."""

    SMALL = "small-1"


def settings_of(environ: dict[str, str] | None = None, **given: Any) -> dict[str, Any]:
    """What our LLM was made with."""
    cortex = Cortex("LlamaLLM", CortexOutputModel, Config(**given), environ or {})
    return vars(cortex)["_llm"].config.model_dump()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"model": Model.SMALL}, {"model": "small-1"}),
        ({"timeout": 3}, {"timeout": 3.0}),
        ({"agent_name": None, "history_length": None}, {"agent_name": "IRIS", "history_length": 0}),
        ({"agent_name": "Spot", "history_length": 5}, {"agent_name": "Spot", "history_length": 5}),
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"extra_params": {"transport": "sdk"}}, {"transport": "sdk", "extra_params": {}}),
        ({"extra_params": {"seed": 7}}, {"seed": 7, "extra_params": {}}),
        ({"seed": 7}, {"seed": 7, "extra_params": {}}),
        (
            {"extra_params": {"max_tokens": 7, "top_k": 3}, "max_tokens": 9},
            {"max_tokens": 9, "extra_params": {"top_k": 3}},
        ),
        ({"base_url": "http://127.0.0.1:9/v1/"}, {"base_url": HERE}),
        ({"model": "${SIZE:-tiny}"}, {"model": "tiny"}),
    ],
)
def test_om1s_settings_become_ours(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting OM1 may hand over arrives where it belongs."""
    found = settings_of(**({"base_url": HERE, "model": "m"} | given))
    assert {name: found[name] for name in expected} == expected


def test_variables_are_filled_in() -> None:
    """`${VAR}` in a key means the variable, which OM1's first generation sends as it stands."""
    found = settings_of({"KEY": "k"}, base_url=HERE, model="m", api_key="${KEY}")
    assert found["api_key"].get_secret_value() == "k"


def test_a_misspelt_setting_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown setting is no error in OM1, but it is named; what OM1 itself adds is not."""
    with caplog.at_level(logging.WARNING):
        settings_of(base_url=HERE, model="m", URID="x", robot_ip="y", temprature=0.1)
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "LlamaLLM has no setting 'temprature'; did you mean 'temperature'?"


@pytest.mark.parametrize(
    ("key", "base_url", "sent"),
    [
        ("openmind_free", HERE, False),
        ("om1_live_0123", HERE, False),
        ("the-robots-own", HERE, False),
        ("${OM_API_KEY:-openmind_free}", HERE, False),
        ("${NONE:-openmind_free}", HERE, False),
        ("somebodys", HERE, True),
        ("om1_live_0123", "https://api.openmind.org/api/core/llama", True),
        ("om1_live_0123", "https://api.openmind.org.evil.example/v1", False),
    ],
)
def test_openminds_key_goes_to_openmind_only(key: str, base_url: str, *, sent: bool) -> None:
    """The key that OM1 adds to every LLM is sent to OpenMind's own hosts and nowhere else."""
    config = Config(base_url=base_url, model="m", api_key=key)
    cortex = Cortex("LlamaLLM", CortexOutputModel, config, {"OM_API_KEY": "the-robots-own"})
    held = vars(cortex)["_llm"].config.api_key
    assert (held is not None) is sent
    assert cortex.client.api_key == (key if sent else None)


async def test_a_key_that_is_dropped_is_not_sent() -> None:
    """On the wire there is no trace of it."""
    async with Server(Reply.stream('{"actions":[]}')) as server:
        config = Config(base_url=server.base_url, model="m", api_key="om1_live_0123")
        cortex = Cortex("LlamaLLM", CortexOutputModel, config, {})
        await cortex.ask("sit")
        await cortex.aclose()
    assert "authorization" not in server.requests[0].headers


def test_a_mistake_is_told_with_its_place() -> None:
    """What is wrong in OM1's configuration is an error that names the field."""
    with pytest.raises(ConfigError, match=r"LlamaLLM's configuration.*'max_tokens'"):
        settings_of(base_url=HERE, model="m", max_tokens="many")


class Other(BaseModel):
    """An output model whose actions are not ours."""

    actions: list[int]


@pytest.mark.parametrize(
    ("output_model", "text", "expected"),
    [
        (Other, '{"actions":[1,2]}', Other(actions=[1, 2])),
        (Other, '{"actions":["sit"]}', None),
        (CortexOutputModel, '[{"type":"move","value":"sit"}]', 1),
    ],
)
async def test_the_answer_is_of_om1s_model(
    output_model: type[BaseModel], text: str, expected: object
) -> None:
    """An answer fits the model that OM1 asked for, or there is none."""
    async with Server(Reply.stream(text)) as server:
        cortex = Cortex("LlamaLLM", output_model, Config(base_url=server.base_url, model="m"), {})
        answer: Any = await cortex.ask("well?")
        await cortex.aclose()
    assert (len(answer.actions) if expected == 1 else answer) == expected


class Broken:
    """An io_provider that fails."""

    def set_llm_prompt(self, prompt: str) -> None:
        """Fail."""
        raise RuntimeError(f"no room for {len(prompt)} characters")


async def test_a_mistake_in_the_code_does_not_end_the_runtime(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even what nobody foresaw is None, and the log has where it happened."""
    cortex = Cortex("LlamaLLM", CortexOutputModel, Config(base_url=HERE, model="m"), {})
    assert await cortex.ask("sit", io=Broken()) is None
    assert isinstance(cortex.last_error, RuntimeError)
    assert "Traceback" in caplog.text
    await cortex.aclose()
