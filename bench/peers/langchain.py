"""langchain-mistralai: ``with_structured_output`` and ``astream``, its default method."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.partial import Shown
from bench.task import KEY, MODEL, SYSTEM, Answer, Pair, pairs_of


def streamed(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """Answers that grow; ``with_fallbacks`` where there are two servers."""
    return _opened(servers, holds_back=False)


def held_back(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """The same for who knows that the last action shown may be half of one."""
    return _opened(servers, holds_back=True)


@asynccontextmanager
async def _opened(servers: Sequence[str], *, holds_back: bool) -> AsyncGenerator[Ask, None]:
    from langchain_mistralai import ChatMistralAI

    first, *others = (
        ChatMistralAI(model=MODEL, api_key=KEY, endpoint=url).with_structured_output(Answer)
        for url in servers
    )
    model = first.with_fallbacks(others) if others else first

    async def ask(question: str, given: Given) -> list[Pair]:
        shown, answer = Shown(given, holds_back=holds_back), None
        async for answer in model.astream([("system", SYSTEM), ("human", question)]):
            shown.show(answer.actions)
        shown.show(answer.actions, is_whole=True)
        return pairs_of(answer)

    yield ask
