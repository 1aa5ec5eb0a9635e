"""any-llm: the whole answer into a pydantic model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.task import KEY, MODEL, Answer, Pair, messages, pairs_of


@asynccontextmanager
async def whole(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """A client that is kept, as its documentation recommends for more than one call."""
    from any_llm import AnyLLM

    client = AnyLLM.create("openai", api_key=KEY, api_base=servers[0])

    async def ask(question: str, given: Given) -> list[Pair]:
        reply = await client.acompletion(
            model=MODEL, messages=messages(question), response_format=Answer
        )
        pairs = pairs_of(Answer.model_validate_json(reply.choices[0].message.content))
        for pair in pairs:
            given(pair)
        return pairs

    yield ask
