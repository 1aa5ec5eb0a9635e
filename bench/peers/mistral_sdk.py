"""mistralai: ``parse_async``, which is its way to a pydantic model; and its stream, joined."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.task import KEY, MODEL, RESPONSE_FORMAT, Answer, Pair, messages, pairs_of


@asynccontextmanager
async def whole(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """The whole answer as an `Answer`."""
    from mistralai.client import Mistral

    async with Mistral(api_key=KEY, server_url=servers[0].removesuffix("/v1")) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            reply = await sdk.chat.parse_async(
                response_format=Answer, model=MODEL, messages=messages(question)
            )
            pairs = pairs_of(reply.choices[0].message.parsed)
            for pair in pairs:
                given(pair)
            return pairs

        yield ask


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """Its stream gives text; nothing in it reads an answer that is not whole."""
    from mistralai.client import Mistral

    async with Mistral(api_key=KEY, server_url=servers[0].removesuffix("/v1")) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            async with await sdk.chat.stream_async(
                model=MODEL, messages=messages(question), response_format=RESPONSE_FORMAT
            ) as events:
                texts = [
                    event.data.choices[0].delta.content or ""
                    async for event in events
                    if event.data.choices
                ]
            pairs = pairs_of(Answer.model_validate_json("".join(texts)))
            for pair in pairs:
                given(pair)
            return pairs

        yield ask
