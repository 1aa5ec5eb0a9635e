"""Our own client over a real socket: every reply, fault and deadline as a caller meets it."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import ssl
import subprocess
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from reflexarc.config import LLMConfig
from reflexarc.errors import BadOutputError, ConnectError, DeadlineError, LLMError, TruncatedError
from reflexarc.llm import Request
from reflexarc.prompt import Prompt
from reflexarc.providers.connection import Address
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.greeting import GREETING_S
from reflexarc.providers.http import HttpTransport
from reflexarc.providers.llama import LlamaLLM
from reflexarc.providers.sse import LARGEST_EVENT
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, Server, event
from reflexarc.types import (
    Action,
    ActionReady,
    CortexOutputModel,
    Event,
    Finished,
    Json,
    Message,
    ToolCallDelta,
    Usage,
)
from reflexarc.vocabulary import Vocabulary

WIRE = Path(__file__).parents[1] / "data" / "wire"
PATIENCE_S = 30.0
SOON_S = 5.0  # what should happen at once, on a machine that is busy
KEY = "sk-robot-0123456789abcdef"

VOCABULARY = Vocabulary(
    [
        ActionSpec("move", ("sit", "walk")),
        ActionSpec("emotion", ("happy", "sad")),
        ActionSpec("speak", None),
    ]
)
SIT = Action(type="move", value="sit")
WALK = Action(type="move", value="walk")
HELLO = Action(type="speak", value="Hello, I am Spot!")
HAPPY = Action(type="emotion", value="happy")

FIRST = '{"actions":[{"type":"move","value":"sit"}'
SECOND = ',{"type":"move","value":"walk"}]}'
GOOD = Reply.stream(FIRST, SECOND)

Spot = LlamaLLM[CortexOutputModel]


def brain(server: Server | str, **settings: Any) -> Spot:
    """An LLM on our own server, or on any base URL."""
    base_url = server if isinstance(server, str) else server.base_url
    config = LLMConfig.model_validate(
        {
            "type": "LlamaLLM",
            "model": "m",
            "base_url": base_url,
            "timeout": PATIENCE_S,
            "stall_timeout": PATIENCE_S,
        }
        | settings
    )
    return LlamaLLM(config, vocabulary=VOCABULARY, environ={})


class Outcome:
    """What one call gave, also when it failed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: LLMError | None = None

    @property
    def actions(self) -> list[Action]:
        """The actions given out."""
        return [event.action for event in self.events if isinstance(event, ActionReady)]

    @property
    def kind(self) -> str:
        """How the call ended: ``"ok"`` or the kind of its error."""
        if self.error is not None:
            return self.error.kind
        assert isinstance(self.events[-1], Finished)
        return "ok"


async def ask(llm: Spot) -> Outcome:
    """One call, with patience."""
    outcome = Outcome()
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for event in llm.stream("You hear: sit!"):
                outcome.events.append(event)
    except LLMError as error:
        outcome.error = error
    return outcome


async def exchange(*replies: Reply, **settings: Any) -> tuple[Outcome, Server]:
    """One call to a server with these replies."""
    async with Server(*replies) as server, brain(server, **settings) as llm:
        return await ask(llm), server


async def test_hands_an_action_over_while_the_answer_still_comes() -> None:
    """The first action is out while the server has not yet written the second."""
    gate = asyncio.Event()
    async with (
        asyncio.timeout(PATIENCE_S),
        Server(Reply.stream(FIRST, gate, SECOND)) as server,
        brain(server) as llm,
        aclosing(llm.act("sit!")) as actions,
    ):
        assert await anext(actions) == SIT
        assert not gate.is_set()
        gate.set()
        assert [action async for action in actions] == [WALK]


@pytest.mark.parametrize(
    ("settings", "added"),
    [
        pytest.param({}, {"response_format"}, id="auto"),
        pytest.param({"structured": "schema"}, {"response_format"}, id="schema"),
        pytest.param({"structured": "json"}, {"response_format"}, id="json"),
        pytest.param({"structured": "tools"}, {"tools", "tool_choice"}, id="tools"),
        pytest.param({"structured": "grammar"}, {"grammar"}, id="grammar"),
        pytest.param({"temperature": 0.5}, {"response_format", "temperature"}, id="temperature"),
        pytest.param({"extra_params": {"top_k": 1}}, {"response_format", "top_k"}, id="extra"),
    ],
)
async def test_sends_what_is_documented(settings: Json, added: set[str]) -> None:
    """One POST of JSON to /chat/completions, with the key, and no field that nobody asked for."""
    outcome, server = await exchange(GOOD, api_key=KEY, **settings)
    assert outcome.kind == "ok"
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    usual = {"model", "messages", "stream", "stream_options", "max_tokens"}
    assert request.json.keys() == usual | added
    assert [message["role"] for message in request.json["messages"]] == ["system", "user"]


async def test_asks_for_bytes_that_nobody_has_packed() -> None:
    """A proxy that packs a stream holds it back; so none is asked to."""
    _, server = await exchange(Reply.stream(FIRST, SECOND))
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_sends_no_key_where_there_is_none() -> None:
    """Without a key there is no Authorization header."""
    _, server = await exchange(GOOD)
    assert "authorization" not in server.requests[0].headers


