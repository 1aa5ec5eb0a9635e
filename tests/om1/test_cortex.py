"""OM1's configuration in our words, and what does not leave the robot."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from dataclasses import replace
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from reflexarc.errors import ConfigError, ConnectError, RestingError
from reflexarc.om1.cortex import Cortex
from reflexarc.onboard.models import default_root
from reflexarc.testing import Reply, Server, run_virtual
from reflexarc.types import CortexOutputModel
from tests.leftovers import children

HERE = "http://127.0.0.1:9/v1"
SIT = '{"actions":[{"type":"move","value":"sit"}]}'


class Config(BaseModel):
    """OM1's configuration as far as it matters here: anything goes."""

    model_config = ConfigDict(extra="allow")

    base_url: str | None = None
    agent_name: str | None = "IRIS"
    history_length: int | None = 0
    timeout: int | None = 10
    extra_params: dict[str, Any] = Field(default_factory=dict)


class Model(str, Enum):  # noqa: UP042 - as OM1 writes it
    """A model as OM1's later plugins name it."""

    SMALL = "small-1"


class NoHistory:
    """OM1's history manager, as far as it matters where none is kept."""

    def __init__(self, config: Any, client: Any) -> None:
        self.agent_name = "****".replace(
            "****", config.agent_name
        )  # as OM1's first generation has it
        self.client = client
        self.frame_index = 0

    @staticmethod
    def update_history() -> Any:
        """Leave the question as it is."""
        return lambda asking: asking


def plugin(name: str, config: Config, functions: list[Any] | None = None) -> Any:
    """A plugin as OM1's base class makes it: of generation B where it has function schemas."""
    made: Any = type(name, (), {})()
    made._config = config
    made.io_provider = SimpleNamespace(set_llm_prompt=lambda _: None)
    if functions is not None:
        made.function_schemas = functions
    return made


def brain(
    config: Config,
    environ: dict[str, str] | None = None,
    *,
    name: str = "LlamaLLM",
    output_model: type[BaseModel] = CortexOutputModel,
    functions: list[Any] | None = None,
) -> Cortex[Any]:
    """What such a plugin makes."""
    made = plugin(name, config, functions)
    return Cortex(made, output_model, NoHistory, environ=environ or {})


def settings_of(
    environ: dict[str, str] | None = None, name: str = "LlamaLLM", **given: Any
) -> dict[str, Any]:
    """What our LLM was made with."""
    return vars(brain(Config(**given), environ, name=name))["_config"].model_dump()


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
        ({"extra_params": {"timeout": 2.5}}, {"timeout": 2.5}),
        ({"extra_params": {"timeout": 2.5}, "timeout": 3}, {"timeout": 3.0}),
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
        ("om1_live_0123", "http://api.openmind.org/api/core/llama", False),
        ("OM1_LIVE_0123", HERE, False),
        ("the-tests-own", HERE, False),
    ],
)
def test_openminds_key_goes_to_openmind_only(key: str, base_url: str, *, sent: bool) -> None:
    """The key that OM1 adds to every LLM is sent to OpenMind's own hosts and nowhere else."""
    config = Config(base_url=base_url, model="m", api_key=key)
    cortex = brain(config, {"OM_API_KEY": "the-robots-own", "OM1_API_KEY": "the-tests-own"})
    held = vars(cortex)["_llm"].llms[0].config.api_key
    assert (held is not None) is sent
    assert cortex.client.api_key == (key if sent else None)


async def test_a_key_that_is_dropped_is_not_sent() -> None:
    """On the wire there is no trace of it."""
    async with Server(Reply.stream('{"actions":[]}')) as server:
        config = Config(base_url=server.base_url, model="m", api_key="om1_live_0123")
        cortex = brain(config)
        await cortex.ask("sit")
        await cortex.aclose()
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("base_url", [None, "https://api.mistral.ai/v1"])
@pytest.mark.parametrize("key", ["openmind_free", "om1_live_0123", "${OM_API_KEY}", "theirs"])
def test_openminds_key_for_a_vendor_is_refused(key: str, base_url: str | None) -> None:
    """A vendor needs a key of its own: the message names whose key it was, and for which host."""
    environ = {"OM_API_KEY": "om1_x", "OPENMIND_API_KEY": "theirs"}
    with pytest.raises(ConfigError) as caught:
        brain(Config(api_key=key, base_url=base_url), environ, name="MistralLLM")
    message = str(caught.value)
    assert message.startswith("config file missing api_key: OM1 hands OpenMind's key to MistralLLM")
    assert "not sent to api.mistral.ai; set MISTRAL_API_KEY" in message
    assert "om1_" not in message


