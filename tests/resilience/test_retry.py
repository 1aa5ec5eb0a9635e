"""Asking again: when, how often, how soon, and never after an action; on a virtual clock."""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.attempts import AttemptFailed
from reflexarc.errors import (
    AuthError,
    BadRequestError,
    ConnectError,
    LLMError,
    RateLimitedError,
    RefusedError,
    RestingError,
    ServerError,
)
from reflexarc.resilience import Backoff, Deadline, Retry
from reflexarc.testing import Turn, run_virtual

from .brains import SIT, Scripted, acts, fails, finished, outcomes, plays, tick

OK = Turn((SIT,))


def broken(error: LLMError, **turn: Any) -> Turn:
    """A turn that fails."""
    return Turn(failure=error, **turn)


def test_what_may_pass_is_asked_again() -> None:
    """The record and the events have both tries, with the times of the whole question."""

    async def main() -> None:
        events, error = await tick(Retry(plays(broken(ConnectError("reset"), duration_s=1), OK)))
        assert error is None
        assert isinstance(events[0], AttemptFailed)
        assert events[0].to_dict() == {
            "event": "attempt",
            "provider": "First",
            "model": "scripted",
            "outcome": "connection",
            "elapsed_s": 1.0,
            "message": "reset",
            "next": "First",
            "at_s": 1.0,
        }
        end = finished(events)
        assert outcomes(end) == [("First", "connection"), ("First", "ok")]
        assert 1.05 <= end.total_s <= 1.1

    run_virtual(main())


@pytest.mark.parametrize(
    "error", [AuthError("no"), BadRequestError("what?"), RefusedError("I would rather not")]
)
def test_what_does_not_pass_is_asked_once(error: LLMError) -> None:
    """Only what is retryable by its kind."""
    llm = fails(error)
    _, failure = run_virtual(tick(Retry(llm, attempts=5)))
    assert isinstance(failure, type(error))
    assert len(llm.asked) == 1


def test_nothing_starts_again_after_an_action() -> None:
    """The robot has begun to move."""
    llm = plays(Turn((SIT,), failure=ServerError("down")), OK)
    events, error = run_virtual(tick(Retry(llm)))
    assert len(events) == 1
    assert isinstance(error, ServerError)
    assert len(llm.asked) == 1


def test_no_pause_outlasts_the_deadline() -> None:
    """Where another try would come too late, the next brain has the time."""

    async def main() -> None:
        llm = fails(RateLimitedError("slow down", retry_after_s=5))
        begun = asyncio.get_running_loop().time()
        _, error = await tick(Deadline(Retry(llm), timeout=3))
        assert isinstance(error, RateLimitedError)
        assert asyncio.get_running_loop().time() == begun

    run_virtual(main())


def test_a_server_may_say_how_long_to_wait() -> None:
    """Inside the deadline it is waited for."""

    async def main() -> None:
        llm = plays(broken(RateLimitedError("slow down", retry_after_s=1)), OK)
        events, _ = await tick(Deadline(Retry(llm), timeout=3))
        assert 1.05 <= finished(events).total_s <= 1.1

    run_virtual(main())


@pytest.mark.parametrize(
    ("asked_s", "calls"), [(10.0, 6), (None, 6), (0.0, 6), (1e9, 2), (math.inf, 2)]
)
def test_a_limit_is_kept_across_ticks(asked_s: float | None, calls: int) -> None:
    """In a minute of ticks a server that is at its limit is asked a few times, not at each."""

    async def main() -> None:
        llm = fails(RateLimitedError("slow down", retry_after_s=asked_s))
        retry = Retry(llm, attempts=1)
        kinds: set[str] = set()
        for _ in range(61):
            _, error = await tick(retry)
            assert error is not None
            kinds.add(error.kind)
            await asyncio.sleep(1)
        assert len(llm.asked) == calls
        assert kinds == {"rate_limited", "resting"}

    run_virtual(main())


def test_who_is_left_alone_says_for_how_long() -> None:
    """And is asked again after an answer as if nothing had been."""

    async def main() -> None:
        llm = plays(broken(RateLimitedError("slow down", retry_after_s=20)), OK)
        retry = Retry(llm, attempts=1)
        await tick(retry)
        await asyncio.sleep(5)
        _, error = await tick(retry)
        assert isinstance(error, RestingError)
        assert error.retry_after_s == pytest.approx(15)
        assert error.message.startswith("First has failed (rate_limited) and is left alone for")
        await asyncio.sleep(15.1)
        events, _ = await tick(retry)
        assert finished(events).provider == "First"

    run_virtual(main())