async def test_tells_all_that_it_knows_at_the_end() -> None:
    """The last event has the answer, who gave it, its times, the counts and the one attempt."""
    outcome, _ = await exchange(Reply.stream(FIRST, SECOND, usage=Usage(9, 5, 3), model="served"))
    finished = outcome.events[-1]
    assert isinstance(finished, Finished)
    assert finished.answer == CortexOutputModel(actions=[SIT, WALK])
    assert (finished.provider, finished.model) == ("LlamaLLM", "served")
    assert finished.usage == Usage(9, 5, 3)
    assert finished.first_action_s is not None
    assert 0 < finished.first_action_s <= finished.total_s < SOON_S
    assert [attempt.outcome for attempt in finished.attempts] == ["ok"]


async def test_tells_all_that_it_knows_in_an_error() -> None:
    """An error has the provider, the model, the status, the request's id, times and the attempt."""
    headers = {"X-Request-Id": "abc", "Retry-After": "7", "Content-Type": "application/json"}
    outcome, _ = await exchange(Reply(429, headers, (b'{"error":{"message":"slow"}}',), "length"))
    assert outcome.error is not None
    known = outcome.error.to_dict()
    assert 0 < cast("float", known.pop("elapsed_s")) < SOON_S
    assert str(known.pop("message")).startswith("too many calls (status 429: slow); ")
    assert known == {
        "kind": "rate_limited",
        "provider": "LlamaLLM",
        "model": "m",
        "status": 429,
        "request_id": "abc",
        "retryable": True,
        "retry_after_s": 7.0,
    }
    assert [attempt.outcome for attempt in outcome.error.attempts] == ["rate_limited"]


WHOLE = {
    "model": "m",
    "choices": [{"message": {"content": FIRST + SECOND}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 5},
}
HTML = "<!DOCTYPE html><html><body>Sign in to Café-WLAN</body></html>"


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        pytest.param(Reply.json({"detail": "Unauthorized"}, 401), "auth", "api_key", id="401"),
        pytest.param(Reply.json({"error": "Slow"}, 429), "rate_limited", "Slow", id="429"),
        pytest.param(Reply.json({"error": {"message": "Oh"}}, 500), "server", "Oh", id="500"),
        pytest.param(
            Reply.sample(WIRE / "errors" / "mistral_503.json", 503),
            "unavailable",
            "Service unavailable",
            id="503",
        ),
        pytest.param(Reply.text(HTML, 502, "text/html"), "server", "502", id="HTML 502"),
        pytest.param(Reply.text(HTML, 200, "text/html"), "unavailable", "log in", id="HTML 200"),
        pytest.param(
            Reply(302, {"Location": "/elsewhere"}, framing="length"),
            "unavailable",
            "base_url",
            id="redirect",
        ),
        pytest.param(Reply.json({"error": "Oh"}), "server", "Oh", id="error in JSON 200"),
        pytest.param(Reply.text("", 200, "application/json"), "bad_output", "", id="empty JSON"),
        pytest.param(
            Reply.text("[", 200, "application/json"), "bad_output", "not JSON", id="no JSON",
        ),
        pytest.param(Reply.text(HTML, 200, "application/json"), "bad_output", "not JSON", id="lie"),
        pytest.param(Reply.stream(finish=None, done=False), "truncated", "", id="empty stream"),
        pytest.param(Reply(framing="length"), "truncated", "", id="empty body"),
        pytest.param(Reply(204, framing="length"), "server", "204", id="no content"),
        pytest.param(Reply.text("hello\n", 200), "truncated", "", id="text"),
        pytest.param(Reply.stream("I sit down."), "bad_output", "I sit down", id="prose"),
        pytest.param(Reply.stream("{", finish="content_filter"), "refused", "filter", id="filter"),
        pytest.param(Reply.stream(FIRST, finish="length"), "truncated", "max_tokens", id="length"),
        pytest.param(Reply.stream(FIRST, finish="error"), "server", "", id="finish error"),
        pytest.param(Reply(None, body=(b"SSH-2.0-x\r\n",)), "connection", "", id="not HTTP"),
    ],
)  # fmt: skip
async def test_a_bad_reply_is_one_clear_error(reply: Reply, kind: str, said: str) -> None:
    """Whatever comes instead of an answer is an error of the right kind that says what to do."""
    route = replace(reply, keep_alive=False)
    async with Server(route=lambda _: route) as server, brain(server) as llm:
        outcome = await ask(llm)
    assert outcome.error is not None
    assert outcome.kind == kind
    assert said in outcome.error.message
    assert HTML[:5] not in outcome.error.message
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply.json(WHOLE), id="JSON instead of a stream"),
        pytest.param(
            Reply(200, {"Content-Type": "application/json"}, (b"\n\n", json.dumps(WHOLE).encode())),
            id="blank lines before the JSON",
        ),
        pytest.param(replace(GOOD, headers={}), id="no content type"),
        pytest.param(
            replace(GOOD, headers={"Content-Type": "text/event-stream;charset=UTF-8"}), id="charset"
        ),
        pytest.param(replace(GOOD, framing="close"), id="ended by closing"),
        pytest.param(replace(GOOD, framing="length"), id="of known length"),
        pytest.param(replace(GOOD, keep_alive=False), id="connection closed"),
        pytest.param(Reply.stream(FIRST, SECOND, finish=None), id="[DONE] without a reason"),
        pytest.param(Reply.stream(FIRST, SECOND, done=False), id="a reason without [DONE]"),
        pytest.param(Reply.stream("Sure! ", FIRST, SECOND, " Done."), id="prose around"),
        pytest.param(
            Reply.stream(
                *(ToolCallDelta(name, "", at) for at, name in enumerate(["move", "move"])),
                ToolCallDelta("", '{"action": "sit"}', 0),
                ToolCallDelta("", '{"action": "walk"}', 1),
                finish="tool_calls",
            ),
            id="tool calls",
        ),
        pytest.param(replace(GOOD, end="reset"), id="whole, then broken"),
        pytest.param(replace(GOOD, end="cut"), id="whole, then cut"),
    ],
)
async def test_takes_every_form_of_a_good_answer(reply: Reply) -> None:
    """An answer that is all there counts, however it is framed."""
    outcome, _ = await exchange(reply)
    assert (outcome.kind, outcome.actions) == ("ok", [SIT, WALK])