def test_the_vendors_own_key_takes_its_place() -> None:
    """With the vendor's variable set, OpenMind's key is no mistake: it is just not used."""
    cortex = brain(Config(api_key="om1_x"), {"MISTRAL_API_KEY": "mine"}, name="MistralLLM")
    assert cortex.client.api_key is None
    assert vars(cortex)["_llm"].llms[0]._key.get_secret_value() == "mine"


def test_openminds_key_is_taken_out_of_every_brain_of_a_chain() -> None:
    """What stands in one of the brains behind a failover is looked at as well."""
    first = {"base_url": HERE, "model": "m", "api_key": "om1_x"}
    second = {"base_url": HERE, "model": "n", "api_key": "mine"}
    chain = [{"type": "LlamaLLM", **first}, {"type": "LlamaLLM", "config": second}]
    found = settings_of(name="FailoverLLM", api_key="om1_y", llms=chain)
    keys = [each["api_key"] for each in found["llms"]]
    assert keys[0] is None
    assert keys[1].get_secret_value() == "mine"
    assert found["api_key"] is None


def test_the_model_on_board_takes_what_om1_adds(caplog: pytest.LogCaptureFixture) -> None:
    """Server, key and an unknown model mean nothing on board; the robot acts all the same."""
    given = {"base_url": "http://test.com", "api_key": "test-key", "model": "test-model"}
    found = settings_of(name="OnboardLLM", history_length=4, **given)
    assert (found["base_url"], found["api_key"], found["model"]) == (None, None, None)
    assert "OnboardLLM has no model 'test-model'; smollm2-135m-instruct answers" in caplog.text
    assert "base_url, test.com, is not asked" in caplog.text
    assert "write history_length: 0" in caplog.text


def test_a_failover_without_brains_asks_the_server_and_then_on_board() -> None:
    """A server is enough to make a chain of."""
    found = settings_of(name="FailoverLLM", base_url=HERE, api_key="k", model="m")
    first, second = found["llms"]
    assert (first["type"], first["base_url"], first["model"]) == ("LlamaLLM", HERE, "m")
    assert second["type"] == "OnboardLLM"


def test_function_schemas_are_asked_for_by_tool_calls() -> None:
    """Where OM1 hands over function schemas, tools come first, unless it is said otherwise."""

    def structured(name: str = "LlamaLLM", **given: Any) -> Any:
        made = brain(Config(base_url=HERE, model="m", **given), name=name, functions=[])
        return vars(made)["_config"].structured

    assert structured() == ("tools", "schema", "json", "text")
    assert structured(structured="schema") == "schema"
    assert structured(name="OnboardLLM") == "auto"
    assert settings_of(base_url=HERE, model="m")["structured"] == "auto"


def test_the_brains_of_a_chain_are_asked_by_tool_calls() -> None:
    """A failover hands this down, but not to the model on board."""
    chain = [
        {"type": "LlamaLLM", "config": {"base_url": HERE, "model": "m"}},
        {"type": "OnboardLLM"},
    ]
    made = brain(Config(llms=chain), name="FailoverLLM", functions=[])
    config = vars(made)["_config"]
    assert [each.structured for each in config.llms] == [
        ("tools", "schema", "json", "text"),
        "auto",
    ]


def test_a_robot_with_a_past_needs_a_name() -> None:
    """OM1 tells the past by the robot's name; without a past it does without."""
    with pytest.raises(ConfigError, match="agent_name is empty"):
        settings_of(base_url=HERE, model="m", agent_name=None, history_length=3)
    made = brain(Config(base_url=HERE, model="m", agent_name=None))
    assert made.history_manager.agent_name == "IRIS"


