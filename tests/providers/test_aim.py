"""What an answer is to be, call by call: other actions, another order of forms, plain text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from reflexarc import LLMConfig, Prompt, RobotConfig, Vocabulary, load_llm
from reflexarc.errors import BadOutputError, ConfigError, TruncatedError
from reflexarc.onboard.models import default_root
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, ScriptedLLM, Server
from reflexarc.types import Action, CortexOutputModel, Message

DOG = Vocabulary([ActionSpec("move", ("sit", "walk"))])
ARM = Vocabulary([ActionSpec("grip", ("open", "close")), ActionSpec("speak", None)])
SIT = '{"actions":[{"type":"move","value":"sit"}]}'
GRIP = '{"actions":[{"type":"grip","value":"open"},{"type":"move","value":"sit"}]}'
SPOT = Path(__file__).parent.parent.parent / "config" / "spot_onboard.json5"


def make(server: Server, actions: Vocabulary | None = DOG, **settings: Any) -> Any:
    """An LLM that asks a server of ours."""
    config = LLMConfig.model_validate(
        {"type": "LlamaLLM", "model": "m", "base_url": server.base_url, **settings}
    )
    return load_llm(config, actions=actions, environ={})


async def test_a_prompt_may_bring_its_own_actions() -> None:
    """What the robot can do in one tick holds for that tick, in the request and the judgement."""
    async with Server(Reply.stream(GRIP), Reply.stream(SIT)) as server, make(server) as llm:
        first = [action async for action in llm.act(Prompt(situation="open", actions=ARM))]
        second = [action async for action in llm.act("sit")]
    assert (first, second) == (
        [Action(type="grip", value="open")],
        [Action(type="move", value="sit")],
    )
    schemas = [request.json["response_format"]["json_schema"] for request in server.requests]
    assert [schema["schema"] for schema in schemas] == [ARM.schema(), DOG.schema()]


def said(asked: Received) -> str:
    """What was asked last."""
    return asked.json["messages"][-1]["content"]


async def test_many_vocabularies_do_not_pile_up() -> None:
    """What is made of a vocabulary is kept for a few of them only, and right for each."""
    robots = [Vocabulary([ActionSpec("move", (f"to {number}",))]) for number in range(20)]
    async with (
        Server(route=lambda asked: Reply.stream(SIT.replace("sit", said(asked)))) as server,
        make(server, None) as llm,
    ):
        for number, robot in enumerate(robots):
            answer = await llm.ask(Prompt(situation=f"to {number}", actions=robot))
            assert [action.value for action in answer.actions] == [f"to {number}"]
        assert len(vars(llm)["_aims"]) <= 8


class Plan(BaseModel):
    """An answer that is no list of actions."""

    goal: str


async def test_actions_need_a_place_in_the_answer() -> None:
    """A prompt's actions and an output model without them contradict each other."""
    config = LLMConfig(type="LlamaLLM", model="m", base_url="http://127.0.0.1:9")
    llm = load_llm(config, output_model=Plan, environ={})
    with pytest.raises(ConfigError, match="no field 'actions'"):
        await llm.ask(Prompt(situation="go", actions=DOG))
    await llm.aclose()


async def test_forms_are_tried_in_the_order_that_is_written() -> None:
    """A list of forms is a ladder: the first is asked for, and the next where that is refused."""
    refused = Reply.json({"error": {"message": "unknown field 'tools'", "param": "tools"}}, 400)
    async with (
        Server(refused, Reply.stream(SIT)) as server,
        make(server, structured=["tools", "text"]) as llm,
    ):
        await llm.ask("sit")
    first, second = (request.json for request in server.requests)
    assert first["tools"] == DOG.tools()
    assert not {"tools", "response_format", "grammar"} & second.keys()


@pytest.mark.parametrize("forms", [[], ["auto"], ["tools", "tools"], ["yaml"], "text", 7])
def test_a_wrong_order_is_refused(forms: object) -> None:
    """The message names what may be written."""
    with pytest.raises(ValueError, match="must be auto, grammar, schema, tools, json, or a list"):
        LLMConfig.model_validate({"type": "LlamaLLM", "structured": forms})


# Plain text


async def test_writes_plain_text() -> None:
    """A text is asked for as it is told, and held to nothing."""
    past = [Message("user", "hello"), Message("assistant", "hi")]
    async with (
        Server(Reply.stream("Spot ", "sat.\n")) as server,
        make(server, temperature=0.5) as llm,
    ):
        text = await llm.write(Prompt(system="Be short.", situation="What happened?"), past)
    assert text == "Spot sat."
    sent = server.requests[0].json
    assert sent["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "What happened?"},
    ]
    assert not {"tools", "response_format", "grammar"} & sent.keys()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply.stream("Spot", finish=None, done=False), TruncatedError),
        (Reply.stream(" \n"), BadOutputError),
        (Reply.stream(""), BadOutputError),
    ],
)
async def test_a_text_that_is_none_is_an_error(reply: Reply, error: type[Exception]) -> None:
    """A broken connection and an empty answer are told apart from a text."""
    async with Server(reply) as server, make(server) as llm:
        with pytest.raises(error):
            await llm.write("What happened?")


async def test_a_text_may_reach_its_limit() -> None:
    """A text that the token limit cuts is still one."""
    async with Server(Reply.stream("Spot sat and", finish="length")) as server, make(server) as llm:
        assert await llm.write("What happened?") == "Spot sat and"


async def test_actions_are_held_as_before_after_a_text() -> None:
    """Writing text teaches nothing about the forms of actions."""
    async with Server(Reply.stream("Fine."), Reply.stream(SIT)) as server, make(server) as llm:
        await llm.write("How are you?")
        await llm.ask("sit")
    assert "response_format" in server.requests[1].json


async def test_who_cannot_write_says_so() -> None:
    """An LLM of somebody's own need not write; it says its name then."""
    with pytest.raises(NotImplementedError, match="ScriptedLLM writes no plain text"):
        await ScriptedLLM[CortexOutputModel]().write("hello")


@pytest.fixture
def robot() -> RobotConfig:
    """The dog that we ship."""
    return RobotConfig.load(SPOT)


async def test_the_model_on_board_writes_and_goes_on(robot: RobotConfig, tmp_path: Path) -> None:
    """A text takes the prompt out of the engine's cache; it is back before the next tick."""
    environ = {
        "XDG_DATA_HOME": str(default_root(os.environ).parent.parent),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    prompt = Prompt.for_robot(robot)
    config = robot.cortex_llm.model_copy(update={"timeout": 50.0, "max_tokens": 24})
    async with load_llm(config, actions=vocabulary, environ=environ) as llm:
        await llm.warm(prompt)
        assert await llm.write("Say hello to a person.")
        events = [event async for event in llm.stream(prompt.at("A person says: please sit down."))]
    usage = events[-1].usage  # pyright: ignore[reportAttributeAccessIssue] - Finished is the last
    assert usage.cached_tokens > 0.9 * usage.prompt_tokens
