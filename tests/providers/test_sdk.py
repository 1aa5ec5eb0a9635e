"""What both SDK transports promise, over a socket."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexarc import LLM, LLMConfig, LLMError, Prompt, Usage, Vocabulary, load_llm
from reflexarc.errors import (
    AuthError,
    BadOutputError,
    BadRequestError,
    ClosedError,
    ConnectError,
    ContextOverflowError,
    DeadlineError,
    QuotaError,
    RateLimitedError,
    ServerError,
    TruncatedError,
    UnavailableError,
)
from reflexarc.onboard.engine import Engine
from reflexarc.onboard.models import ModelStore, default_root
from reflexarc.specs import ActionSpec
from reflexarc.testing import Reply, Server
from reflexarc.types import CortexOutputModel, ToolCallDelta

WIRE = Path(__file__).parent.parent / "data" / "wire"
ROBOT = Vocabulary(
    [
        ActionSpec("move", ("sit", "stand still", "walk")),
        ActionSpec("emotion", ("happy",)),
        ActionSpec("speak", None),
    ]
)
SIT = '{"actions":[{"type":"move","value":"sit"}]}'
BEGINS_WITHIN_S = 10.0
LEAVES_WITHIN_S = 1.0

both = pytest.mark.parametrize("kind", ["MistralLLM", "LlamaLLM"])


def make(kind: str, server: Server, **settings: Any) -> LLM[CortexOutputModel]:
    """Make an LLM over its SDK, with no environment but what the SDK itself reads."""
    given = {"model": "m", "base_url": server.base_url, "transport": "sdk", **settings}
    return load_llm(LLMConfig(type=kind, **given), actions=ROBOT, environ={})


async def answer(kind: str, reply: Reply, **settings: Any) -> list[tuple[str, str]]:
    """Ask once, and give the actions of the answer."""
    async with Server(reply) as server, make(kind, server, **settings) as llm:
        return pairs((await llm.ask("sit")).actions)


def pairs(actions: Sequence[Any]) -> list[tuple[str, str]]:
    return [(action.type, action.value) for action in actions]


@both
async def test_an_action_is_out_before_the_answer_ends(kind: str) -> None:
    """The first action is handed over while the server still writes the rest."""
    rest = asyncio.Event()
    first, second = '{"actions":[{"type":"move","value":"sit"}', ',{"type":"speak","value":"ok"}]}'
    async with Server(Reply.stream(first, rest, second)) as server, make(kind, server) as llm:
        got: list[tuple[str, str]] = []
        async for action in llm.act("sit"):
            got += pairs([action])
            rest.set()
    assert got == [("move", "sit"), ("speak", "ok")]


@both
@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        (
            "schema",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": ROBOT.schema(), "strict": True},
                }
            },
        ),
        ("json", {"response_format": {"type": "json_object"}}),
        ("tools", {"tools": ROBOT.tools(), "tool_choice": "required"}),
    ],
)
async def test_settings_change_the_bytes_sent(kind: str, mode: str, fields: dict[str, Any]) -> None:
    """Each mode, limit and extra field of the configuration arrives in the request."""
    settings = {"structured": mode, "max_tokens": 9, "temperature": 0.5}
    extra = {"top_p": 0.25}
    async with (
        Server(Reply.stream(SIT)) as server,
        make(kind, server, extra_params=extra, **settings) as llm,
    ):
        await llm.ask("sit")
    [request] = server.requests
    sent = request.json
    limit = "max_tokens" if kind == "MistralLLM" else "max_completion_tokens"
    expected = {"model": "m", "stream": True, limit: 9, "temperature": 0.5, **extra, **fields}
    assert request.path == "/v1/chat/completions"
    assert {name: sent[name] for name in expected} == expected
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    unasked = {"response_format", "tools", "tool_choice", "grammar"} - fields.keys()
    assert not unasked & sent.keys()


@both
async def test_the_key_goes_where_it_belongs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is given is sent; the vendor's key in the environment never is, to any server."""
    monkeypatch.setenv("MISTRAL_API_KEY", "vendors-own")
    monkeypatch.setenv("LLAMA_API_KEY", "vendors-own")
    async with Server(Reply.stream(SIT), Reply.stream(SIT)) as server:
        for settings in ({}, {"api_key": "given"}):
            async with make(kind, server, **settings) as llm:
                await llm.ask("sit")
    without, with_key = (request.headers.get("authorization") for request in server.requests)
    assert without in (None, "Bearer none")
    assert with_key == "Bearer given"