def test_a_mistake_is_told_with_its_place() -> None:
    """What is wrong in OM1's configuration is an error that names the field."""
    with pytest.raises(ConfigError, match=r"LlamaLLM's configuration: 'max_tokens'") as caught:
        settings_of(base_url=HERE, model="m", max_tokens="many", extra_params={"auth": "s3cret"})
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("OnboardLLM", {"transport": "sdk"}, "OnboardLLM has no SDK transport"),
        ("MistralLLM", {"structured": "grammar", "api_key": "mine-1"}, "a grammar is made"),
        ("FailoverLLM", {"llms": [{"type": "OnboardLLM"}], "model": "m"}, "FailoverLLM has no mod"),
        ("MistralLLM", {}, "config file missing api_key: MistralLLM needs a key"),
        ("FailoverLLM", {"llms": [{"type": "MistralLLM"}]}, "config file missing api_key: Mistral"),
    ],
)
def test_only_a_key_that_is_missing_is_called_so(
    name: str, given: dict[str, Any], words: str
) -> None:
    """OM1's own words for a missing key stand for nothing else."""
    with pytest.raises(ConfigError) as caught:
        brain(Config(**given), name=name)
    assert caught.value.message.startswith(words)


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
        cortex = brain(Config(base_url=server.base_url, model="m"), output_model=output_model)
        answer: Any = await cortex.ask("well?")
        await cortex.aclose()
    assert (len(answer.actions) if expected == 1 else answer) == expected


BUSY = replace(Reply.json({"error": {"message": "slow down"}}, 429), headers={"Retry-After": "30"})
GONE = Reply.json({"error": {"message": "out of order"}}, 500)


@pytest.mark.parametrize("name", ["MistralLLM", "LlamaLLM"])
async def test_one_failure_that_may_pass_costs_no_tick(name: str) -> None:
    """A plugin of one brain asks again like one of several, without any setting."""
    async with Server(GONE, Reply.stream(SIT)) as server:
        cortex = brain(Config(base_url=server.base_url, model="m"), name=name)
        answer: Any = await cortex.ask("sit")
        await cortex.aclose()
    assert [action.value for action in answer.actions] == ["sit"]


@pytest.mark.parametrize("name", ["MistralLLM", "LlamaLLM"])
def test_a_server_that_asks_for_time_is_given_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Retry-After is kept over the ticks that it outlasts: they fail at once, and ask nobody."""

    async def ticks() -> None:
        clock = asyncio.get_running_loop().time
        async with Server(BUSY, Reply.stream(SIT)) as server:
            cortex = brain(Config(base_url=server.base_url, model="m", timeout=2), name=name)
            assert await cortex.ask("sit") is None
            until = clock() + 30
            while clock() < until - 0.5:
                began = clock()
                assert await cortex.ask("sit") is None
                assert clock() - began < 0.1
                assert isinstance(cortex.last_error, RestingError)
                await asyncio.sleep(0.5)
            assert len(server.requests) == 1
            await asyncio.sleep(1)
            assert await cortex.ask("sit") is not None
            await cortex.aclose()

    run_virtual(ticks())
    assert f"{name} gave no answer (resting): {name} has failed (rate_limited)" in caplog.text


def test_retry_after_is_waited_for_inside_the_deadline() -> None:
    """Where it leaves time for an answer, the tick has one."""
    brief = replace(BUSY, headers={"Retry-After": "1"})

    async def tick() -> Any:
        async with Server(brief, Reply.stream(SIT)) as server:
            cortex = brain(Config(base_url=server.base_url, model="m", timeout=2))
            answer = await cortex.ask("sit")
            await cortex.aclose()
        return answer

    assert [action.value for action in run_virtual(tick()).actions] == ["sit"]


@pytest.mark.parametrize("given", [{}, {"idle_action": {"type": "move", "value": "still"}}])
async def test_all_that_om1_keeps_of_the_past_is_shown(given: dict[str, Any]) -> None:
    """OM1 shortens it itself, and while it does there may be more than history_length."""
    past = [{"role": "user", "content": f"Turn {number}."} for number in range(9)]
    async with Server(Reply.stream(SIT)) as server:
        settings = {"base_url": server.base_url, "model": "m", "history_length": 1, **given}
        cortex = brain(Config.model_validate(settings))
        await cortex.ask("sit", past)
        await cortex.aclose()
    told = str(server.requests[0].json["messages"])
    assert all(turn["content"] in told for turn in past)


async def test_the_past_is_told_in_the_words_of_now() -> None:
    """What OM1's history has as a record with its time is what was said."""
    heard = "Spot sensed the following: Voice. Message(timestamp=1795883706.6, message='Sit!') | "
    async with Server(Reply.stream(SIT), Reply.stream("Spot sat.")) as server:
        cortex = brain(Config(base_url=server.base_url, model="m"))
        await cortex.ask("now", [{"role": "user", "content": heard}])
        await cortex.client.chat.completions.create(messages=[{"role": "user", "content": heard}])
        await cortex.aclose()
    told = [str(request.json["messages"]) for request in server.requests]
    assert len(told) == 2
    assert all("Voice. Sit! |" in each and "timestamp" not in each for each in told)


