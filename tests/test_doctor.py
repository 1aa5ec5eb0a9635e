"""Whether each brain of a robot answers: one question each, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reflexarc import LLMConfig, Vocabulary
from reflexarc.config import RobotConfig
from reflexarc.doctor import (
    ON_BOARD,
    QUESTION,
    Answer,
    Brain,
    ask,
    label,
    line_up,
    verdict,
)
from reflexarc.errors import ConfigError, ServerError
from reflexarc.onboard.models import DEFAULT
from reflexarc.prompt import Prompt
from reflexarc.resilience.chain import entries
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn
from reflexarc.types import Action

SPOT = Path(__file__).parents[1] / "config" / "spot_onboard.json5"
SECRET = "sk-0123456789abcdef"
DOWN = "http://127.0.0.1:9/v1"
SIT = '{"actions":[{"type":"move","value":"sit"}'
WAG = ',{"type":"move","value":"wag tail"}]}'
ENDS_WITHIN_S = 5.0

ROBOT: dict[str, Any] = {
    "name": "dot",
    "hertz": 1,
    "system_prompt_base": "You are Dot.",
    "cortex_llm": {"type": "OnboardLLM"},
    "agent_actions": [
        {"name": "move", "llm_label": "move"},
        {"name": "speak", "llm_label": "speak"},
    ],
}


def robot(**brain: Any) -> RobotConfig:
    """A robot with this brain."""
    return RobotConfig(**{**ROBOT, "cortex_llm": brain})


def failover(*llms: dict[str, Any], **limits: Any) -> RobotConfig:
    """A robot with these brains."""
    return robot(type="FailoverLLM", llms=llms, **limits)


def llama(base_url: str, **settings: Any) -> dict[str, Any]:
    """A brain on a server."""
    return {"type": "LlamaLLM", "model": "llama3.2", "base_url": base_url, **settings}


def lined_up(of: RobotConfig, environ: dict[str, str] | None = None) -> tuple[Brain, ...]:
    """The brains of a robot."""
    return line_up(of, Vocabulary.from_actions(of.agent_actions), environ or {})


async def asked(of: RobotConfig, environ: dict[str, str] | None = None) -> list[Answer]:
    """What each brain of a robot answers."""
    prompt = Prompt.for_robot(of).at(QUESTION)
    brains = await asyncio.to_thread(lined_up, of, environ)  # it imports, and reads files
    return [await ask(brain, prompt) for brain in brains]


async def test_a_brain_is_asked_as_the_robot_would() -> None:
    """It is shown the robot's prompt and the question; who answers and how fast is told."""
    async with Server(Reply.stream(SIT, 0.05, WAG)) as server:
        [answer] = await asked(robot(**llama(server.base_url)))
        [request] = server.requests
        host = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert request.json["model"] == "llama3.2"
    assert "You are Dot." in request.json["messages"][0]["content"]
    assert request.json["messages"][-1] == {"role": "user", "content": QUESTION}
    assert (answer.provider, answer.model) == ("LlamaLLM", "scripted")
    assert answer.server == host
    assert (answer.ok, answer.kind, answer.message) == (True, None, None)
    assert answer.action == Action(type="move", value="sit")
    assert answer.ready_s is not None
    assert answer.first_action_s is not None
    assert answer.total_s is not None
    assert 0 <= answer.ready_s < answer.total_s
    assert answer.first_action_s + 0.04 < answer.total_s


async def test_brains_are_asked_one_after_the_other() -> None:
    """The second is asked when the first has answered, and its connection is closed."""
    async with Server(Reply.stream(SIT, WAG)) as first, Server(Reply.stream(SIT, WAG)) as second:
        answers = await asked(failover(llama(first.base_url), llama(second.base_url)))
        assert first.requests[0].at_s < second.requests[0].at_s
    assert [answer.ok for answer in answers] == [True, True]