@both
async def test_a_proxy_is_not_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables do not lead a request for the robot's own server elsewhere."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert await answer(kind, Reply.stream(SIT)) == [("move", "sit")]


@both
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            replace(Reply.stream(SIT, finish=None, done=False), end="stall"), id="in the stream"
        ),
        pytest.param(replace(Reply.stream(SIT), wait=60.0), id="before the head"),
        pytest.param(replace(Reply.stream(60.0), status=500), id="in the body of an error"),
    ],
)
async def test_cancelling_closes_the_connection(kind: str, reply: Reply) -> None:
    """The server learns at once that nobody waits for the answer, so that it stops."""
    async with Server(reply) as server, make(kind, server) as llm:
        task = asyncio.create_task(llm.ask("sit"))
        async with asyncio.timeout(BEGINS_WITHIN_S):
            request = await server.asked()
        await asyncio.sleep(0.05)  # let the reply begin
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(LEAVES_WITHIN_S):
            await request.left.wait()


@both
async def test_leaving_the_loop_closes_the_connection(kind: str) -> None:
    """Who stops taking actions also stops the server."""
    async with Server(Reply.stream(SIT, 60.0)) as server, make(kind, server) as llm:
        actions = llm.act("sit")
        await anext(actions)
        await actions.aclose()
        async with asyncio.timeout(LEAVES_WITHIN_S):
            await server.requests[0].left.wait()


@both
async def test_an_answer_that_is_none_closes_the_connection(kind: str) -> None:
    """What is not read to its end is closed at once, not when the memory is tidied up."""
    page = Reply(200, {"Content-Type": "text/html"}, (b"<html>", 60.0))
    async with Server(page) as server, make(kind, server, timeout=0.5) as llm:
        with pytest.raises(LLMError):
            await llm.ask("sit")
        async with asyncio.timeout(LEAVES_WITHIN_S):
            await server.requests[0].left.wait()


@both
@pytest.mark.parametrize(
    ("reply", "limits", "phase"),
    [
        (replace(Reply.stream(), wait=60.0), {"timeout": 0.2}, "total"),
        (Reply.stream(SIT[:20], 60.0), {"stall_timeout": 0.2}, "stall"),
        (
            Reply.stream(*(b": ping\n\n", 0.05) * 20, SIT),
            {"first_action_timeout": 0.2},
            "first_action",
        ),
    ],
)
async def test_our_clocks_hold(
    kind: str, reply: Reply, limits: dict[str, float], phase: str
) -> None:
    """Each of the three clocks ends the call by itself, and the connection with it."""
    async with Server(reply) as server, make(kind, server, **limits) as llm:
        with pytest.raises(DeadlineError) as caught:
            await llm.ask("sit")
        assert caught.value.phase == phase
        async with asyncio.timeout(LEAVES_WITHIN_S):
            await server.requests[0].left.wait()