LISTED = "MOVE: A move.\ntype=move\nvalue={'sit', 'run'}"
REFUSED = (
    '{"actions":[{"type":"move","value":"%s"},{"type":"mo\\nve","value":"up"},'
    '{"type":"move","value":"sit"}]}'
)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_is_refused_is_told_once(
    caplog: pytest.LogCaptureFixture, *, is_stream: bool
) -> None:
    """A robot that lacks a move says so in its log, and does not fill it tick by tick."""
    wanted = ["fly away", "fly away", "dance"]
    async with Server(*(Reply.stream(REFUSED % value) for value in wanted)) as server:
        cortex = brain(Config(base_url=server.base_url, model="m"))
        io = vars(cortex)["_plugin"].io_provider
        io.fuser_system_prompt, io.fuser_inputs = "You are Spot.", "go"
        prompt = f"You are Spot.\n\nAVAILABLE INPUTS:\ngo\nAVAILABLE ACTIONS:\n{LISTED}"
        for _ in wanted:
            if is_stream:
                answers = [each async for each in cortex.ask_stream(prompt)]
            else:
                answers = [await cortex.ask(prompt)]
            assert [action.value for each in answers for action in each.actions] == ["sit"]
        await cortex.aclose()
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    start = "LlamaLLM wants what the robot cannot do: "
    assert told == [
        f"{start}'fly away' is not a value of move; sit, run are",
        f"{start}the robot has no action 'mo ve', only move",
        f"{start}'dance' is not a value of move; sit, run are",
    ]


async def test_refusals_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    """A model that makes up new ones for ever is told of a hundred times, and no more."""
    actions = ",".join(f'{{"type":"move{number}","value":"a"}}' for number in range(150))
    sit = '{"type":"move","value":"sit"}'
    async with Server(Reply.stream(f'{{"actions":[{actions},{sit}]}}')) as server:
        cortex = brain(Config(base_url=server.base_url, model="m"))
        io = vars(cortex)["_plugin"].io_provider
        io.fuser_system_prompt, io.fuser_inputs = "You are Spot.", "go"
        await cortex.ask(f"You are Spot.\n\nAVAILABLE INPUTS:\ngo\nAVAILABLE ACTIONS:\n{LISTED}")
        await cortex.aclose()
    assert caplog.text.count("wants what the robot cannot do") == 100


class Broken:
    """An io_provider that fails."""

    def set_llm_prompt(self, prompt: str) -> None:
        """Fail."""
        raise RuntimeError(f"no room for {len(prompt)} characters")


