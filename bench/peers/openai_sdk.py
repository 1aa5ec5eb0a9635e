"""openai: its streaming helper with a pydantic model, and OM1's pattern: all of it, then parse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.partial import Shown
from bench.task import KEY, MODEL, Answer, Pair, messages, pairs_of


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