def test_a_budget_bounds_what_is_asked_twice() -> None:
    """A server that fails for long is not asked twice as often for it."""

    async def main() -> None:
        llm = fails(ConnectError("reset"))
        retry = Retry(llm)
        for _ in range(100):
            await tick(retry)
        assert 100 + 20 <= len(llm.asked) <= 100 + 5 + 20

    run_virtual(main())


@given(st.integers(1, 500), st.floats(0, 10), st.floats(1, 4), st.floats(0, 60), st.randoms())
def test_every_pause_is_within_its_bounds(
    failures: int, base_s: float, growth: float, cap_s: float, random: Random
) -> None:
    """Never above the cap, never below half of the wait, whatever the record."""
    wait_s = Backoff(base_s, growth, cap_s).wait_s(failures, random)
    longest_s = min(cap_s, base_s * growth ** min(failures - 1, 64))
    assert longest_s / 2 <= wait_s <= longest_s


@given(
    st.lists(st.sampled_from(["ok", "reset", "limit", "key"]), min_size=1, max_size=40),
    st.integers(1, 4),
    st.randoms(),
)
def test_tries_and_answers_add_up(script: list[str], attempts: int, random: Random) -> None:
    """Each try is in exactly one record, no question has more than it may, and all end in time."""
    turns = {
        "ok": OK,
        "reset": broken(ConnectError("reset")),
        "limit": broken(RateLimitedError("slow down", retry_after_s=4)),
        "key": broken(AuthError("no")),
    }
    llm: Scripted = plays(*(turns[each] for each in script))

    async def main() -> None:
        retry = Deadline(Retry(llm, attempts=attempts, random=random), timeout=3)
        clock = asyncio.get_running_loop().time
        recorded = 0
        for _ in range(20):
            begun = clock()
            events, error = await tick(retry)
            assert clock() - begun <= 3
            record = outcomes(error or finished(events))
            assert 1 <= len(record) <= attempts
            recorded += len([outcome for _, outcome in record if outcome != "resting"])
            await asyncio.sleep(max(0.0, begun + 1 - clock()))
        assert recorded == len(llm.asked)

    run_virtual(main())


def test_it_opens_warms_and_closes_what_is_inside() -> None:
    """An LLM around another is that one to everybody else."""

    async def main() -> None:
        llm = acts()
        retry = Retry(llm)
        assert (retry.name, retry.is_on_board, retry.is_paid) == ("Second", False, False)
        assert repr(retry) == f"Retry({llm!r})"
        async with retry:
            assert llm.is_open
            await retry.connect()
        assert not llm.is_open

    run_virtual(main())


def test_nobody_is_waited_for_longer_than_a_minute() -> None:
    """Also where no deadline says so; it is left alone for that minute then."""

    async def main() -> None:
        llm = plays(broken(RateLimitedError("slow down", retry_after_s=3600)), OK)
        begun = asyncio.get_running_loop().time()
        retry = Retry(llm)
        _, error = await tick(retry)
        assert isinstance(error, RateLimitedError)
        assert asyncio.get_running_loop().time() == begun
        await asyncio.sleep(60.1)
        assert finished((await tick(retry))[0]).provider == "First"

    run_virtual(main())


def test_questions_at_the_same_time_undo_no_rest() -> None:
    """Neither does an answer that was on its way, nor a failure that asks for less."""

    async def main() -> None:
        llm = plays(
            Turn((SIT,), first_s=0.5),
            broken(RateLimitedError("slow down"), first_s=0.5),
            broken(RateLimitedError("slow down", retry_after_s=30)),
            OK,
        )
        retry = Retry(llm, attempts=1)
        await asyncio.gather(*(tick(retry) for _ in range(3)))
        await asyncio.sleep(20)
        assert isinstance((await tick(retry))[1], RestingError)
        await asyncio.sleep(10)
        assert finished((await tick(retry))[0]).provider == "First"

    run_virtual(main())
