"""llama-api-client against a server of the OpenAI dialect: whole, and streamed and then joined."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.task import KEY, MODEL, SCHEMA, Answer, Pair, messages, pairs_of

_FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


@asynccontextmanager
async def whole(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """The whole answer; it has no parser of its own."""
    from llama_api_client import AsyncLlamaAPIClient

    async with AsyncLlamaAPIClient(api_key=KEY, base_url=servers[0]) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            reply = await sdk.chat.completions.create(
                model=MODEL, messages=messages(question), response_format=_FORMAT
            )
            return _handed_over(reply.choices[0]["message"]["content"], given)

        yield ask


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """Its stream ends in an error on ``[DONE]``, which is let pass where the answer is whole."""
    from llama_api_client import AsyncLlamaAPIClient

    async with AsyncLlamaAPIClient(api_key=KEY, base_url=servers[0]) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            texts: list[str] = []
            has_ended = False
            try:
                async with await sdk.chat.completions.create(
                    model=MODEL, messages=messages(question), response_format=_FORMAT, stream=True
                ) as events:
                    async for event in events:
                        for choice in event.choices:
                            texts.append(choice["delta"].get("content") or "")
                            has_ended = has_ended or choice["finish_reason"] is not None
            except json.JSONDecodeError:
                if not has_ended:
                    raise
            return _handed_over("".join(texts), given)

        yield ask


def _handed_over(text: str, given: Given) -> list[Pair]:
    pairs = pairs_of(Answer.model_validate_json(text))
    for pair in pairs:
        given(pair)
    return pairs
