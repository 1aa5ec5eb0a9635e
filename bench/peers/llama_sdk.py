"""llama-api-client against a server of the OpenAI dialect: its stream of text, read by a scan."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.scan import Actions
from bench.task import KEY, MODEL, SCHEMA, Pair, messages

_FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """Its stream ends in an error on ``[DONE]``, which is let pass where the answer is whole."""
    from llama_api_client import AsyncLlamaAPIClient

    async with AsyncLlamaAPIClient(api_key=KEY, base_url=servers[0]) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            found, has_ended = Actions(given), False
            try:
                async with await sdk.chat.completions.create(
                    model=MODEL, messages=messages(question), response_format=_FORMAT, stream=True
                ) as events:
                    async for event in events:
                        for choice in event.choices:
                            found.feed(choice["delta"].get("content") or "")
                            has_ended = has_ended or choice["finish_reason"] is not None
            except json.JSONDecodeError:
                if not has_ended:
                    raise
            return found.answer()

        yield ask
