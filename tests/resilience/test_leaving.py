"""Whenever and however one leaves a chain, nothing is left of it; on a virtual clock."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from reflexarc.due import NEVER, due
from reflexarc.errors import LLMError, RateLimitedError, ServerError
from reflexarc.llm import LLM
from reflexarc.resilience import Breaker, Deadline, Failover, Hedge, Retry
from reflexarc.testing import ScriptedLLM, Turn, run_virtual
from reflexarc.types import CortexOutputModel, TextDelta

from .brains import RUN, SIT, Scripted

Way = Literal["cancel", "timeout", "break", "raise", "stay"]

seconds = st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 2.96, 3.0, 60.0])
turns = st.builds(
    Turn,
    st.sampled_from([(), (TextDelta("hm"),), (SIT,), (TextDelta("hm"), SIT, RUN)]),
    first_s=seconds,
    duration_s=seconds,
    failure=st.sampled_from([None, ServerError("down"), RateLimitedError("x", retry_after_s=1)]),
)
brains = st.lists(st.lists(turns, min_size=1, max_size=3), min_size=3, max_size=3)


def nested(one: Scripted, two: Scripted, three: Scripted) -> LLM[CortexOutputModel]:
    """Every wrapper around and inside others."""
    inner: LLM[Any] = Failover([Retry(Breaker(one)), Deadline(two, timeout=1.0)])
    return Deadline(Hedge(Breaker(Retry(inner)), three, after_s=0.5), timeout=3, idle=SIT)


@given(
    brains,
    st.sampled_from(["cancel", "timeout", "break", "raise", "stay"]),
    seconds,
    st.integers(0, 3),
)
def test_nothing_is_left_behind(script: list[list[Turn]], way: Way, at_s: float, at: int) -> None:
    """No task, no running brain, no moment in the context, no cancellation of our own."""
    made = [ScriptedLLM[CortexOutputModel](*each, name=str(at)) for at, each in enumerate(script)]
    complaints: list[dict[str, Any]] = []

    async def listen(llm: LLM[Any]) -> None:
        async with aclosing(llm.stream("go")) as events:
            count = 0
            async for _ in events:
                if count == at and way == "break":
                    break
                if count == at and way == "raise":
                    raise ZeroDivisionError
                count += 1
                assert due() is NEVER, "a deadline has leaked to the caller"

    async def once(llm: LLM[Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(at_s if way == "timeout" else None):
                await listen(llm)
        except (LLMError, TimeoutError, ZeroDivisionError):
            pass
        assert task.cancelling() == 0

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        llm = nested(*made)
        clock = asyncio.get_running_loop().time
        for _ in range(3):
            begun = clock()
            asking = asyncio.create_task(once(llm))
            if way == "cancel":
                await asyncio.wait([asking], timeout=at_s)
                asking.cancel()
            await asyncio.wait([asking])
            assert clock() - begun <= 3
            if not asking.cancelled():
                asking.result()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert all(asked.ended != "running" for each in made for asked in each.asked)
            await asyncio.sleep(1)

    run_virtual(main())
    assert not complaints
