"""The chain of a robot's file, over sockets and with the model on board."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexarc import LLMConfig, Vocabulary, load_llm
from reflexarc.config import RobotConfig
from reflexarc.errors import (
    ConfigError,
    ConnectError,
    TruncatedError,
)
from reflexarc.llm import LLM
from reflexarc.onboard.models import default_root
from reflexarc.resilience import FailoverLLM
from reflexarc.resilience.chain import entries
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, Server
from reflexarc.types import (
    Action,
    CortexOutputModel,
    Finished,
    Message,
    PlainText,
)

from .brains import SIT, acts, chain, fails, keep

DOG = Vocabulary([ActionSpec("move", ("sit", "run"))])
ANSWER = '{"actions":[{"type":"move","value":"sit"}]}'
DOWN = "http://127.0.0.1:9"
SPOT = Path(__file__).parents[2] / "config" / "spot_onboard.json5"


def configured(*llms: dict[str, Any], **settings: Any) -> LLM[CortexOutputModel]:
    """As a robot's file has it."""
    config = LLMConfig.model_validate({"type": "FailoverLLM", "llms": llms, **settings})
    return load_llm(config, actions=DOG, environ={})


async def test_a_server_that_is_down_is_followed_by_one_that_is_up() -> None:
    """A refused connection costs the robot milliseconds."""
    async with (
        Server(Reply.stream(ANSWER)) as server,
        configured(
            {"type": "LlamaLLM", "base_url": DOWN, "model": "m"},
            {"type": "LlamaLLM", "config": {"base_url": server.base_url, "model": "n"}},
        ) as llm,
    ):
        assert (await llm.ask("go")).actions == [SIT]
    assert server.requests[0].json["model"] == "n"


async def test_a_brain_without_a_key_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A robot with another brain does not stand still for it, and is told."""
    async with (
        Server(Reply.stream(ANSWER)) as server,
        configured(
            {"type": "MistralLLM"}, {"type": "LlamaLLM", "base_url": server.base_url, "model": "n"}
        ) as llm,
    ):
        assert (await llm.ask("go")).actions == [SIT]
    assert "MistralLLM needs a key: set MISTRAL_API_KEY" in caplog.text


def test_a_chain_of_nobody_with_a_key_is_refused() -> None:
    """As one brain is."""
    with pytest.raises(ConfigError, match="MistralLLM needs a key"):
        configured({"type": "MistralLLM"}, {"type": "OpenAILLM"})


async def test_a_text_is_written_by_the_first_that_can() -> None:
    """Plain text fails over as well."""
    async with (
        Server(Reply.stream("Fine.")) as server,
        configured(
            {"type": "LlamaLLM", "base_url": DOWN, "model": "m"},
            {"type": "LlamaLLM", "base_url": server.base_url, "model": "n"},
        ) as llm,
    ):
        assert await llm.write("How are you?") == "Fine."


async def test_a_brain_on_board_writes_no_text_for_another() -> None:
    """It may have to act meanwhile, so a text waits until the network is back."""
    config = LLMConfig(type="LlamaLLM", base_url=DOWN, model="m")
    second = acts()
    second.is_on_board = True
    async with chain(load_llm(config), second) as failover:
        assert not failover.is_on_board
        with pytest.raises(ConnectError):
            await failover.write("How are you?")
    assert chain(second).is_on_board
    assert second.asked == []


@pytest.mark.parametrize(
    ("on_board", "length", "shown"),
    [(False, {}, "abcd"), (True, {}, ""), (True, {"history_length": 1}, "cd")],
)
async def test_each_brain_is_shown_its_part_of_the_past(
    monkeypatch: pytest.MonkeyPatch, on_board: bool, length: dict[str, int], shown: str
) -> None:
    """One on board is shown nothing of it, unless its entry says how much."""
    second = acts()
    second.is_on_board = on_board
    brains = {"LlamaLLM": fails(), "OnboardLLM": second}
    monkeypatch.setattr(
        "reflexarc.resilience.chain.find_llm", lambda name: lambda *_, **__: brains[name]
    )
    entries = [{"type": "LlamaLLM"}, {"type": "OnboardLLM", **length}]
    past = [Message(("user", "assistant")[at % 2], text) for at, text in enumerate("abcd")]
    async with configured(*entries) as llm:
        await llm.ask("go", past)
    assert [message.content for message in brains["LlamaLLM"].asked[0].prompt.history] == [*"abcd"]
    assert [message.content for message in second.asked[0].prompt.history] == [*shown]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"llms": []}, "needs llms, best first"),
        ({"llms": [{"type": "OnboardLLM"}], "model": "x", "base_url": DOWN}, "no base_url, model"),
        ({"llms": [{"type": "OnboardLLM"}], "stall_timeout": 3}, "no stall_timeout of its own"),
        ({"type": "LlamaLLM", "model": "m", "base_url": DOWN, "llms": [{"type": "OnboardLLM"}]},
         "LlamaLLM is one brain and takes no llms"),
        ({"llms": [{"type": "MistralLLM"}]}, "MISTRAL_API_KEY"),
        ({"llms": [{"type": "MistralLM"}]}, "did you mean 'MistralLLM'"),
    ],
)  # fmt: skip
def test_a_wrong_chain_is_refused(settings: dict[str, Any], words: str) -> None:
    """The message says where a setting belongs, or what is missing."""
    with pytest.raises(ConfigError, match=words):
        load_llm(LLMConfig.model_validate({"type": "FailoverLLM", **settings}), environ={})


def test_a_mistake_in_an_entry_is_shown_in_its_line(tmp_path: Path) -> None:
    """An entry of a robot's file is checked like any brain."""
    text = SPOT.read_text().replace(
        'cortex_llm: { type: "OnboardLLM", config: { timeout: 20, max_tokens: 80 } },',
        'cortex_llm: { type: "FailoverLLM", llms: [\n    { type: "A", modle: "x" },\n  ] },',
    )
    path = tmp_path / "robot.json5"
    path.write_text(text)
    with pytest.raises(ConfigError, match="unknown key 'modle'; did you mean 'model'") as caught:
        RobotConfig.load(path, {})
    line = text[: text.index("modle")].count("\n") + 1
    assert caught.value.line == line


