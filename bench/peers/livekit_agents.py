"""LiveKit's `FallbackAdapter` over its OpenAI plugin: a stream of text, read by a scan."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.scan import Actions
from bench.task import KEY, MODEL, RESPONSE_FORMAT, SYSTEM, Pair


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """All servers behind the adapter."""
    from livekit.agents.llm import ChatContext, FallbackAdapter
    from livekit.plugins.openai import LLM

    async with AsyncExitStack() as stack:
        brains = [LLM(model=MODEL, api_key=KEY, base_url=url) for url in servers]
        for brain in brains:
            stack.push_async_callback(brain.aclose)
        adapter = FallbackAdapter(brains)

        async def ask(question: str, given: Given) -> list[Pair]:
            found, context = Actions(given), ChatContext.empty()
            context.add_message(role="system", content=SYSTEM)
            context.add_message(role="user", content=question)
            async with adapter.chat(
                chat_ctx=context, extra_kwargs={"response_format": RESPONSE_FORMAT}
            ) as chunks:
                async for chunk in chunks:
                    if chunk.delta and chunk.delta.content:
                        found.feed(chunk.delta.content)
            return found.answer()

        yield ask