@both
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply.stream(SIT, finish=None, done=False), id="ends without a reason"),
        pytest.param(replace(Reply.stream(SIT, finish=None, done=False), end="cut"), id="cut"),
        pytest.param(replace(Reply.stream(SIT, finish=None, done=False), end="reset"), id="reset"),
        pytest.param(Reply.stream(SIT, b'data: {"choi', finish=None, done=False), id="in an event"),
        pytest.param(Reply.stream(SIT[:-2], ",", finish="length"), id="token limit"),
    ],
)
async def test_a_cut_answer_is_an_error(kind: str, reply: Reply) -> None:
    """A stream that just ends is not taken for a whole answer; what it held was handed over."""
    async with Server(reply) as server, make(kind, server) as llm:
        actions = llm.act("sit")
        assert pairs([await anext(actions)]) == [("move", "sit")]
        with pytest.raises(TruncatedError):
            await anext(actions)


@both
@pytest.mark.parametrize(
    ("sample", "status", "expected"),
    [
        ("mistral_401_detail.json", 401, AuthError),
        ("mistral_400_toolid.json", 400, BadRequestError),
        ("mistral_422_detail.json", 422, BadRequestError),
        ("mistral_429.json", 429, RateLimitedError),
        ("mistral_503.json", 503, UnavailableError),
        ("mistral_500.json", 500, ServerError),
        ("openai_429_quota.json", 429, QuotaError),
        ("llamacpp_400_context.json", 400, ContextOverflowError),
        ("gateway_502.html", 502, ServerError),
    ],
)
async def test_failures_have_their_type(
    kind: str, sample: str, status: int, expected: type[LLMError]
) -> None:
    """A failure is read from the body the SDK hands out, and asked for once."""
    reply = await asyncio.to_thread(Reply.sample, WIRE / "errors" / sample, status)
    reply = replace(reply, headers={**reply.headers, "Retry-After": "7", "X-Request-Id": "r1"})
    async with Server(reply) as server, make(kind, server) as llm:
        with pytest.raises(LLMError) as caught:
            await llm.ask("sit")
    error = caught.value
    assert (type(error), error.status) == (expected, status)
    assert (error.retry_after_s, error.request_id) == (7, "r1")
    assert "<" not in error.message
    assert len(server.requests) == 1


@both
@pytest.mark.parametrize(
    ("status", "expected"), [(200, LLMError), (401, AuthError), (503, UnavailableError)]
)
async def test_a_reply_without_a_body_is_an_error(
    kind: str, status: int, expected: type[LLMError]
) -> None:
    """A failure is told by its status where its body is empty, as proxies send it."""
    with pytest.raises(expected):
        await answer(kind, Reply(status, framing="length"))


@both
async def test_a_failure_that_breaks_off_is_told_as_that(kind: str) -> None:
    """A failure whose body is cut was answered, so it is not asked again."""
    reply = Reply(500, {"Content-Length": "99"}, (b"{",), "length", end="cut")
    async with Server(reply) as server, make(kind, server) as llm:
        with pytest.raises(ConnectError, match="in the middle of the reply"):
            await llm.ask("sit")
    assert len(server.requests) == 1


@both
async def test_the_key_is_not_quoted(kind: str) -> None:
    """A server that repeats the refused key gets it neither into our message nor into its cause."""
    key = "".join(["s3", "cret-robot"])  # tracebacks quote this file
    reply = Reply.json({"message": f"bad key {key}"}, 401)
    with pytest.raises(AuthError) as caught:
        await answer(kind, reply, api_key=key)
    assert "bad key ***" in caught.value.message
    assert key not in "".join(traceback.format_exception(caught.value))


@both
async def test_a_redirect_is_not_followed(kind: str) -> None:
    """A request with its key goes nowhere else because a server says so."""
    async with Server(Reply.stream(SIT)) as other:
        reply = Reply(302, {"Location": f"{other.base_url}/chat/completions"})
        with pytest.raises(LLMError):
            await answer(kind, reply, api_key="given")
        assert not other.requests


