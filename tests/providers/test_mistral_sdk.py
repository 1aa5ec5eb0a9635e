"""What only Mistral's SDK needs: its quirks, each held off by a guard that these tests need."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexarc import LLM, ConfigError, LLMConfig, Usage, Vocabulary, load_llm
from reflexarc.providers.connection import Address
from reflexarc.providers.mistral_sdk import MistralSdkTransport
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, Server
from reflexarc.types import CortexOutputModel

WIRE = Path(__file__).parent.parent / "data" / "wire"
ROBOT = Vocabulary([ActionSpec("move", ("sit",)), ActionSpec("speak", None)])
ANY = '{"actions":[{"type":"move","value":"sit"}]}'


def make(base_url: str, **settings: Any) -> LLM[CortexOutputModel]:
    """Make an LLM over Mistral's SDK."""
    given = {"model": "m", "base_url": base_url, "transport": "sdk", **settings}
    return load_llm(LLMConfig(type="MistralLLM", **given), actions=ROBOT, environ={})


def test_the_vendor_is_asked_by_its_sdk() -> None:
    """Where no server is named, `auto` takes the SDK, with the key of the environment."""
    llm = load_llm(LLMConfig(type="MistralLLM"), environ={"MISTRAL_API_KEY": "k"})
    transport = vars(llm)["_transport"]
    assert isinstance(transport, MistralSdkTransport)
    assert vars(transport)["_address"] == Address("https://api.mistral.ai/v1", "k")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/proxy/v1"])
async def test_the_version_is_asked_for_once(path: str) -> None:
    """The SDK adds /v1 to what it is given, so it is given the address without."""
    async with Server(Reply.stream(ANY)) as server:
        root = server.base_url.removesuffix("/v1")
        async with make(root + path) as llm:
            await llm.ask("sit")
    prefix = "/proxy" if "proxy" in path else ""
    assert [request.path for request in server.requests] == [f"{prefix}/v1/chat/completions"]


@pytest.mark.parametrize("path", ["/v2", "/v1/openai", "/api/core/mistral"])
def test_an_address_the_sdk_cannot_reach_is_refused(path: str) -> None:
    """An address that does not end in /v1 is a mistake, told with the way out."""
    with pytest.raises(ConfigError, match="transport: 'http'"):
        make(f"http://127.0.0.1:9{path}")


async def test_a_model_about_to_be_retired_still_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The header that crashes the SDK's streams is taken off, and told once."""
    reply = Reply.stream(ANY)
    headers = {**reply.headers, "x-model-deprecation-timestamp": "2026-12-31T00:00:00Z"}
    late = replace(reply, headers=headers)
    with caplog.at_level(logging.WARNING, "reflexarc"):
        async with Server(late, late) as server, make(server.base_url) as llm:
            await llm.ask("sit")
            await llm.ask("sit")
    assert [record.getMessage() for record in caplog.records] == [
        "The server will retire this model on 2026-12-31T00:00:00Z; name another one."
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"structured": "grammar"}, "cannot send a grammar"),
        ({"extra_params": {"seed": 7, "top_p": 0.5}}, "cannot send seed of extra_params"),
        ({"extra_params": {"server_url": "http://127.0.0.1:9"}}, "cannot send server_url"),
        ({"extra_params": {"http_headers": {}}}, "cannot send http_headers"),
        ({"extra_params": {"top_p": "much"}}, "does not send 'top_p"),
    ],
)
async def test_what_cannot_be_sent_is_a_mistake(settings: dict[str, Any], words: str) -> None:
    """A setting that the SDK has no field for is named before anything is sent."""
    async with Server() as server:
        with pytest.raises(ConfigError, match=words):
            async with make(server.base_url, **settings) as llm:
                await llm.ask("sit")
    assert not server.requests


async def test_fields_of_mistral_reach_the_server() -> None:
    """Extra fields that the SDK knows are sent as they are, and take precedence."""
    extra = {"random_seed": 7, "safe_prompt": False, "prompt_cache_key": "spot", "max_tokens": 5}
    async with (
        Server(Reply.stream(ANY)) as server,
        make(server.base_url, extra_params=extra, max_tokens=99) as llm,
    ):
        await llm.ask("sit")
    assert {name: server.requests[0].json[name] for name in extra} == extra


@pytest.mark.parametrize(
    ("sample", "structured", "values"),
    [
        ("mistral_stream.sse", "auto", ["Hello, I am Spot!", "sit"]),
        ("mistral_stream_emptychoices.sse", "auto", ["Hello, I am Spot!", "sit"]),
        ("mistral_stream_thinking.sse", "auto", ["Hello, I am Spot!", "sit"]),
        ("mistral_chat.json", "auto", ["Hello, I am Spot!", "sit"]),
        ("mistral_chat_thinking.json", "auto", ["Hello, I am Spot!", "sit"]),
        ("mistral_toolcall_stream.sse", "tools", ["Hello!", "sit"]),
        ("mistral_toolcall.json", "tools", ["Hello!", "sit"]),
        ("mistral_toolcall_stream_relay.sse", "tools", ["Hello!"]),
    ],
)
async def test_what_mistral_sends_is_read(sample: str, structured: str, values: list[str]) -> None:
    """Streams, whole replies, thoughts beside text, and tool calls become actions and counts."""
    reply = await asyncio.to_thread(Reply.sample, WIRE / sample)
    counts: list[Usage] = []
    async with Server(reply) as server, make(server.base_url, structured=structured) as llm:
        async for event in llm.stream("sit"):
            if isinstance(event, Usage):
                counts.append(event)
        assert [action.value for action in event.answer.actions] == values
    assert len(counts) == 1
    assert counts[0].completion_tokens > 0


def test_a_call_cancelled_between_head_and_body_is_closed() -> None:
    """Cancelling while the SDK's hooks look at the head closes the connection all the same."""
    asyncio.run(cancel_between_head_and_body())


async def cancel_between_head_and_body() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))  # the SDK's hooks run there
    gate = threading.Event()
    blocked: list[asyncio.Future[bool]] = []

    def route(request: Received) -> Reply:
        blocked.append(loop.run_in_executor(None, gate.wait))
        return replace(Reply.stream(ANY[:9], finish=None, done=False), end="stall")

    try:
        async with Server(route=route) as server, make(server.base_url) as llm:
            task = asyncio.create_task(llm.ask("sit"))
            request = await asyncio.wait_for(server.asked(), 10)
            await asyncio.sleep(0.1)  # the head arrives, and the hook waits for the thread
            task.cancel()
            await asyncio.wait({task})
            await asyncio.wait_for(request.left.wait(), 1)
            gate.set()
            await asyncio.gather(*blocked)
    finally:
        gate.set()


async def test_closing_closes_the_other_client_too() -> None:
    """The synchronous client that the SDK wants is closed with the one in use."""
    transport = MistralSdkTransport(Address("http://127.0.0.1:9/v1", None))
    await transport.open()
    client = vars(transport)["_making"].result()
    await transport.aclose()
    assert client.unused.is_closed
    assert client.http.is_closed