async def test_a_mistake_in_the_code_does_not_end_the_runtime(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even what nobody foresaw is None, and the log has where it happened."""
    cortex = brain(Config(base_url=HERE, model="m"))
    vars(cortex)["_plugin"].io_provider = Broken()
    assert await cortex.ask("sit") is None
    assert isinstance(cortex.last_error, RuntimeError)
    assert "Traceback" in caplog.text
    await cortex.aclose()


async def test_what_om1_drops_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """OM1 changes its mode without closing anything; connections and engine end all the same."""
    environ = {
        "XDG_DATA_HOME": str(default_root(os.environ).parent.parent),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    before = children()
    async with Server(Reply.stream('{"actions":[]}')) as server:
        for name, settings in (
            ("LlamaLLM", {"base_url": server.base_url, "model": "m"}),
            ("OnboardLLM", {"timeout": 50, "max_tokens": 4}),
        ):
            cortex = brain(Config.model_validate(settings), environ, name=name)
            await cortex.ask("sit")
        assert set(children()) > set(before)
        del cortex
        gc.collect()
        async with asyncio.timeout(20):
            while children() != before:  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.01)
    assert "Unclosed" not in caplog.text


def test_what_om1_drops_after_its_loop_is_no_error() -> None:
    """With the loop, everything in it has ended, and there is nothing left to close."""

    async def ask() -> Any:
        cortex = brain(Config(base_url=HERE, model="m"))
        await cortex.ask("sit")
        await vars(cortex)["_llm"].aclose()
        return cortex

    cortex = asyncio.run(ask())
    del cortex
    gc.collect()  # what is raised here fails the test


class BrokenHistory(NoHistory):
    """A history manager that fails before it asks."""

    @staticmethod
    def update_history() -> Any:
        """Fail at every question."""

        async def fail(*_: Any) -> None:
            raise RuntimeError("no room")

        return lambda _: fail


async def test_a_history_that_fails_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """OM1's own mistakes before the question do not keep the robot from acting."""
    async with Server(Reply.stream(SIT)) as server:
        made = plugin("LlamaLLM", Config(base_url=server.base_url, model="m"))
        cortex: Cortex[Any] = Cortex(made, CortexOutputModel, BrokenHistory, environ={})
        answer = await cortex.ask("sit")
        await cortex.aclose()
    assert [action.value for action in answer.actions] == ["sit"]
    assert made.io_provider.llm_end_time >= made.io_provider.llm_start_time
    assert "bookkeeping failed" in caplog.text


async def test_the_first_brain_waits_for_no_other(tmp_path: Path) -> None:
    """A reserve that is read ahead, or is not there at all, costs the first one no answer."""
    async with Server(Reply.stream(SIT)) as server:
        first = {"type": "LlamaLLM", "base_url": server.base_url, "model": "m"}
        reserve = {"type": "OnboardLLM", "model": str(tmp_path / "none.gguf")}
        cortex = brain(Config.model_validate({"llms": [first, reserve]}), name="FailoverLLM")
        answer: Any = await cortex.ask("sit")
        await cortex.aclose()
    assert [action.value for action in answer.actions] == ["sit"]


async def test_a_plugin_of_one_brain_may_have_a_fallback_and_an_idle_action(
    tmp_path: Path,
) -> None:
    """In OM1's own configuration, beside the settings of any plugin."""
    still = {"type": "move", "value": "stand still"}
    given = {"base_url": HERE, "model": "m", "idle_action": still}
    for more in ({}, {"fallback": "onboard"}):
        cortex = brain(Config.model_validate(given | more), environ={"HOME": str(tmp_path)})
        answer: Any = await cortex.ask("sit")
        await cortex.aclose()
        assert [action.model_dump() for action in answer.actions] == [still]
        assert cortex.last_error is None


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of who ends a loop with all in it
def test_a_plugin_is_asked_in_one_loop_after_another() -> None:
    """A script that runs each question in a loop of its own is answered each time."""
    cortex = brain(Config(base_url=HERE, model="m"))
    for _ in range(3):
        asyncio.run(cortex.ask("sit"))
        assert isinstance(cortex.last_error, ConnectError)
    asyncio.run(cortex.aclose())
    del cortex  # and what its last error holds
    gc.collect()