@both
@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_a_stale_connection_costs_no_answer(kind: str, end: Any) -> None:
    """A kept connection that dies before any answer is replaced once, and a new one is not."""
    good, bad = Reply.stream(SIT), Reply.nothing(end)
    async with (
        Server(good, bad, good, bad, bad, bad, good) as server,
        make(kind, server) as llm,
    ):
        for _ in range(2):
            assert pairs((await llm.ask("sit")).actions) == [("move", "sit")]
        for requests in (5, 6):
            with pytest.raises(ConnectError, match="closed the connection without an answer"):
                await llm.ask("sit")
            assert len(server.requests) == requests


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine and its key, in one file, vouched for by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        f"-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.cert"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.cert").read_bytes())
    return path


@both
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_systems_authorities_decide(
    kind: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """A certificate is good if this system trusts it; if not, nothing is sent, and that lasts."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Server(Reply.stream(SIT), tls=context) as server, make(kind, server) as llm:
        if trusted:
            assert pairs((await llm.ask("sit")).actions) == [("move", "sit")]
            return
        with pytest.raises(ConnectError, match="certificate that is not valid") as caught:
            await llm.ask("sit")
    assert not caught.value.retryable
    assert not server.requests


@both
async def test_nobody_there(kind: str) -> None:
    """A server that does not run is named in one sentence."""
    async with Server() as server:
        llm = make(kind, server)
    async with llm:
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1:\d+/v1 cannot be reached"):
            await llm.ask("sit")


@both
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            Reply.stream(
                ToolCallDelta("move", "", 0, "c1"),
                ToolCallDelta("", '{"act', 0),
                ToolCallDelta("", 'ion":"sit"}', 0),
                finish="tool_calls",
            ),
            id="tool call in pieces",
        ),
        pytest.param(Reply.stream(SIT, b"data: [DONE] \n\n", done=False), id="padded end mark"),
        pytest.param(Reply.stream(b"event: ping\n\n", SIT), id="ping"),
        pytest.param(Reply.stream(b"data:\n\n", SIT), id="empty event"),
        pytest.param(
            Reply.stream(
                b'data: {"choices":[{"delta":{"content":"'
                + SIT.replace('"', '\\"').encode()
                + b'"}}]}\n\n'
            ),
            id="no finish_reason key, no id",
        ),
        pytest.param(
            Reply.stream(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', SIT),
            id="not UTF-8",
        ),
        pytest.param(replace(Reply.stream(SIT), piece=1), id="byte by byte"),
        pytest.param(replace(Reply.stream(SIT), end="stall"), id="connection stays open"),
        pytest.param(
            Reply.json({"choices": [{"message": {"content": SIT}, "finish_reason": "stop"}]}),
            id="whole",
        ),
        pytest.param(
            replace(Reply.stream(SIT), headers={"Content-Type": "text/plain"}), id="other media"
        ),
        pytest.param(replace(Reply.stream(SIT), headers={}), id="no media"),
    ],
)
async def test_every_shape_of_the_openai_dialect_is_read(kind: str, reply: Reply) -> None:
    """What other servers send, and the SDK's own reader breaks on, is an answer."""
    assert await answer(kind, reply, timeout=3.0) == [("move", "sit")]


@both
@pytest.mark.parametrize(
    "sample",
    [
        "llamacpp_toolcall_stream.sse",
        "mistral_toolcall_stream.sse",
        "mistral_toolcall_stream_relay.sse",
        "openai_toolcall_stream.sse",
        "gemini_toolcall_stream.sse",
    ],
)
async def test_recorded_tool_calls_are_read(kind: str, sample: str) -> None:
    """Tool calls become actions, whole or in pieces, with or without index, name and id."""
    reply = await asyncio.to_thread(Reply.sample, WIRE / sample)
    got = await answer(kind, reply, structured="tools")
    assert got[0][0] == "speak"
    assert all(value.strip() for _, value in got)


@both
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply.sample(WIRE / "llamacpp_midstream_error.sse"), LLMError),
        (Reply.sample(WIRE / "vllm_midstream_error.sse"), LLMError),
        (Reply.stream(b'event: error\ndata: {"code":"server_is_overloaded"}\n\n'), ServerError),
        (Reply.stream(b"data: {oops}\n\n"), BadOutputError),
        (Reply.text("<html>log in</html>", 200, "text/html"), UnavailableError),
        (Reply.text("{", 200, "application/json"), BadOutputError),
        (Reply.json({"error": {"code": 503, "message": "full"}}), UnavailableError),
    ],
)
async def test_a_failure_inside_status_200_is_found(
    kind: str, reply: Reply, expected: type[LLMError]
) -> None:
    """Status 200 is not success: an error, a web page or rubbish in the body is an error."""
    with pytest.raises(expected) as caught:
        await answer(kind, reply)
    assert not isinstance(caught.value, TruncatedError)


