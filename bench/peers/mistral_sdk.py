"""mistralai: ``parse_async``, which is its way to a pydantic model; and its stream, by a scan."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.scan import Actions
from bench.task import KEY, MODEL, Answer, Pair, messages, pairs_of


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
    """``parse_stream_async`` takes the model and gives text, which is read as it grows."""
    from mistralai.client import Mistral

    async with Mistral(api_key=KEY, server_url=servers[0].removesuffix("/v1")) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            found = Actions(given)
            async with await sdk.chat.parse_stream_async(
                response_format=Answer, model=MODEL, messages=messages(question)
            ) as events:
                async for event in events:
                    if event.data.choices:
                        found.feed(event.data.choices[0].delta.content or "")
            return found.answer()

        yield ask
