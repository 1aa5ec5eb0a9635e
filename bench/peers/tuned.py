"""The same libraries as somebody sets them up who knows of a limit of 3 s; for the faults alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.openai_sdk import read
from bench.peers.ours import opened
from bench.task import KEY, MODEL, RESPONSE_FORMAT, SYSTEM, Answer, Pair, messages, pairs_of

LIMIT_S = 3.0
FIRST_S = 0.75
"""For the first of two servers: reflexarc asks the second one, too, after as long."""


def ours(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """reflexarc, told of the limit as its page on failures has it."""
    return opened(servers, "MistralLLM", "auto", timeout=LIMIT_S)


def by_hand_whole(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """openai with a fallback by hand: nothing is handed over before the answer is whole."""
    return _by_hand(servers, streams=False)


def by_hand_streamed(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """The same, and each action is handed over when it is complete."""
    return _by_hand(servers, streams=True)


@asynccontextmanager
async def _by_hand(servers: Sequence[str], *, streams: bool) -> AsyncGenerator[Ask, None]:
    """A share of the time for the first, and on any failure the second: two dozen lines."""
    from openai import AsyncOpenAI

    async def whole(sdk: AsyncOpenAI, question: str, given: Given) -> list[Pair]:
        reply = await sdk.chat.completions.parse(
            model=MODEL, messages=messages(question), response_format=Answer
        )
        pairs = pairs_of(Answer.model_validate_json(reply.choices[0].message.content))
        for pair in pairs:
            given(pair)
        return pairs

    asked = read if streams else whole
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0))
            for url in servers
        ]

        async def ask(question: str, given: Given) -> list[Pair]:
            try:
                async with asyncio.timeout(FIRST_S):
                    return await asked(first, question, given)
            except Exception:  # noqa: BLE001 - whatever it is, the other one is asked
                return await asked(second, question, given)

        yield ask


@asynccontextmanager
async def pydantic_ai(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """Whole answers, since its fallback ends where a stream begins; no retries, a limit each.

    What answers without being an answer is refused by a handler, as its page on fallbacks has it.
    """
    from openai import AsyncOpenAI
    from pydantic import ValidationError
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, ToolCallPart
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def is_no_answer(response: ModelResponse) -> bool:
        try:
            [call] = (part for part in response.parts if isinstance(part, ToolCallPart))
            Answer.model_validate(call.args_as_dict())
        except (ValidationError, ValueError):
            return True
        return False

    # It knows such a handler by its parameter's type, and cannot see a local name in text.
    is_no_answer.__annotations__["response"] = ModelResponse
    async with AsyncExitStack() as stack:
        sdks = [
            AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=FIRST_S)
            for url in servers
        ]
        for sdk in sdks:
            stack.push_async_callback(sdk.close)
        models = [
            OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=sdk)) for sdk in sdks
        ]
        agent = Agent(
            FallbackModel(models[0], *models[1:], fallback_on=[Exception, is_no_answer]),
            output_type=Answer,
            system_prompt=SYSTEM,
        )

        async def ask(question: str, given: Given) -> list[Pair]:
            pairs = pairs_of((await agent.run(question)).output)
            for pair in pairs:
                given(pair)
            return pairs

        yield ask


@asynccontextmanager
async def langchain(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """By JSON Schema, which shows no answer before it is valid; no retries, a limit each."""
    from langchain_mistralai import ChatMistralAI

    first, *others = (
        ChatMistralAI(
            model=MODEL, api_key=KEY, endpoint=url, max_retries=1, timeout=1
        ).with_structured_output(Answer, method="json_schema")
        for url in servers
    )
    model = first.with_fallbacks(others)

    async def ask(question: str, given: Given) -> list[Pair]:
        pairs = pairs_of(await model.ainvoke([("system", SYSTEM), ("human", question)]))
        for pair in pairs:
            given(pair)
        return pairs

    yield ask


@asynccontextmanager
async def livekit(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """A second an attempt, and another one although text has come: whole answers, so that none is
    acted on twice. A second attempt's chunks have another id.
    """
    from livekit.agents.llm import ChatContext, FallbackAdapter
    from livekit.plugins.openai import LLM

    async with AsyncExitStack() as stack:
        brains = [LLM(model=MODEL, api_key=KEY, base_url=url) for url in servers]
        for brain in brains:
            stack.push_async_callback(brain.aclose)
        adapter = FallbackAdapter(brains, attempt_timeout=1, retry_on_chunk_sent=True)

        async def ask(question: str, given: Given) -> list[Pair]:
            context = ChatContext.empty()
            context.add_message(role="system", content=SYSTEM)
            context.add_message(role="user", content=question)
            texts: list[str] = []
            attempt = ""
            async with adapter.chat(
                chat_ctx=context, extra_kwargs={"response_format": RESPONSE_FORMAT}
            ) as chunks:
                async for chunk in chunks:
                    if chunk.delta and chunk.delta.content:
                        if chunk.id != attempt:
                            attempt, texts = chunk.id, []
                        texts.append(chunk.delta.content)
            pairs = pairs_of(Answer.model_validate_json("".join(texts)))
            for pair in pairs:
                given(pair)
            return pairs

        yield ask