@both
async def test_the_connection_is_kept(kind: str) -> None:
    """Two questions go over one connection."""
    async with Server(Reply.stream(SIT), Reply.stream(SIT)) as server, make(kind, server) as llm:
        await llm.ask("sit")
        await llm.ask("sit")
    assert server.connections == 1


@both
async def test_once_closed_it_answers_only_when_it_is_opened_again(kind: str) -> None:
    """An LLM may be closed twice, and used again where it is opened again."""
    async with Server(Reply.stream(SIT), Reply.stream(SIT)) as server:
        llm = make(kind, server)
        await llm.ask("sit")
        await llm.aclose()
        await llm.aclose()
        with pytest.raises(ClosedError, match=f"{kind} was closed; open it again"):
            await llm.ask("sit")
        async with llm:
            await llm.ask("sit")


@both
async def test_the_sdk_is_loaded_off_the_loop(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening an LLM leaves the loop free while the SDK loads, and loads it once."""
    module = "httpx2" if kind == "MistralLLM" else "httpx"
    library = pytest.importorskip(module)
    seen: list[threading.Thread] = []

    class Client(library.AsyncClient):
        def __init__(self, **settings: Any) -> None:
            seen.append(threading.current_thread())
            super().__init__(**settings)

    monkeypatch.setattr(library, "AsyncClient", Client)
    async with Server() as server:
        llm = make(kind, server)
        assert not seen
        await asyncio.gather(llm.open(), llm.open())
        await llm.aclose()
    assert len(seen) == 1
    assert seen[0] is not threading.current_thread()


@both
async def test_a_missing_sdk_is_one_sentence(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, opening says which command installs it."""
    module, extra = {
        "MistralLLM": ("mistralai.client", "mistral"),
        "LlamaLLM": ("llama_api_client", "llama"),
    }[kind]
    monkeypatch.setitem(sys.modules, module, None)
    async with Server() as server:
        with pytest.raises(UnavailableError) as caught:
            async with make(kind, server):
                pass
    assert f"pip install 'reflexarc[{extra}]'" in caught.value.message
    assert not caught.value.retryable


@both
async def test_usage_is_told(kind: str) -> None:
    """Tokens, and those from the server's cache, reach the caller where the server counts them."""
    chunk = {
        "choices": [],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 20},
        },
    }
    reply = Reply.stream(SIT, f"data: {json.dumps(chunk)}\n\n".encode())
    async with Server(reply) as server, make(kind, server) as llm:
        found = [event async for event in llm.stream("sit") if isinstance(event, Usage)]
    assert found == [Usage(30, 4, 20)]


@pytest.fixture(scope="module")
def model_path() -> Path:
    """The on-board model's file."""
    return ModelStore(default_root(os.environ)).pull("smollm2-135m-instruct", print)


@both
async def test_a_real_server_answers(kind: str, model_path: Path) -> None:
    """llama.cpp, asked through the SDK, streams an answer that the schema holds."""
    async with Engine(model_path, alias="smollm2") as engine:
        place = await engine.ready()
        config = LLMConfig(
            type=kind,
            model="smollm2",
            base_url=place.base_url,
            api_key=place.api_key,
            transport="sdk",
            timeout=30,
            max_tokens=60,
            temperature=0,
        )
        async with load_llm(config, actions=ROBOT) as llm:
            actions = [action async for action in llm.act("You hear: sit! Do one thing.")]
            assert actions
            assert {action.type for action in actions} <= {"move", "emotion", "speak"}