@pytest.mark.parametrize("piece", [1, 7, 16_384, None])
@pytest.mark.parametrize(
    "name",
    [
        "deepseek_stream.sse",
        "faults/bom.sse",
        "faults/comments_ids_retry.sse",
        "faults/crlf_nospace.sse",
        "mistral_stream_thinking.sse",
        "openai_stream.sse",
    ],
)
async def test_reads_samples_in_any_pieces(name: str, piece: int | None, samples: Any) -> None:
    """What real servers send gives the same actions in whatever pieces it comes."""
    outcome, _ = await exchange(replace(samples[name], piece=piece))
    assert (outcome.kind, outcome.actions) == ("ok", [HAPPY, HELLO, SIT])


@pytest.fixture(scope="module")
def samples() -> dict[str, Reply]:
    """Every streamed sample, read before an event loop runs."""
    return {str(path.relative_to(WIRE)): Reply.sample(path) for path in WIRE.rglob("*.sse")}


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_says_that_nobody_listens() -> None:
    """A refused connection is reported at once, with the address and what to do."""
    base_url = f"http://127.0.0.1:{free_port()}/v1"
    async with brain(base_url) as llm:
        outcome = await ask(llm)
    assert outcome.error is not None
    assert (outcome.kind, outcome.error.retryable) == ("connection", True)
    assert base_url in outcome.error.message
    assert "server runs" in outcome.error.message


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_a_new_connection_that_breaks_has_had_the_request(end: Any) -> None:
    """It is told at once: whether to ask a failing server again is `Retry`'s to say."""
    outcome, server = await exchange(Reply.nothing(end), GOOD)
    assert outcome.error is not None
    assert (outcome.kind, outcome.error.retryable) == ("connection", True)
    assert "closed the connection without an answer" in outcome.error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_reports_a_server_that_never_answers(end: Any) -> None:
    """If the connection in place of a kept one breaks too, that is all; a third is not tried."""
    async with Server(GOOD, *[Reply.nothing(end)] * 2, GOOD) as server, brain(server) as llm:
        assert [(await ask(llm)).kind for _ in range(2)] == ["ok", "connection"]
        assert [request.connection for request in server.requests] == [0, 0, 1]


async def test_does_not_ask_again_once_the_answer_began() -> None:
    """After a status line, a break is reported: the model may have begun to answer."""
    outcome, server = await exchange(Reply(end="reset"), GOOD)
    assert outcome.kind == "connection"
    assert len(server.requests) == 1


async def test_keeps_its_connection() -> None:
    """Calls that follow each other share one connection; a failed one may cost it, no more."""
    replies = [GOOD, GOOD, Reply.json(WHOLE), GOOD]
    async with Server(*replies) as server, brain(server) as llm:
        for _ in replies:
            assert (await ask(llm)).kind == "ok"
        assert server.connections == 1


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_survives_a_kept_connection_that_closes(end: Any) -> None:
    """A server that closes a kept connection, idle or just as it is used, is not a failure."""
    async with Server(GOOD, Reply.nothing(end), GOOD) as server, brain(server) as llm:
        assert [(await ask(llm)).kind for _ in range(2)] == ["ok", "ok"]
        assert [request.connection for request in server.requests] == [0, 0, 1]
        assert server.requests[1].body == server.requests[2].body


async def test_survives_the_end_of_an_idle_connection() -> None:
    """A connection that was closed between two calls is not used again."""
    async with Server(replace(GOOD, end="cut"), GOOD) as server, brain(server) as llm:
        for _ in range(2):
            assert (await ask(llm)).kind == "ok"
            await asyncio.sleep(0.05)
        assert [request.connection for request in server.requests] == [0, 1]


