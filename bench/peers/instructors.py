"""instructor over openai: its two ways to see an answer before it is whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.partial import Shown
from bench.task import KEY, MODEL, Action, Answer, Pair, messages, pairs_of


@asynccontextmanager
async def iterable(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """``create_iterable``: each action when it is whole."""
    import instructor
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key=KEY, base_url=servers[0]) as sdk:
        client = instructor.from_openai(sdk)

        async def ask(question: str, given: Given) -> list[Pair]:
            pairs: list[Pair] = []
            async for action in client.create_iterable(
                model=MODEL, messages=messages(question), response_model=Action
            ):
                pairs.append((action.type, action.value))
                given(pairs[-1])
            return pairs

        yield ask


@asynccontextmanager
async def partial(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """``create_partial``: the answer so far, at every token."""
    import instructor
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key=KEY, base_url=servers[0]) as sdk:
        client = instructor.from_openai(sdk)

        async def ask(question: str, given: Given) -> list[Pair]:
            shown, answer = Shown(given), None
            async for answer in client.create_partial(
                model=MODEL, messages=messages(question), response_model=Answer
            ):
                shown.show(answer.actions or ())
            return pairs_of(Answer.model_validate(answer.model_dump()))

        yield ask
