"""What only the Llama SDK's dialect needs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reflexarc import LLM, LLMConfig, LLMError, Usage, Vocabulary, load_llm
from reflexarc.errors import (
    AuthError,
    BadOutputError,
    BadRequestError,
    RateLimitedError,
    ServerError,
    TruncatedError,
    UnavailableError,
)
from reflexarc.providers.llama_native import read_native
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, Server, event
from reflexarc.types import CortexOutputModel, Stop, TextDelta, ToolCallDelta, Wire

WIRE = Path(__file__).parent.parent / "data" / "wire"
ROBOT = Vocabulary(
    [ActionSpec("emotion", ("happy",)), ActionSpec("speak", None), ActionSpec("move", ("sit",))]
)
ANY = '{"actions":[{"type":"move","value":"sit"}]}'


def make(server: Server, **settings: Any) -> LLM[CortexOutputModel]:
    """Make an LLM over Meta's SDK."""
    given = {"model": "m", "base_url": server.base_url, "transport": "sdk", **settings}
    return load_llm(LLMConfig(type="LlamaLLM", **given), actions=ROBOT, environ={})


@pytest.mark.parametrize(
    ("sample", "structured", "values", "counts"),
    [
        ("llama_native_stream.sse", "auto", ["happy", "Hello, I am Spot!", "sit"], Usage(210, 41)),
        ("llama_native_chat.json", "auto", ["happy", "Hello, I am Spot!", "sit"], Usage(210, 41)),
        ("llama_native_chat_str.json", "auto", ["happy", "Hello, I am Spot!", "sit"], None),
        ("llama_native_toolcall_stream.sse", "tools", ["Hello!", "sit"], Usage(300, 30)),
        ("llama_native_toolcall.json", "tools", ["Hello!", "sit"], Usage(300, 30)),
    ],
)
async def test_the_native_dialect_is_read(
    sample: str, structured: str, values: list[str], counts: Usage | None
) -> None:
    """Streams and whole replies of the native dialect become actions and counts."""
    reply = await asyncio.to_thread(Reply.sample, WIRE / sample)
    async with Server(reply) as server, make(server, structured=structured) as llm:
        events = [event async for event in llm.stream("sit")]
    finished = events[-1]
    assert [action.value for action in finished.answer.actions] == values
    assert finished.usage == counts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama_native_chat_length.json", TruncatedError),
        ("llama_native_bare_error.sse", ServerError),
    ],
)
async def test_a_native_answer_that_ends_badly_is_an_error(
    name: str, expected: type[LLMError]
) -> None:
    """The token limit, and the bare JSON line that tells of a failure in the stream, are found."""
    reply = await asyncio.to_thread(Reply.sample, WIRE / name)
    async with Server(reply) as server, make(server) as llm:
        with pytest.raises(expected):
            await llm.ask("sit")


async def test_a_native_stream_without_its_end_is_cut() -> None:
    """The native dialect has no end mark, so only `complete` says that an answer is whole."""
    body = event({"event": {"event_type": "progress", "delta": {"type": "text", "text": ANY}}})
    async with (
        Server(Reply.stream(body, finish=None, done=False)) as server,
        make(server) as llm,
    ):
        with pytest.raises(TruncatedError):
            await llm.ask("sit")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, BadRequestError),
        (401, AuthError),
        (404, UnavailableError),
        (410, UnavailableError),
        (429, RateLimitedError),
        (500, ServerError),
    ],
)
@pytest.mark.parametrize("outer", [None, 200])
async def test_native_failures_have_their_type(
    status: int, outer: int | None, expected: type[LLMError]
) -> None:
    """A problem report is a failure, whether the status of the reply says so or only its body."""
    reply = Reply.json({"title": "No", "detail": "so it is", "status": status}, outer or status)
    async with Server(reply) as server, make(server) as llm:
        with pytest.raises(expected, match="so it is"):
            await llm.ask("sit")


async def test_what_the_sdk_does_not_know_is_sent_all_the_same() -> None:
    """A grammar for llama.cpp and extra fields are added to the request's body."""
    async with (
        Server(Reply.stream(ANY)) as server,
        make(server, structured="grammar", extra_params={"seed": 7, "top_k": 3}) as llm,
    ):
        await llm.ask("sit")
    sent = server.requests[0].json
    assert sent["grammar"] == ROBOT.grammar()
    assert (sent["seed"], sent["top_k"]) == (7, 3)
    assert sent["stream_options"] == {"include_usage": True}
    assert "extra_body" not in sent


def progress(**delta: Any) -> dict[str, Any]:
    return {"event": {"event_type": "progress", "delta": delta}}


@pytest.mark.parametrize(
    ("reply", "pieces"),
    [
        (progress(type="text", text=""), []),
        (progress(type="text", text="a"), [TextDelta("a")]),
        (progress(), []),
        (
            progress(type="tool_call", id="1", function={"name": "move"}),
            [ToolCallDelta("move", "", None, "1")],
        ),
        (
            progress(type="tool_call", function={"arguments": "{}"}),
            [ToolCallDelta("", "{}", None, None)],
        ),
        ({"event": {"event_type": "complete", "stop_reason": "stop"}}, [Stop("stop")]),
        ({"event": {"event_type": "complete", "stop_reason": "tool_calls"}}, [Stop("stop")]),
        ({"event": {"event_type": "complete", "stop_reason": "length"}}, [Stop("length")]),
        ({"event": {"event_type": "complete"}}, [Stop("unmarked")]),
        ({"event": {"event_type": "metrics", "metrics": []}}, []),
        (
            {"event": {"metrics": [{"metric": "num_prompt_tokens", "value": "n/a"}, 7]}},
            [Usage(0, 0)],
        ),
        ({"event": {"delta": "hello"}}, []),
        ({"event": {"delta": {"text": 5}}}, []),
        (
            {"completion_message": {"content": "a", "tool_calls": 1}},
            [TextDelta("a"), Stop("unmarked")],
        ),
        ({"completion_message": {"content": None}}, [Stop("unmarked")]),
        (
            {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]},
            [TextDelta("a"), Stop("stop")],
        ),
    ],
)
def test_each_event_is_read(reply: dict[str, Any], pieces: list[Wire]) -> None:
    """Either dialect gives the same pieces, whichever fields the server leaves out."""
    assert read_native(reply) == pieces


@pytest.mark.parametrize("reply", [{}, [], "text", None, {"event": None}])
def test_neither_dialect_is_an_error(reply: object) -> None:
    """What is of neither dialect is told as bad output."""
    with pytest.raises(BadOutputError):
        read_native(reply)