async def test_serves_calls_side_by_side() -> None:
    """A call that waits holds no other up."""
    gate = asyncio.Event()
    async with Server(Reply.stream(gate, FIRST, SECOND), GOOD) as server, brain(server) as llm:
        slow = asyncio.create_task(ask(llm))
        await server.asked()
        assert (await ask(llm)).kind == "ok"
        assert not slow.done()
        gate.set()
        assert (await slow).kind == "ok"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_a_cut_answer_is_truncated(end: Any, framing: Any) -> None:
    """Actions given out before a cut stand, and the cut is no success, however clean it looks."""
    reply = Reply.stream(FIRST, 0.05, finish=None, done=False)
    headers = {**reply.headers, "Content-Length": "9999"} if framing == "length" else reply.headers
    outcome, server = await exchange(replace(reply, headers=headers, end=end, framing=framing))
    assert (outcome.kind, outcome.actions) == ("truncated", [SIT])
    assert isinstance(outcome.error, TruncatedError)
    assert len(server.requests) == 1


async def test_a_clean_end_in_the_middle_is_truncated() -> None:
    """A stream that ends as HTTP wants it, but without a reason, was cut all the same."""
    outcome, _ = await exchange(Reply.stream(FIRST, finish=None, done=False))
    assert (outcome.kind, outcome.actions) == ("truncated", [SIT])


async def test_no_cut_is_ever_a_success() -> None:
    """Wherever a stream is cut before its reason, it is truncated, and no half action is done."""
    body = b"".join(step for step in Reply.stream(FIRST, SECOND).body if isinstance(step, bytes))
    until = body.index(b'"finish_reason": "stop"')
    reply = Reply(headers={"Content-Type": "text/event-stream"}, end="cut")
    cuts = range(1, until, 9)
    replies = [replace(reply, body=(body[:at],)) for at in cuts]
    async with Server(*replies) as server, brain(server) as llm:
        for _ in cuts:
            outcome = await ask(llm)
            assert outcome.kind == "truncated"
            assert outcome.actions in ([], [SIT], [SIT, WALK])


FAILED = event({"error": {"message": "The engine died.", "code": 500}})


@pytest.mark.parametrize("piece", [1, 16_384])
@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(FAILED, id="event"),
        pytest.param(FAILED + b"data: [DONE]\n\n", id="event, then [DONE]"),
        pytest.param(event({"message": "The engine died."}, "error"), id="named event"),
        pytest.param(b'{"error": "The engine died."}\n', id="bare line"),
    ],
)
async def test_an_error_in_mid_stream_keeps_what_came_before(failure: bytes, piece: int) -> None:
    """Actions that arrive in the same read as an error are given out, then the error is raised."""
    reply = Reply.stream(FIRST, failure, finish=None, done=False)
    outcome, _ = await exchange(replace(reply, piece=piece))
    assert (outcome.kind, outcome.actions) == ("server", [SIT])
    assert outcome.error is not None
    assert "The engine died." in outcome.error.message


@pytest.mark.parametrize(
    "after",
    [
        pytest.param((), id="silence"),
        pytest.param((b": ping\n\n", 0.1) * 100, id="keep-alives"),
    ],
)
async def test_does_not_wait_for_the_end_of_a_finished_stream(after: tuple[Any, ...]) -> None:
    """After the reason of the end, a server that keeps the connection open costs but a moment."""
    reply = Reply.stream(FIRST, SECOND, done=False)
    async with Server(replace(reply, body=(*reply.body, *after), end="stall")) as server:
        async with brain(server) as llm:
            outcome = await ask(llm)
        finished = outcome.events[-1]
        assert isinstance(finished, Finished)
        assert finished.total_s < SOON_S
        async with asyncio.timeout(SOON_S):
            await server.requests[0].left.wait()


async def test_takes_the_counts_that_come_after_the_end() -> None:
    """Usage in a chunk of its own, a moment after the reason, is still taken."""
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
    reply = Reply.stream(FIRST, SECOND, done=False)
    outcome, _ = await exchange(replace(reply, body=(*reply.body, 0.05, event(usage))))
    assert Usage(9, 5) in outcome.events


@pytest.mark.parametrize("piece", [1, 16_384])
@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"data: rubbish\n\n", id="rubbish"),
        pytest.param(b"data: [DONE]\n\ndata: rubbish\n\n", id="rubbish behind [DONE]"),
        pytest.param(b"data: [DONE]\n\ndata: {", id="half an event"),
        pytest.param(event({"error": {"message": "Late."}}), id="error"),
    ],
)
async def test_what_goes_wrong_behind_an_answer_changes_nothing(behind: bytes, piece: int) -> None:
    """An answer whose end was told is complete, however its stream goes on and is cut."""
    reply = Reply.stream(FIRST, SECOND, behind, done=False)
    *answer, extra, last = reply.body
    outcome, _ = await exchange(replace(reply, body=(*answer, last, extra), piece=piece))
    assert (outcome.kind, outcome.actions) == ("ok", [SIT, WALK])


ENDLESS = Reply.stream(FIRST, *(" ", 0.01) * 10_000)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(ENDLESS, id="while it streams"),
        pytest.param(replace(ENDLESS, wait=3600.0), id="before the head"),
        pytest.param(replace(ENDLESS, body=(3600.0,)), id="before the body"),
    ],
)
async def test_cancelling_closes_the_connection(reply: Reply) -> None:
    """A call that is cancelled closes its socket at once, so that the server stops."""
    async with Server(reply) as server, brain(server) as llm:
        call = asyncio.create_task(ask(llm))
        request = await server.asked()
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(SOON_S):
            await request.left.wait()