async def test_the_model_on_board_takes_over(tmp_path: Path) -> None:
    """With no network left, the robot acts all the same."""
    environ = {
        "XDG_DATA_HOME": str(default_root(os.environ).parent.parent),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    config = LLMConfig.model_validate(
        {
            "type": "FailoverLLM",
            "timeout": 50,
            "llms": [
                {"type": "LlamaLLM", "base_url": DOWN, "model": "m"},
                {"type": "OnboardLLM", "max_tokens": 16},
            ],
        }
    )
    async with load_llm(config, actions=DOG, environ=environ) as llm:
        events = [event async for event in llm.stream("A person says: sit!")]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.provider == "OnboardLLM"
    assert [attempt.outcome for attempt in finished.attempts] == ["connection", "connection", "ok"]


FRONT = {"type": "LlamaLLM", "base_url": DOWN, "model": "m", "timeout": 3}


def test_a_fallback_is_short_for_a_chain() -> None:
    """What is the robot's goes to the chain, the rest to the brain."""
    config = LLMConfig.model_validate(FRONT | {"fallback": "onboard", "history_length": 4})
    first, second = entries(config)
    assert first == LLMConfig.model_validate(FRONT | {"history_length": 4})
    assert second == LLMConfig(type="OnboardLLM")
    llm = load_llm(config, actions=DOG, environ={})
    assert isinstance(llm, FailoverLLM)
    assert repr(llm) == (
        "FailoverLLM(LlamaLLM(model='m'), OnboardLLM(model='smollm2-135m-instruct'))"
    )


async def test_one_brain_may_have_an_idle_action() -> None:
    """A robot that has but one is not helpless either."""
    idle = {"type": "move", "value": "sit"}
    config = LLMConfig.model_validate(FRONT | {"idle_action": idle})
    async with load_llm(config, actions=DOG, environ={}) as llm:
        events = [event async for event in llm.stream("go")]
    assert [type(event).__name__ for event in events] == [
        "AttemptFailed", "AttemptFailed", "ActionReady", "Finished",
    ]  # fmt: skip
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.provider, end.reason.partition(":")[0]) == ("idle", "connection")


async def test_a_server_that_breaks_off_is_left_alone_at_the_next_tick() -> None:
    """What it did stands; the next brain answers then, until the first has had its rest."""
    cut = Reply.stream(ANSWER[:-1] + ',{"type"', finish=None, done=False)
    async with Server(replace(cut, end="reset")) as first, Server(Reply.stream(ANSWER)) as second:
        brains = [{"type": "LlamaLLM", "base_url": server.base_url, "model": "m"}
                   for server in (first, second)]  # fmt: skip
        async with configured(*brains, timeout=3) as llm:
            done: list[Action] = []
            with pytest.raises(TruncatedError) as caught:
                await keep(llm, done)
            assert done == [SIT]
            assert [each.outcome for each in caught.value.attempts] == ["truncated"]
            events = [event async for event in llm.stream("go")]
    end = events[-1]
    assert isinstance(end, Finished)
    assert [each.outcome for each in end.attempts] == ["ok"]
    assert (len(first.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"type": "OnboardLLM", "fallback": "onboard"}, "leave its fallback out"),
        ({"type": "FailoverLLM", "llms": [FRONT], "fallback": "onboard"}, "as last of llms"),
        ({"type": "FailoverLLM", "llms": [FRONT | {"fallback": "onboard"}]}, "is one brain"),
        (FRONT | {"idle_action": {"type": "move", "value": "fly"}}, "idle_action is not legal"),
    ],
)
def test_a_wrong_shorthand_is_refused(settings: dict[str, Any], words: str) -> None:
    """Each with what to write instead."""
    with pytest.raises(ConfigError, match=words):
        load_llm(LLMConfig.model_validate(settings), actions=DOG, environ={})


def test_an_idle_action_is_for_actions() -> None:
    """Another output model cannot be filled by it."""
    idle = {"type": "move", "value": "sit"}
    config = LLMConfig.model_validate(FRONT | {"idle_action": idle})
    with pytest.raises(ConfigError, match="not for another output model"):
        load_llm(config, output_model=PlainText, environ={})
