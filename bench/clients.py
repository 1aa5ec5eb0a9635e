"""Who is measured: our transports, the vendors' SDKs with their own readers, and the least of all.

Each is a context manager: given a base URL and the fields of our own request, it gives a function
that asks one question and returns when (monotonic, ns) the first action was complete, or None where
it does not look.
"""
# ruff: noqa: PLC0415 - what a client loads is part of its cost

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from wire import FIRST_ACTION

from reflexarc import ActionReady, LLMConfig, Prompt, RobotConfig, Vocabulary, load_llm

Fields = Mapping[str, Any]
Ask = Callable[[str], Awaitable[int | None]]
Client = Callable[[str, Fields], AbstractAsyncContextManager[Ask]]


@cache
def robot() -> RobotConfig:
    """Whose prompt, examples and actions are used."""
    return RobotConfig.load(Path(__file__).parent.parent / "config/spot_onboard.json5")


@asynccontextmanager
async def ours(
    kind: str, transport: str, base_url: str, _: Fields | None = None
) -> AsyncGenerator[Ask, None]:
    """An LLM as users have it: with a vocabulary, every event taken."""
    config = LLMConfig.model_validate(
        {"type": kind, "model": "m", "base_url": base_url, "transport": transport, "timeout": 60}
    )
    prompt = Prompt.for_robot(robot())
    vocabulary = Vocabulary.from_actions(robot().agent_actions)
    async with load_llm(config, actions=vocabulary, environ={}) as llm:

        async def ask(question: str) -> int | None:
            first = None
            async for event in llm.stream(prompt.at(question)):
                if first is None and isinstance(event, ActionReady):
                    first = time.monotonic_ns()
            return first

        yield ask


@asynccontextmanager
async def bare(base_url: str, fields: Fields) -> AsyncGenerator[Ask, None]:
    """The least anyone would write over aiohttp: lines, JSON, text; no action is looked for."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(question: str) -> int | None:
            first, texts = None, []
            body = {**asking(fields, question), "stream": True}
            async with session.post(f"{base_url}/chat/completions", json=body) as response:
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        delta = json.loads(line[6:])["choices"][0]["delta"]
                        if text := delta.get("content"):
                            texts.append(text)
                            if len(texts) == FIRST_ACTION:
                                first = time.monotonic_ns()
            return first

        yield ask


@asynccontextmanager
async def bare_whole(base_url: str, fields: Fields) -> AsyncGenerator[Ask, None]:
    """The same for a reply that is not streamed."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def ask(question: str) -> None:
            body = asking(fields, question)
            async with session.post(f"{base_url}/chat/completions", json=body) as response:
                assert (await response.json())["choices"][0]["message"]["content"]

        yield ask


@asynccontextmanager
async def openai(base_url: str, fields: Fields) -> AsyncGenerator[Ask, None]:
    """OpenAI's SDK, streamed."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0) as sdk:

        async def ask(question: str) -> int | None:
            first, count = None, 0
            body = asking(fields, question)
            async for event in await sdk.chat.completions.create(**body, stream=True):
                if event.choices[0].delta.content:
                    count += 1
                    if count == FIRST_ACTION:
                        first = time.monotonic_ns()
            return first

        yield ask


@asynccontextmanager
async def openai_whole(base_url: str, fields: Fields) -> AsyncGenerator[Ask, None]:
    """OpenAI's SDK, not streamed."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0) as sdk:

        async def ask(question: str) -> None:
            reply = await sdk.chat.completions.create(**asking(fields, question))
            assert reply.choices[0].message.content

        yield ask


@asynccontextmanager
async def mistral(base_url: str, fields: Fields) -> AsyncGenerator[Ask, None]:
    """Mistral's SDK with its own reader."""
    from mistralai.client import Mistral

    async with Mistral(api_key="k", server_url=base_url.removesuffix("/v1")) as sdk:

        async def ask(question: str) -> None:
            body = asking(fields, question)
            async with await sdk.chat.stream_async(**body) as events:
                async for event in events:
                    assert event.data.choices

        yield ask


@asynccontextmanager
async def llama(base_url: str, fields: Fields) -> AsyncGenerator[Ask, None]:
    """Meta's SDK with its own reader, which ends in an error on ``[DONE]``."""
    from llama_api_client import AsyncLlamaAPIClient

    async with AsyncLlamaAPIClient(api_key="k", base_url=base_url, max_retries=0) as sdk:

        async def ask(question: str) -> None:
            body = asking(fields, question)
            with suppress(json.JSONDecodeError):
                async for event in await sdk.chat.completions.create(**body, stream=True):
                    assert event

        yield ask


def asking(fields: Fields, question: str) -> dict[str, Any]:
    """Our request's fields with another question: what the SDKs all take."""
    *before, last = fields["messages"]
    return {
        "model": fields["model"],
        "messages": [*before, {**last, "content": question}],
        "response_format": fields["response_format"],
    }


BARE = "bare aiohttp + json.loads"
OPENAI = "openai, its own reader"
STREAMED: Mapping[str, Client] = {
    BARE: bare,
    "MistralLLM http": partial(ours, "MistralLLM", "http"),
    "LlamaLLM http": partial(ours, "LlamaLLM", "http"),
    "MistralLLM sdk": partial(ours, "MistralLLM", "sdk"),
    "LlamaLLM sdk": partial(ours, "LlamaLLM", "sdk"),
    "mistralai, its own reader": mistral,
    "llama-api-client, its own reader": llama,
    OPENAI: openai,
}
WHOLE: Mapping[str, Client] = {
    OPENAI: openai_whole,
    BARE: bare_whole,
    **{name: STREAMED[name] for name in ("MistralLLM http", "LlamaLLM http")},
}