async def test_closing_the_generator_closes_the_connection() -> None:
    """A caller that has enough after the first action closes the stream and so the socket."""
    async with Server(ENDLESS) as server, brain(server) as llm:
        async with asyncio.timeout(PATIENCE_S), aclosing(llm.act("sit!")) as actions:
            assert await anext(actions) == SIT
        async with asyncio.timeout(SOON_S):
            await server.requests[0].left.wait()


async def test_leaving_the_loop_closes_the_connection() -> None:
    """A caller that breaks out of the loop, as one does in Python, closes the socket as well."""
    async with Server(ENDLESS) as server, brain(server) as llm:
        async with asyncio.timeout(PATIENCE_S):
            async for action in llm.act("sit!"):
                assert action == SIT
                break
        async with asyncio.timeout(SOON_S):
            await server.requests[0].left.wait()


THINKING = b'data: {"choices":[{"delta":{"content":null,"reasoning_content":"Hm"}}]}\n\n'


@pytest.mark.parametrize(
    ("phase", "settings", "reply", "actions"),
    [
        pytest.param("total", {"timeout": 0.3}, Reply(wait=3600.0), [], id="no head"),
        pytest.param("total", {"timeout": 0.3}, Reply(end="stall"), [], id="no body"),
        pytest.param("total", {"timeout": 1.0}, ENDLESS, [SIT], id="drip"),
        pytest.param(
            "total",
            {"timeout": 0.3, "stall_timeout": 0.1},
            Reply.stream(*(b": ping\n\n", 0.02) * 100, FIRST, SECOND),
            [],
            id="keep-alives before the answer",
        ),
        pytest.param(
            "first_action",
            {"first_action_timeout": 0.3},
            Reply.stream('{"actions":[', *(" ", 0.02) * 100, FIRST, SECOND),
            [],
            id="text without an action",
        ),
        pytest.param(
            "first_action", {"first_action_timeout": 0.3}, Reply(wait=3600.0), [], id="no answer"
        ),
        pytest.param(
            "stall",
            {"stall_timeout": 0.3},
            replace(Reply.stream(FIRST, finish=None, done=False), end="stall"),
            [SIT],
            id="silence",
        ),
        pytest.param(
            "stall",
            {"stall_timeout": 0.3},
            Reply.stream(FIRST, *(b": ping\n\n", 0.02) * 200, SECOND),
            [SIT],
            id="keep-alives",
        ),
        pytest.param(
            "stall",
            {"stall_timeout": 0.3},
            Reply.stream(FIRST, *("", 0.02) * 200, SECOND),
            [SIT],
            id="empty pieces",
        ),
    ],
)
async def test_keeps_its_clocks(
    phase: str, settings: Json, reply: Reply, actions: list[Action]
) -> None:
    """Each of the three clocks ends the call in time, says which it was, and frees the server."""
    async with Server(reply) as server, brain(server, **settings) as llm:
        outcome = await ask(llm)
        error = outcome.error
        assert isinstance(error, DeadlineError)
        assert (error.phase, error.retryable, outcome.actions) == (phase, True, actions)
        assert error.elapsed_s is not None
        assert 0 <= error.elapsed_s - max(settings.values()) + 0.01 < SOON_S
        async with asyncio.timeout(SOON_S):
            await server.requests[0].left.wait()


async def test_a_complete_answer_is_not_lost_to_a_late_count() -> None:
    """A clock that runs out behind the end of the answer takes nothing of it back."""
    reply = replace(Reply.stream(FIRST, SECOND, done=False), end="stall")
    outcome, _ = await exchange(reply, stall_timeout=0.05)
    assert (outcome.kind, outcome.actions) == ("ok", [SIT, WALK])


async def test_thinking_is_no_silence() -> None:
    """A model may think in mid-answer for longer than it may be silent."""
    reply = Reply.stream(FIRST, *(THINKING, 0.05) * 12, SECOND)
    outcome, _ = await exchange(reply, stall_timeout=0.4)
    assert (outcome.kind, outcome.actions) == ("ok", [SIT, WALK])


async def test_an_action_in_time_stops_the_first_clock() -> None:
    """After the first action, the clock of the first action is off."""
    reply = Reply.stream(FIRST, 1.2, SECOND)
    outcome, _ = await exchange(reply, first_action_timeout=1.0)
    assert (outcome.kind, outcome.actions) == ("ok", [SIT, WALK])


