"""openai: its stream by a scan, its streaming helper, and OM1's pattern: all of it, then parse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from bench.peers import Ask, Given
from bench.peers.partial import Shown
from bench.peers.scan import Actions
from bench.task import KEY, MODEL, RESPONSE_FORMAT, Answer, Pair, messages, pairs_of


def scanned(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """``create(stream=True)``: text, which is read as it grows."""
    return _scanned(servers)


@asynccontextmanager
async def scanned_over_aiohttp(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """The same over aiohttp, which its README recommends for many calls at once."""
    from openai import DefaultAioHttpClient

    async with _scanned(servers, http_client=DefaultAioHttpClient()) as ask:
        yield ask


@asynccontextmanager
async def _scanned(servers: Sequence[str], **options: Any) -> AsyncGenerator[Ask, None]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key=KEY, base_url=servers[0], **options) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            return await read(sdk, question, given)

        yield ask


async def read(sdk: Any, question: str, given: Given) -> list[Pair]:
    """Ask once for a stream of text, and hand over each action when its brace closes."""
    found = Actions(given)
    async with await sdk.chat.completions.create(
        model=MODEL, messages=messages(question), response_format=RESPONSE_FORMAT, stream=True
    ) as chunks:
        async for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                found.feed(text)
    return found.answer()


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """``.stream(response_format=Answer)``: each event has what is parsed so far, as plain dicts."""
    from openai import AsyncOpenAI
    from pydantic import TypeAdapter, ValidationError

    from bench.task import Action

    one = TypeAdapter(Action)

    def valid(parsed: object) -> list[Action]:
        found: list[Action] = []
        for item in (parsed or {}).get("actions", ()):  # type: ignore[attr-defined]
            try:
                found.append(one.validate_python(item))
            except ValidationError:
                break
        return found

    async with AsyncOpenAI(api_key=KEY, base_url=servers[0]) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            shown = Shown(given)
            async with sdk.chat.completions.stream(
                model=MODEL, messages=messages(question), response_format=Answer
            ) as events:
                async for event in events:
                    if event.type == "content.delta":
                        shown.show(valid(event.parsed))
                reply = await events.get_final_completion()
            answer = reply.choices[0].message.parsed
            shown.show(answer.actions)
            return pairs_of(answer)

        yield ask


@asynccontextmanager
async def om1(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """The whole answer, then ``model_validate_json``, then every action, whatever its type."""
    from openai import AsyncOpenAI
    from pydantic import BaseModel

    class Deed(BaseModel):
        type: str
        value: str

    class CortexOutputModel(BaseModel):
        actions: list[Deed]

    async with AsyncOpenAI(api_key=KEY, base_url=servers[0]) as sdk:

        async def ask(question: str, given: Given) -> list[Pair]:
            reply = await sdk.chat.completions.parse(
                model=MODEL, messages=messages(question), response_format=CortexOutputModel
            )
            answer = CortexOutputModel.model_validate_json(reply.choices[0].message.content)
            pairs = [(each.type, each.value) for each in answer.actions]
            for pair in pairs:
                given(pair)
            return pairs

        yield ask
