"""A brain that is well again is asked again, whatever it had; on a virtual clock."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import (
    AuthError,
    ConnectError,
    LLMError,
    QuotaError,
    RateLimitedError,
    ServerError,
    UnavailableError,
)
from reflexarc.resilience import Breaker, Deadline, Failover, Retry
from reflexarc.testing import Turn, run_virtual

from .brains import SIT, acts, finished, plays, tick

waits = st.none() | st.floats(0, 1e9)
failures: st.SearchStrategy[LLMError | None] = st.one_of(
    st.sampled_from([AuthError("no"), QuotaError("none"), ServerError("down"), ConnectError("?")]),
    st.builds(lambda wait_s: RateLimitedError("slow down", retry_after_s=wait_s), waits),
    st.builds(lambda wait_s: UnavailableError("away", retry_after_s=wait_s), waits),
    st.none(),  # it hangs
)


@given(st.lists(failures, min_size=1, max_size=30))
def test_an_outage_ends_a_minute_later_at_the_latest(script: list[LLMError | None]) -> None:
    """Three layers leave it alone, each by its own clock, and together for no longer than one."""
    down = [Turn(failure=each, first_s=0 if each else 60) for each in script]
    first = plays(*down, Turn((SIT,)))

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        llm = Deadline(Failover([Breaker(Retry(first)), acts()]), timeout=3)
        last_failed = clock()
        while True:
            begun = clock()
            events, error = await tick(llm)
            assert error is None
            if finished(events).provider == "First":
                break
            if len(first.asked) <= len(script):
                last_failed = max(asked.ended_at_s or 0.0 for asked in first.asked)
            assert clock() - last_failed <= 62, "it is well, and nobody asks it"
            await asyncio.sleep(max(0.0, begun + 1 - clock()))

    run_virtual(main())