async def test_the_connection_counts_for_the_clock() -> None:
    """A server that accepts no connection costs no more than the deadline."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        plugs = [socket.socket() for _ in range(4)]  # the kernel's queue takes one or two
        for plug in plugs:
            plug.setblocking(False)
            plug.connect_ex(full.getsockname())
        async with brain(f"http://127.0.0.1:{full.getsockname()[1]}/v1", timeout=0.3) as llm:
            outcome = await ask(llm)
        for plug in plugs:
            plug.close()
    assert isinstance(outcome.error, ConnectError)
    assert outcome.error.retryable
    assert "within timeout = 0.3 s; check base_url" in outcome.error.message


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            Reply.stream(FIRST, *[event({"choices": [], "pad": "x" * 65_536})] * 160), id="10 MB"
        ),
        pytest.param(Reply.stream(FIRST, event({"pad": "x" * (5 << 20)})), id="event of 5 MB"),
        pytest.param(Reply.stream(FIRST, b"x" * (5 << 20)), id="line of 5 MB"),
    ],
)
async def test_bounds_a_reply(reply: Reply) -> None:
    """A server without measure is left long before it fills the memory; actions before stand."""
    outcome, _ = await exchange(reply)
    assert isinstance(outcome.error, BadOutputError)
    assert outcome.actions == [SIT]
    assert "check that base_url" in outcome.error.message


async def test_bounds_a_whole_reply() -> None:
    """A JSON reply is bounded like a stream."""
    outcome, _ = await exchange(Reply.json({"pad": "x" * (10 << 20)}))
    assert (outcome.kind, outcome.actions) == ("bad_output", [])


async def test_bounds_an_error() -> None:
    """Of a failure's text, only the beginning is read and less is told."""
    outcome, _ = await exchange(Reply.text("x" * (10 << 20), 500))
    assert outcome.error is not None
    assert outcome.kind == "server"
    assert len(outcome.error.message) < 500


