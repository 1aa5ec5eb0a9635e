"""pydantic-ai: ``run_stream`` with an output type, as its page on streamed output has it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.partial import Shown
from bench.task import KEY, MODEL, SYSTEM, Answer, Pair, pairs_of


def streamed(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """Partial answers every 0.1 s, its default; `FallbackModel` where there are two servers."""
    return _opened(servers, holds_back=False, debounce_s=0.1)


def held_back(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """At every token, for who knows that the last action shown may be half of one."""
    return _opened(servers, holds_back=True, debounce_s=None)


@asynccontextmanager
async def _opened(
    servers: Sequence[str], *, holds_back: bool, debounce_s: float | None
) -> AsyncGenerator[Ask, None]:
    from pydantic_ai import Agent
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    first, *others = (
        OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key=KEY))
        for url in servers
    )
    model = FallbackModel(first, *others) if others else first
    agent = Agent(model, output_type=Answer, system_prompt=SYSTEM)

    async def ask(question: str, given: Given) -> list[Pair]:
        shown = Shown(given, holds_back=holds_back)
        async with agent.run_stream(question) as result:
            async for answer in result.stream_output(debounce_by=debounce_s):
                shown.show(answer.actions)
            answer = await result.get_output()
            shown.show(answer.actions, is_whole=True)
            return pairs_of(answer)

    yield ask