@both
async def test_opening_that_is_cancelled_leaves_nothing(kind: str) -> None:
    """Cancelled while its SDK loads in a thread, a brain closes what that thread still makes."""
    async with Server() as server:
        llm = make(kind, server)
        opening = asyncio.create_task(llm.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        making = vars(vars(llm)["_transport"])["_making"]
        await llm.aclose()
        http = getattr(making.result(), "http", None) or making.result().sdk._client
        assert http.is_closed


@both
async def test_warming_opens_the_connection_of_the_first_question(kind: str) -> None:
    """The first question after `warm` goes by the connection that was opened, and tells the key."""
    async with Server(Reply.stream(SIT)) as server, make(kind, server, api_key="given") as llm:
        await llm.warm(Prompt())
        (greeting,) = server.greetings
        assert (greeting.path, greeting.headers["authorization"]) == ("/v1/models", "Bearer given")
        assert pairs((await llm.ask("sit")).actions) == [("move", "sit")]
        await llm.connect()
        assert len(server.greetings) == 1
        assert [request.connection for request in server.requests] == [greeting.connection]


@both
async def test_warming_opens_a_connection_with_tls(
    kind: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With https, the handshake is made before the first question as well."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Server(Reply.stream(SIT), tls=context) as server, make(kind, server) as llm:
        await llm.warm(Prompt())
        await llm.ask("sit")
        assert [each.connection for each in (*server.greetings, *server.requests)] == [0, 0]


@both
async def test_a_connection_that_has_closed_is_opened_anew(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the server closed the idle connection, the question goes by that of a new greeting."""
    monkeypatch.setattr("reflexarc.providers.greeting.FRESH_S", 0.05)
    replies = (replace(Reply.stream(SIT), end="cut"), Reply.stream(SIT))
    async with Server(*replies) as server, make(kind, server) as llm:
        await llm.ask("sit")
        await asyncio.sleep(0.1)
        await llm.connect()
        await llm.ask("sit")
        assert [request.connection for request in server.requests] == [0, 1]
        assert [greeting.connection for greeting in server.greetings] == [1]


@both
async def test_an_answer_that_was_left_needs_a_greeting(kind: str) -> None:
    """A call that was given up has cost its connection: the next one is opened ahead."""
    async with Server(Reply.stream(SIT, 60.0)) as server, make(kind, server) as llm:
        actions = llm.act("sit")
        await anext(actions)
        await llm.connect()  # but not while the answer is still read
        assert server.greetings == []
        await actions.aclose()
        await llm.connect()
        assert [greeting.connection for greeting in server.greetings] == [1]


@both
async def test_a_greeting_raises_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there, or an SDK that is not installed, is left to the question."""
    async with Server() as server:
        llm = make(kind, server)
    async with llm:
        await llm.connect()
    module = {"MistralLLM": "mistralai.client", "LlamaLLM": "llama_api_client"}[kind]
    monkeypatch.setitem(sys.modules, module, None)
    await llm.connect()
    await llm.aclose()


@both
async def test_a_server_that_hangs_is_not_waited_for(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greeting that is not answered holds nobody beyond its bound, and leaves nothing behind."""
    monkeypatch.setattr("reflexarc.providers.greeting.GREETING_S", 0.2)
    clock = asyncio.get_running_loop().time
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        base_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        config = LLMConfig(type=kind, model="m", base_url=base_url, transport="sdk")
        async with load_llm(config, actions=ROBOT, environ={}) as llm:
            begun = clock()
            await llm.warm(Prompt())
            assert 0.15 < clock() - begun < 1.5