async def test_a_failure_is_a_row_and_not_the_end() -> None:
    """A key that is missing, a server that is down: each is told, and the next is asked."""
    refusal = Reply.json({"error": {"message": "out of order"}}, 500)
    async with Server(refusal) as failing, Server(Reply.stream(SIT, WAG)) as well:
        answers = await asked(
            failover(
                {"type": "MistralLLM"},
                llama(DOWN),
                llama(failing.base_url),
                {"type": "OnbordLLM"},
                {"type": "LlamaLLM", "base_url": DOWN},
                llama(well.base_url),
            )
        )
    assert [answer.kind for answer in answers] == [
        "config", "connection", "server", "config", "config", None,
    ]  # fmt: skip
    assert [answer.ok for answer in answers] == [False] * 5 + [True]
    no_key, down, _, unknown, no_model, _ = answers
    assert (no_key.server, no_key.model) == ("api.mistral.ai", "mistral-small-latest")
    assert "set MISTRAL_API_KEY" in (no_key.message or "")
    assert (no_key.ready_s, no_key.total_s) == (None, None)
    assert (down.server, down.total_s is None) == ("127.0.0.1:9", False)
    assert "check base_url" in (down.message or "")
    assert "did you mean 'OnboardLLM'?" in (unknown.message or "")
    assert (unknown.server, no_model.server) == (None, "127.0.0.1:9")


async def test_what_was_said_before_a_failure_stands() -> None:
    """An action that came before the answer broke is told, beside the failure."""
    async with Server(Reply.stream(SIT, finish=None, done=False)) as server:
        [answer] = await asked(robot(**llama(server.base_url)))
    assert (answer.ok, answer.kind) == (False, "truncated")
    assert answer.action == Action(type="move", value="sit")
    assert answer.first_action_s is not None


async def test_a_brain_with_nothing_to_do_answers_as_well() -> None:
    """An answer without an action is an answer."""
    async with Server(Reply.stream('{"actions":[]}')) as server:
        [answer] = await asked(robot(**llama(server.base_url)))
    assert (answer.ok, answer.action, answer.first_action_s) == (True, None, None)


@pytest.mark.parametrize("wait", ["before", "within"])
async def test_each_has_its_own_time(wait: str) -> None:
    """One that does not answer within its own limit is left, and what is sent to it is ended."""
    never = asyncio.Event()
    stalls = Reply.stream(never) if wait == "before" else Reply.stream(SIT, never)
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with Server(stalls) as stalling, Server(Reply.stream(SIT, WAG)) as well:
        late, answer = await asked(
            failover(llama(stalling.base_url, timeout=0.2), llama(well.base_url), timeout=30)
        )
        await asyncio.wait_for(stalling.requests[0].left.wait(), ENDS_WITHIN_S)
    assert clock() - begun < ENDS_WITHIN_S
    assert (late.kind, answer.ok) == ("timeout", True)
    assert "timeout = 0.2 s" in (late.message or "")
    assert (late.action is None) == (wait == "before")


class SlowlyOpened(ScriptedLLM[Any]):
    """A brain that is never ready, and that counts how often it is closed."""

    closed = 0

    async def open(self) -> None:
        """Wait."""
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1
        await super().aclose()


async def test_getting_ready_is_part_of_the_time() -> None:
    """One that does not open in time is told so, and closed."""
    llm = SlowlyOpened(Turn(), name="Slow")
    brain = Brain(LLMConfig(type="Slow", timeout=0.1), None, llm)
    answer = await ask(brain, Prompt().at(QUESTION))
    assert (answer.kind, answer.ready_s, answer.total_s) == ("timeout", None, None)
    assert "not ready" in (answer.message or "")
    assert llm.closed == 1