async def test_takes_a_large_event_below_the_bound() -> None:
    """An event of almost the largest size is read."""
    text = "x" * (LARGEST_EVENT - 1000)
    outcome, _ = await exchange(Reply.stream(FIRST, SECOND, event({"choices": [], "pad": text})))
    assert outcome.kind == "ok"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply.json({"error": {"message": f"Incorrect key {KEY}"}}, 401), id="401"),
        pytest.param(Reply.text(f"Bearer {KEY}?", 400), id="text"),
        pytest.param(Reply(302, {"Location": f"/?key={KEY}"}, framing="length"), id="redirect"),
        pytest.param(Reply.json({"error": {"message": f"key {KEY}"}}), id="JSON 200"),
        pytest.param(Reply.json({"echo": f"Bearer {KEY}"}), id="JSON without choices"),
        pytest.param(Reply.text(f"{{{KEY}", 200, "application/json"), id="no JSON"),
        pytest.param(Reply.stream(event({"error": f"key {KEY}"})), id="error event"),
        pytest.param(Reply.stream(f"data: {KEY}\n\n".encode()), id="event that is not JSON"),
        pytest.param(
            Reply.stream(event({"choices": [{"delta": {"refusal": KEY}}]})), id="refusal"
        ),
        pytest.param(Reply.stream(f"You said {KEY}."), id="prose"),
        pytest.param(Reply.stream(f'[{{"type":"{KEY}","value":"{KEY}"}}]'), id="refused action"),
        pytest.param(Reply(None, body=(f"{KEY}\r\n\r\n".encode(),)), id="not HTTP"),
        pytest.param(
            Reply(None, body=(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(),)), id="bad header"
        ),
        pytest.param(Reply(headers={"Content-Encoding": "gzip"}, body=(b"rubbish",)), id="no gzip"),
        pytest.param(Reply.nothing("reset"), id="reset"),
        pytest.param(Reply(end="cut"), id="cut"),
    ],
)  # fmt: skip
async def test_the_key_is_in_no_error(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """The key is in no message, representation, cause or log, also where the server repeats it."""
    caplog.set_level(logging.DEBUG)
    route = replace(reply, keep_alive=False)
    async with Server(route=lambda _: route) as server, brain(server, api_key=KEY) as llm:
        outcome = await ask(llm)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in f"{llm!r} {llm} {llm.config!r} {llm.config} {vars(llm)!r}"
    error: BaseException | None = outcome.error
    assert error is not None
    assert KEY not in "".join(traceback.format_exception(error))
    while error is not None:
        assert KEY not in f"{error!r} {error} {error.args!r} {vars(error)!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert KEY not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_does_not_trust_everyone(certificate: ssl.SSLContext) -> None:
    """A certificate that nobody vouches for is a lasting failure, and nothing is sent."""
    async with Server(GOOD, tls=certificate) as server, brain(server, api_key=KEY) as llm:
        outcome = await ask(llm)
        assert isinstance(outcome.error, ConnectError)
        assert not outcome.error.retryable
        assert "certificate" in outcome.error.message
        assert server.requests == []


async def test_says_that_the_server_speaks_no_tls() -> None:
    """https to a plain server is a lasting failure that names the remedy."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with brain(f"https://127.0.0.1:{port}/v1") as llm:
            outcome = await ask(llm)
    assert isinstance(outcome.error, ConnectError)
    assert not outcome.error.retryable
    assert "http://" in outcome.error.message


async def test_http_to_a_tls_server_is_an_error(certificate: ssl.SSLContext) -> None:
    """Plain http to a server that wants TLS ends in a connection error, not in a hang."""
    async with (
        Server(GOOD, tls=certificate) as server,
        brain(server.base_url.replace("https:", "http:")) as llm,
    ):
        outcome = await ask(llm)
    assert outcome.kind == "connection"


async def test_a_server_that_dies_and_comes_back_elsewhere_is_found() -> None:
    """It breaks a kept connection and refuses the next; the new one answers the same question."""
    dying = Server(GOOD, Reply.nothing("reset"))
    async with Server(GOOD) as successor:
        await dying.__aenter__()
        old = Address(dying.base_url, None)
        asked: list[Address | None] = []

        async def locate(refused: Address | None) -> Address:
            if len(asked) == 2:  # once it has been asked a second time, it is dead
                await dying.__aexit__(None, None, None)
            asked.append(refused)
            return old if refused is None else Address(successor.base_url, None)

        transport = HttpTransport(locate, Dialect())
        config = LLMConfig(type="LlamaLLM", model="m")
        request = Request("m", (Message("user", "go"),), config)
        for _ in range(2):
            assert [piece async for batch in transport.send(request) for piece in batch]
        await transport.aclose()
    assert asked == [None, None, None, old]
    assert len(successor.requests) == 1


async def test_ignores_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy named in the environment does not come between the robot and its server."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    outcome, _ = await exchange(GOOD)
    assert outcome.kind == "ok"


async def test_once_closed_it_answers_only_when_it_is_opened_again() -> None:
    """The first question opens what it needs; nothing does after a closing, which may be twice."""
    async with Server(GOOD, GOOD, GOOD) as server:
        llm = brain(server)
        assert (await ask(llm)).kind == "ok"
        for opened in (2, 3):
            await llm.aclose()
            await llm.aclose()
            outcome = await ask(llm)
            assert outcome.kind == "closed"
            assert "LlamaLLM was closed; open it again" in str(outcome.error)
            async with llm:
                assert (await ask(llm)).kind == "ok"
            assert server.connections == opened


FRESH_S = 0.15
IDLE_S = 0.4


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that idle for tenths of seconds where they idle for seconds otherwise."""
    monkeypatch.setattr("reflexarc.providers.greeting.FRESH_S", FRESH_S)
    monkeypatch.setattr("reflexarc.providers.http.IDLE_S", IDLE_S)


def came_by(received: list[Received]) -> list[int]:
    """The connections that requests came by."""
    return [each.connection for each in received]


async def test_warming_opens_the_connection_of_the_first_question() -> None:
    """The first question after `warm` finds a connection open, by an empty request with the key."""
    async with Server(GOOD) as server, brain(server, api_key=KEY) as llm:
        await llm.warm(Prompt())
        (greeting,) = server.greetings
        assert (greeting.method, greeting.path, greeting.body) == ("HEAD", "/v1/models", b"")
        assert greeting.headers["authorization"] == f"Bearer {KEY}"
        assert server.requests == []
        assert (await ask(llm)).kind == "ok"
        assert came_by(server.requests) == [greeting.connection]


async def test_a_greeting_has_no_key_where_there_is_none() -> None:
    """Without a key there is no Authorization header."""
    async with Server() as server, brain(server) as llm:
        await llm.connect()
        assert "authorization" not in server.greetings[0].headers


async def test_warming_opens_a_connection_with_tls(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With https, the handshake is made before the first question as well."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    async with Server(GOOD, GOOD, tls=certificate) as server, brain(server) as llm:
        await llm.warm(Prompt())
        assert [(await ask(llm)).kind for _ in range(2)] == ["ok", "ok"]
        assert (came_by(server.greetings), came_by(server.requests)) == ([0], [0, 0])


@pytest.mark.usefixtures("hasty")
async def test_a_connection_that_has_closed_is_opened_anew() -> None:
    """After the server closed the idle connection, the question goes by that of a new greeting."""
    async with Server(replace(GOOD, end="cut"), GOOD) as server, brain(server) as llm:
        assert (await ask(llm)).kind == "ok"
        await asyncio.sleep(FRESH_S)
        await llm.connect()
        assert (await ask(llm)).kind == "ok"
        assert (came_by(server.greetings), came_by(server.requests)) == ([1], [0, 1])


@pytest.mark.usefixtures("hasty")
async def test_a_connection_that_idled_too_long_is_opened_anew() -> None:
    """After a pause in which nobody connected, one greeting opens what the question goes by."""
    async with Server(GOOD, GOOD) as server, brain(server) as llm:
        assert (await ask(llm)).kind == "ok"
        await asyncio.sleep(IDLE_S + 0.1)
        await llm.connect()
        assert (await ask(llm)).kind == "ok"
        assert (came_by(server.greetings), came_by(server.requests)) == ([1], [0, 1])


@pytest.mark.usefixtures("hasty")
async def test_a_connection_is_kept_for_longer_than_it_may_idle() -> None:
    """Greetings in time keep the first connection, so that no question finds none."""
    async with Server(GOOD, GOOD) as server, brain(server) as llm:
        assert (await ask(llm)).kind == "ok"
        for _ in range(4):
            await asyncio.sleep(FRESH_S + 0.02)
            await llm.connect()
        assert (await ask(llm)).kind == "ok"
        assert (came_by(server.greetings), came_by(server.requests)) == ([0] * 4, [0, 0])


@pytest.mark.parametrize(
    "reply", [pytest.param(GOOD, id="answer"), pytest.param(Reply.json({}, 429), id="failure")]
)
async def test_a_connection_just_used_needs_no_greeting(reply: Reply) -> None:
    """After a reply that left its connection open, and after a greeting, none is sent."""
    async with Server(reply) as server, brain(server) as llm:
        await ask(llm)
        await llm.connect()
        assert server.greetings == []
    async with Server() as server, brain(server) as llm:
        for _ in range(3):
            await llm.connect()
        assert len(server.greetings) == 1


async def test_a_question_that_was_left_needs_a_greeting() -> None:
    """A call that was given up has cost its connection: the next one is opened ahead."""
    async with Server(ENDLESS, GOOD) as server, brain(server) as llm:
        async with asyncio.timeout(PATIENCE_S), aclosing(llm.act("sit!")) as actions:
            assert await anext(actions) == SIT
        await llm.connect()
        assert (await ask(llm)).kind == "ok"
        assert (came_by(server.greetings), came_by(server.requests)) == ([1], [0, 1])


async def test_nobody_greets_during_a_question() -> None:
    """While a question is under way, its connection will do."""
    gate = asyncio.Event()
    async with Server(Reply.stream(gate, FIRST, SECOND)) as server, brain(server) as llm:
        call = asyncio.create_task(ask(llm))
        await server.asked()
        await llm.connect()
        gate.set()
        assert (await call).kind == "ok"
        assert server.greetings == []


async def test_greetings_at_once_are_one() -> None:
    """Whoever connects while another does so leaves it to them."""
    async with Server() as server, brain(server) as llm:
        await asyncio.gather(*(llm.connect() for _ in range(5)))
        assert len(server.greetings) == 1


async def test_connects_again_after_it_was_closed() -> None:
    """A brain that was closed has no connection left, and opens one once it is opened."""
    async with Server() as server, brain(server) as llm:
        await llm.connect()
        await llm.aclose()
        await llm.connect()
        assert came_by(server.greetings) == [0]
        await llm.open()
        await llm.connect()
        assert came_by(server.greetings) == [0, 1]


class Plain:
    """A server that reads what comes and answers always the same, or never."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, answer it if there is an answer, and wait for the client to leave."""
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            if b"close" in self.answer:
                return
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left, which is what is waited for
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen, and give the base URL."""
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            yield f"//127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_hangs_is_not_waited_for(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greeting that is not answered, or whose handshake is not, holds nobody beyond its bound."""
    monkeypatch.setattr("reflexarc.providers.greeting.GREETING_S", 0.2)
    clock = asyncio.get_running_loop().time
    async with Plain(b"").listening() as url, brain(f"{scheme}:{url}") as llm:
        begun = clock()
        await llm.warm(Prompt())
        assert 0.15 < clock() - begun < 1.5
        await llm.connect()  # nor is it asked again at once
        assert clock() - begun < 1.7


def test_the_bound_of_a_greeting() -> None:
    """A robot is not held longer than two seconds."""
    assert GREETING_S == 2.0


async def test_a_server_that_is_not_there_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection raises nothing: the next question meets the same, and tells."""
    caplog.set_level(logging.DEBUG)
    async with brain(f"http://127.0.0.1:{free_port()}/v1", api_key=KEY) as llm:
        await llm.warm(Prompt())
        assert "A greeting failed (connection)" in caplog.text
        assert (await ask(llm)).kind == "connection"
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-x\r\n close", id="not HTTP"),
        pytest.param(f"HTTP/1.1 200 OK\r\n{KEY} close\r\n\r\n".encode(), id="bad header"),
    ],
)
async def test_a_greeting_that_is_answered_badly_is_only_logged(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no answer raises nothing, and the key is not in the log."""
    caplog.set_level(logging.DEBUG)
    async with Plain(answer).listening() as url, brain(f"http:{url}", api_key=KEY) as llm:
        await llm.connect()
    assert "A greeting failed (connection)" in caplog.text
    assert KEY not in caplog.text


async def test_a_greeting_follows_no_redirect() -> None:
    """The key goes nowhere else because a server says so."""
    async with Server() as other:
        plain = Plain(
            f"HTTP/1.1 302 Found\r\nLocation: {other.base_url}\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        async with plain.listening() as url, brain(f"http:{url}", api_key=KEY) as llm:
            await llm.connect()
        assert (len(plain.heads), other.greetings) == (1, [])


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_closes_is_not_greeted_in_vain() -> None:
    """Who closes the connection after a greeting gets no other until there was a question."""
    plain = Plain(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 9\r\n\r\n")
    async with plain.listening() as url, brain(f"http:{url}") as llm:
        for _ in range(2):
            await llm.connect()
            await asyncio.sleep(FRESH_S + 0.02)
        assert len(plain.heads) == 1
        await ask(llm)
        await llm.connect()
        assert [head[:4] for head in plain.heads].count(b"HEAD") == 2


async def test_a_greeting_that_is_cancelled_leaves_nothing() -> None:
    """Whoever gives up while a greeting is under way leaves no connection behind."""
    plain = Plain(b"")
    async with plain.listening() as url, brain(f"http:{url}") as llm:
        greeting = asyncio.create_task(llm.connect())
        while not plain.heads:  # noqa: ASYNC110 - the server is a few lines, without an event
            await asyncio.sleep(0.001)
        greeting.cancel()
        await asyncio.wait([greeting])
        assert greeting.cancelled()
