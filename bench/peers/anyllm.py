"""any-llm: its stream of text with a pydantic model as the form, read by a scan."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.scan import Actions
from bench.task import KEY, MODEL, Answer, Pair, messages


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """A client that is kept, as its documentation recommends for more than one call."""
    from any_llm import AnyLLM

    client = AnyLLM.create("openai", api_key=KEY, api_base=servers[0])

    async def ask(question: str, given: Given) -> list[Pair]:
        found = Actions(given)
        chunks = await client.acompletion(
            model=MODEL, messages=messages(question), response_format=Answer, stream=True
        )
        async for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                found.feed(text)
        return found.answer()

    yield ask