@pytest.mark.parametrize("waited_s", [0.05, 5.0])
async def test_a_server_out_of_reach_was_never_ready(
    waited_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no connection is made, no time is told after which it was ready, and no slow model."""
    monkeypatch.setattr("reflexarc.providers.provider.WAITED_S", waited_s)
    with socket.create_server(("127.0.0.1", 0)) as waiting:  # and nobody answers TLS's hello
        base_url = f"https://127.0.0.1:{waiting.getsockname()[1]}/v1"
        [answer] = await asked(robot(**llama(base_url, timeout=0.3)))
    assert (answer.ok, answer.kind, answer.ready_s) == (False, "connection", None)
    assert f"no connection to {base_url} within timeout = 0.3 s; check" in (answer.message or "")


async def test_cancelling_closes() -> None:
    """Ctrl-C while a brain is asked leaves nothing behind, and is passed on."""
    llm = SlowlyOpened(Turn(), name="Slow")
    brain = Brain(LLMConfig(type="Slow"), None, llm)
    task = asyncio.create_task(ask(brain, Prompt().at(QUESTION)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm.closed == 1


async def test_cancelling_ends_the_answer() -> None:
    """A server that is still writing is told, by the end of its connection."""
    async with Server(Reply.stream(SIT, asyncio.Event())) as server:
        task = asyncio.create_task(asked(robot(**llama(server.base_url))))
        await asyncio.wait_for(server.asked(), ENDS_WITHIN_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.requests[0].left.wait(), ENDS_WITHIN_S)


async def test_the_model_on_board_answers(tmp_path: Path) -> None:
    """A dog with the real model sits; it is ready before it is asked."""
    spot = await asyncio.to_thread(RobotConfig.load, SPOT)
    [answer] = await asked(spot, {**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    assert (answer.message, answer.ok) == (None, True)
    assert (answer.server, answer.model) == (ON_BOARD, DEFAULT)
    assert answer.action == Action(type="move", value="sit")
    assert answer.ready_s is not None
    assert answer.first_action_s is not None
    assert answer.ready_s > 0.05


async def test_a_model_that_is_missing_is_told(tmp_path: Path) -> None:
    """With the command that fetches it."""
    [answer] = await asked(robot(type="OnboardLLM"), {"XDG_DATA_HOME": str(tmp_path)})
    assert (answer.kind, answer.server, answer.model) == ("unavailable", ON_BOARD, DEFAULT)
    assert "reflexarc models pull" in (answer.message or "")


@pytest.mark.parametrize("place", ["file", "environment"])
async def test_no_key_is_told(place: str) -> None:
    """Whatever a server writes, and wherever: the key is in no part of the answer."""
    speaks = json.dumps({"actions": [{"type": "speak", "value": f"{SECRET}!"}]})
    replies = [
        Reply.stream(speaks, model=f"model-of-{SECRET}"),
        Reply.json({"error": {"message": f"Incorrect API key provided: {SECRET}."}}, 401),
    ]
    async with Server(*replies) as server:
        settings = {
            "base_url": server.base_url, "model": "m", "transport": "http",
            **({"api_key": SECRET} if place == "file" else {}),
        }  # fmt: skip
        brain = {"type": "MistralLLM", **settings}
        answers = await asked(failover(brain, brain), {"MISTRAL_API_KEY": SECRET})
    assert [answer.kind for answer in answers] == [None, "auth"]
    assert SECRET not in str(answers)
    assert answers[0].action == Action(type="speak", value="***!")
    assert answers[0].model == "model-of-***"


def test_no_key_is_in_what_is_printed_of_a_brain() -> None:
    """A brain is a value that may end up in a log."""
    brain = {"type": "MistralLLM", "api_key": SECRET}
    assert SECRET not in repr(
        lined_up(failover(brain, {"type": "MistralLLM"}), {"MISTRAL_API_KEY": SECRET})
    )


def test_a_mistake_of_them_all_is_no_row() -> None:
    """Where each brain is right and the robot would still not start, the caller is told."""
    with pytest.raises(ConfigError, match="no model of its own"):
        lined_up(failover(llama(DOWN), model="m"))
    with pytest.raises(ConfigError, match="takes no llms"):
        lined_up(robot(type="LlamaLLM", model="m", base_url=DOWN, llms=[llama(DOWN)]))


def test_one_that_is_wrong_hides_no_mistake_of_them_all() -> None:
    """A key that is missing is a row, whatever else there is."""
    with pytest.raises(ConfigError, match="no model of its own"):
        lined_up(failover({"type": "MistralLLM"}, llama(DOWN), model="m"))
    brains = lined_up(failover({"type": "MistralLLM"}, llama(DOWN)))
    assert [brain.llm is None for brain in brains] == [True, False]


def test_the_chain_is_that_of_the_robot() -> None:
    """A failover's brains in their order; any other brain is the only one."""
    one, two = LLMConfig(type="MistralLLM"), LLMConfig(type="OnboardLLM")
    assert entries(LLMConfig(type="FailoverLLM", llms=(one, two))) == (one, two)
    assert entries(two) == (two,)


def test_servers_are_told_apart() -> None:
    """By host and port, in any form of address."""
    brains = lined_up(
        failover(
            llama("http://[::1]:8080"),
            llama("https://llama.example/v1"),
            {"type": "GeminiLLM"},
            {"type": "OnboardLLM"},
        )
    )
    hosts = ["[::1]:8080", "llama.example", "generativelanguage.googleapis.com", ON_BOARD]
    assert [brain.server for brain in brains] == hosts


def answers_of(*right: bool, providers: Sequence[str] = "ABCDE") -> list[Answer]:
    """Answers of which these are right."""
    return [
        Answer(provider, None, f"host{index}", ok=ok)
        for index, (provider, ok) in enumerate(zip(providers, right, strict=False))
    ]


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (answers_of(True), "The only brain answers; the robot acts on A."),
        (answers_of(False), "The only brain does not answer; the robot would stand still."),
        (answers_of(True, False, True), "2 of 3 brains answer; the robot acts on A."),
        (answers_of(False, True), "1 of 2 brains answers; the robot acts on B."),
        (answers_of(False, False), "None of 2 brains answers; the robot would stand still."),
        (
            answers_of(False, True, providers="AA"),
            "1 of 2 brains answers; the robot acts on A at host1.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(answers: list[Answer], sentence: str) -> None:
    """How many answer, and on which the robot acts: the first that does."""
    assert verdict(answers) == sentence


def test_a_brain_without_a_server_is_called_by_its_provider() -> None:
    """Also where another has the same."""
    answers = [Answer("A", None, None), Answer("A", None, "host")]
    assert [label(each, answers) for each in answers] == ["A", "A at host"]


def test_an_answer_is_one_object() -> None:
    """Programs read the same fields, whatever became of it."""
    sit = Action(type="move", value="sit")
    whole = Answer("A", "m", "h", True, 0.12345, 0.2, 0.3, sit)
    nothing = dict.fromkeys(["ready_s", "first_action_s", "total_s", "action"])
    assert whole.to_dict() == {
        "event": "provider", "provider": "A", "model": "m", "server": "h", "ok": True,
        "ready_s": 0.1235, "first_action_s": 0.2, "total_s": 0.3,
        "action": {"type": "move", "value": "sit"}, "kind": None, "message": None,
    }  # fmt: skip
    error = ServerError("down")
    failed = Answer("A", None, None, kind=error.kind, message=error.message)
    assert failed.to_dict() == {
        **whole.to_dict(), **nothing, "model": None, "server": None, "ok": False,
        "kind": "server", "message": "down",
    }  # fmt: skip


@pytest.mark.parametrize(
    "brain", [{"type": "OnboardLLM"}, {"type": "MistralLLM", "api_key": SECRET}]
)
def test_an_idle_action_is_one_of_the_robots(brain: dict[str, str]) -> None:
    """Also of a robot with one brain and no list of them."""
    dog = Vocabulary([ActionSpec("move", ("sit",))])
    with pytest.raises(ConfigError, match="idle_action is not legal"):
        line_up(robot(**brain, idle_action={"type": "move", "value": "fly"}), dog, {})
    legal = robot(**brain, idle_action={"type": "move", "value": "sit"})
    assert len(line_up(legal, dog, {})) == 1
