"""The virtual clock jumps where nothing but time is waited for, and nowhere else."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.config import LLMConfig
from reflexarc.errors import DeadlineError
from reflexarc.registry import load_llm
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn, VirtualLoop, run_virtual
from reflexarc.types import Action, CortexOutputModel

START_S = 1000.0
HOUR_S = 3600.0
NO_TIME_S = 10.0  # real seconds: far less than an hour, on a machine that is busy
SIT = Action(type="move", value="sit")
FIRST, SECOND = '{"actions":[{"type":"move",', '"value":"sit"}]}'


def now() -> float:
    """The time of the running loop."""
    return asyncio.get_running_loop().time()


@contextmanager
def in_no_time() -> Generator[None]:
    """Hold that the block takes far less real time than it takes virtual time."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < NO_TIME_S


def sockets() -> set[str]:
    """The sockets this process has open; none where there is no /proc."""
    found: set[str] = set()
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # closed meanwhile, as glob's own descriptor is
            found.add(str(descriptor.readlink()))
    return {name for name in found if name.startswith("socket:")}


# --- time ---------------------------------------------------------------------------------------


def test_an_hour_takes_no_time() -> None:
    """A sleep of an hour ends at once, with the clock an hour on."""

    async def main() -> float:
        await asyncio.sleep(HOUR_S)
        return now()

    with in_no_time():
        assert run_virtual(main()) == START_S + HOUR_S


def test_an_hour_of_short_steps_takes_little_time() -> None:
    """Where no socket is open, thousands of sleeps need no grace each."""

    async def main() -> float:
        for _ in range(36_000):
            await asyncio.sleep(0.1)
        return now()

    with in_no_time():
        assert run_virtual(main()) == pytest.approx(START_S + HOUR_S, abs=1e-6)


@pytest.mark.parametrize("start_s", [0.0, 5e-324, 0.1, 1000.0, 1.7e9, 1e15])
@pytest.mark.parametrize("delay_s", [0.0, 5e-324, 1e-9, 0.1, math.pi, HOUR_S, 1e6])
def test_a_timer_rings_when_it_is_due(start_s: float, delay_s: float) -> None:
    """Whatever the clock shows, a timer rings, never early, and late by a rounding at most."""

    async def main() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        first, rang = loop.time(), asyncio.Event()
        timer = loop.call_later(delay_s, rang.set)
        await rang.wait()
        return first, timer.when(), loop.time()

    with in_no_time():
        first, due, rang = run_virtual(main(), start_s=start_s)
    assert first == start_s
    assert due <= rang <= due + 2 * math.ulp(due)


def test_a_timer_that_rounding_hides_is_not_early() -> None:
    """A timer rings at its moment where the way there, added to now, is just before it."""
    start_s, due = 2.0**-40, 8192 + 2.0**-39
    assert start_s + (due - start_s) < due

    async def main() -> float:
        loop = asyncio.get_running_loop()
        rang: asyncio.Future[float] = loop.create_future()
        loop.call_at(due, lambda: rang.set_result(loop.time()))
        return await rang

    assert run_virtual(main(), start_s=start_s) == due


def test_timers_ring_in_their_order() -> None:
    """Timers ring by time, not by when they were set, and see that time."""

    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        rang: list[tuple[str, float]] = []
        for name, delay_s in (("c", 3 * HOUR_S), ("a", 1.0), ("b", 60.0)):
            loop.call_later(delay_s, lambda name=name: rang.append((name, loop.time() - START_S)))
        loop.call_later(2.0, rang.append, ("never", 0.0)).cancel()
        await asyncio.sleep(4 * HOUR_S)
        return rang

    assert run_virtual(main()) == [("a", 1.0), ("b", 60.0), ("c", 3 * HOUR_S)]


WAITS = st.floats(0, 1e5) | st.integers(0, 5) | st.sampled_from([0.1, 0.2, 0.3, 1e-9])


@given(st.lists(WAITS, max_size=40), st.sampled_from([0.0, START_S, 1e6]))
def test_sleepers_wake_in_time_and_in_order(waits: list[float], start_s: float) -> None:
    """Every sleep ends at its moment, and those of one moment end in the order they began."""

    async def main() -> list[tuple[float, int]]:
        woken: list[tuple[float, int]] = []
        seen: list[float] = []

        async def sleep(number: int, wait_s: float) -> None:
            started = now()
            await asyncio.sleep(wait_s)
            assert now() == pytest.approx(started + wait_s, abs=1e-6)
            assert now() >= max(seen, default=0.0)
            seen.append(now())
            woken.append((wait_s, number))

        async with asyncio.TaskGroup() as group:
            for number, wait_s in enumerate(waits):
                group.create_task(sleep(number, wait_s))
        return woken

    def rank(wake: tuple[float, int]) -> tuple[float, bool, int]:
        wait_s, number = wake
        # Waits that differ by less than the floats of the clock end at one moment; and those of 0,
        # for which asyncio sets no timer, before it.
        return start_s + wait_s, wait_s > 0, number

    woken = run_virtual(main(), start_s=start_s)
    assert woken == sorted(woken, key=rank)
    assert len(woken) == len(waits)


def test_many_timers_of_one_moment_ring_in_order() -> None:
    """A thousand timers of one moment ring as they were set."""

    async def main() -> list[int]:
        rang: list[int] = []
        for number in range(1000):
            asyncio.get_running_loop().call_at(START_S + 1, rang.append, number)
        await asyncio.sleep(1)
        return rang

    assert run_virtual(main()) == list(range(1000))


# --- what asyncio builds on timers --------------------------------------------------------------


def test_a_timeout_ends_a_wait() -> None:
    """`asyncio.timeout` and `timeout_at` ring, and only if what they are around is not done."""

    async def main() -> list[float]:
        ends: list[float] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HOUR_S):
                await asyncio.sleep(2 * HOUR_S)
        ends.append(now())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(now() + 5):
                await asyncio.Event().wait()
        ends.append(now())
        async with asyncio.timeout(9):
            await asyncio.sleep(8)
        return [*ends, now()]

    with in_no_time():
        assert run_virtual(main()) == [
            START_S + HOUR_S,
            START_S + HOUR_S + 5,
            START_S + HOUR_S + 13,
        ]


def test_wait_takes_what_is_done_by_then() -> None:
    """`asyncio.wait` with a timeout gives what was done, and leaves the rest alone."""

    async def main() -> tuple[int, int, float]:
        tasks = [asyncio.create_task(asyncio.sleep(wait_s)) for wait_s in (10, 20, 40)]
        done, pending = await asyncio.wait(tasks, timeout=30)
        ended = now()
        await asyncio.gather(*pending)
        return len(done), len(pending), ended

    with in_no_time():
        assert run_virtual(main()) == (2, 1, START_S + 30)


# --- sockets ------------------------------------------------------------------------------------


async def ask(server: Server, **settings: Any) -> tuple[list[Action], float]:
    """What a brain on a server answers, and in which time."""
    config = LLMConfig.model_validate(
        {"type": "LlamaLLM", "base_url": server.base_url, "model": "m"} | settings
    )
    async with load_llm(config, output_model=CortexOutputModel, environ={}) as llm:
        started = now()
        answer = await llm.ask("sit!")
        return answer.actions, now() - started


def test_a_slow_server_answers_in_virtual_time() -> None:
    """An answer over a real socket takes as long as the script says, and no real time."""

    async def main() -> tuple[list[Action], float]:
        reply = Reply.stream(30.0, FIRST, 40.0, SECOND)
        async with Server(reply) as server:
            return await ask(server, timeout=100, stall_timeout=60)

    with in_no_time():
        actions, took_s = run_virtual(main())
    assert actions == [SIT]
    assert took_s == pytest.approx(70.0)


@pytest.mark.parametrize(
    ("reply", "settings", "phase", "late_s"),
    [
        pytest.param(Reply(wait=HOUR_S), {"timeout": 600}, "total", 600.0, id="total"),
        pytest.param(
            Reply.stream(FIRST, HOUR_S, SECOND),
            {"timeout": 600, "stall_timeout": 50},
            "stall",
            50.0,
            id="stall",
        ),
        pytest.param(
            Reply.stream(20.0, FIRST, 20.0, SECOND),
            {"timeout": 600, "stall_timeout": 50, "first_action_timeout": 30},
            "first_action",
            30.0,
            id="first action",
        ),
    ],
)
def test_a_late_server_is_given_up_in_virtual_time(
    reply: Reply, settings: dict[str, float], phase: str, late_s: float
) -> None:
    """The clocks of a call ring on the virtual clock, at their moment."""

    async def main() -> tuple[DeadlineError, float]:
        async with Server(reply) as server:
            started = now()
            with pytest.raises(DeadlineError) as caught:
                await ask(server, **settings)
            return caught.value, now() - started

    with in_no_time():
        error, took_s = run_virtual(main())
    assert error.phase == phase
    assert took_s == pytest.approx(late_s)


def test_bytes_on_their_way_come_before_the_next_timer() -> None:
    """However near a timer is, what a socket of the same loop has sent arrives before it rings."""

    async def main() -> float:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1):
                writer.write(data)
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(200):
                async with asyncio.timeout(1e-6):
                    writer.write(b"a")
                    await reader.readexactly(1)
            writer.close()
            await writer.wait_closed()
        return now()

    assert run_virtual(main(), grace_s=0.05) == START_S


@contextmanager
def told_later(delay_s: float) -> Generator[socket.socket]:
    """A socket that is sent a word by another thread, after some real seconds."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        later = threading.Timer(delay_s, theirs.send, (b"hello",))
        later.start()
        yield ours
        later.join()


async def hear(ours: socket.socket) -> float:
    """Wait for the word, and no longer than an hour."""
    async with asyncio.timeout(HOUR_S):
        assert await asyncio.get_running_loop().sock_recv(ours, 9) == b"hello"
    return now()


def test_the_clock_does_not_jump_within_the_grace() -> None:
    """What arrives within the grace has come in no time, and before any timer."""
    with told_later(0.05) as ours:
        assert run_virtual(hear(ours), grace_s=20.0) == START_S


def test_the_clock_jumps_after_the_grace() -> None:
    """What is not there by then has not come by the next timer."""
    with told_later(0.5) as ours, in_no_time(), pytest.raises(TimeoutError):
        run_virtual(hear(ours), grace_s=0.01)


def test_without_a_timer_a_socket_is_really_waited_for() -> None:
    """What comes from outside is waited for, and the clock goes with the real one meanwhile."""

    async def main(ours: socket.socket) -> float:
        assert await asyncio.get_running_loop().sock_recv(ours, 9) == b"hello"
        return now()

    with told_later(0.2) as ours:
        assert START_S < run_virtual(main(ours)) < START_S + NO_TIME_S


# --- threads ------------------------------------------------------------------------------------


def test_the_clock_does_not_jump_while_a_thread_works() -> None:
    """A timer of an hour does not ring before a thread that works for a moment is done."""

    async def main() -> float:
        started = now()
        async with asyncio.timeout(HOUR_S):
            await asyncio.to_thread(time.sleep, 0.05)
        return now() - started

    with in_no_time():
        assert 0.05 <= run_virtual(main()) < NO_TIME_S


def test_timers_ring_while_a_thread_works() -> None:
    """A timer that is due before a thread is done rings meanwhile, in real time."""

    async def main(executor: ThreadPoolExecutor) -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, order.append, "timer")
        await loop.run_in_executor(executor, time.sleep, 0.2)
        order.append("thread")
        return order

    with ThreadPoolExecutor(1) as executor:
        assert run_virtual(main(executor)) == ["timer", "thread"]


def test_the_clock_jumps_again_after_a_thread() -> None:
    """A thread that is done, has failed or was given up holds the clock no longer."""

    async def main() -> float:
        await asyncio.to_thread(time.sleep, 0)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        freed = threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.to_thread(freed.wait, 30)
        await asyncio.sleep(HOUR_S)
        freed.set()
        return now()

    with in_no_time():
        assert run_virtual(main()) >= START_S + HOUR_S


def test_a_thread_that_was_given_up_is_joined_at_the_end() -> None:
    """The end waits for what still works in a thread, as that of `asyncio.run` does."""
    worked: list[str] = []

    def work() -> None:
        time.sleep(0.3)
        worked.append("done")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.to_thread(work)

    run_virtual(main())
    assert worked == ["done"]


def test_look_ups_are_waited_for() -> None:
    """A name is looked up in a thread, before a timer that is set."""

    async def main() -> float:
        started = now()
        async with asyncio.timeout(HOUR_S):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        return now() - started

    assert run_virtual(main()) < NO_TIME_S


# --- the end ------------------------------------------------------------------------------------


async def stuck() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("after", ["at once", "an hour", "a thread", "a socket"])
def test_a_deadlock_is_told(after: str) -> None:
    """What nothing can wake is an error with the task's name, also where something could before."""
    cleaned: list[str] = []

    async def main() -> None:
        if after == "an hour":
            await asyncio.sleep(HOUR_S)
        elif after == "a thread":
            await asyncio.to_thread(time.sleep, 0)
        elif after == "a socket":
            async with Server(Reply.stream(FIRST, SECOND)) as server:
                await ask(server)
        task = asyncio.create_task(stuck(), name="dreamer")
        try:
            await task
        finally:
            cleaned.append(after)

    before = sockets()
    with in_no_time(), pytest.raises(RuntimeError, match=r"deadlock.*Task-.*, dreamer"):
        run_virtual(main())
    assert cleaned == [after]
    assert sockets() == before


def test_of_many_that_are_stuck_some_are_named() -> None:
    """The error stays readable."""

    async def main() -> None:
        await asyncio.gather(*(stuck() for _ in range(20)))

    with pytest.raises(RuntimeError, match=r"Task-.* and 16 more"):
        run_virtual(main())


@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_nothing_is_left_behind(ends: str) -> None:
    """Tasks are cancelled, and sockets, threads and the loop are closed, however it ends."""
    tasks: list[asyncio.Task[None]] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        tasks.append(asyncio.create_task(asyncio.sleep(HOUR_S)))
        await asyncio.to_thread(time.sleep, 0)
        async with Server(Reply.stream(1.0, FIRST, SECOND)) as server:
            await ask(server)
            if ends == "raises":
                raise LookupError("enough")

    before, threads = sockets(), threading.active_count()
    try:
        run_virtual(main())
    except LookupError:
        assert ends == "raises"
    assert tasks[0].cancelled()
    assert loops[0].is_closed()
    assert sockets() == before
    assert threading.active_count() == threads


def test_two_runs_are_alike() -> None:
    """A scenario over sockets has the same times, to the bit, whenever it is run."""

    async def main() -> list[float]:
        llm = ScriptedLLM[CortexOutputModel](Turn((SIT,), 3.3, 4.4))
        times: list[float] = []
        async with Server(*(Reply.stream(1.1, FIRST, 2.2, SECOND) for _ in range(5))) as server:
            for _ in range(5):
                await asyncio.gather(ask(server), llm.ask("sit!"))
                times.append(now())
        return times

    assert run_virtual(main()) == run_virtual(main())


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["start_s", "grace_s"])
def test_impossible_times_are_refused(name: str, value: float) -> None:
    """A clock that cannot be is refused by name, and leaves nothing open."""
    before = sockets()
    with pytest.raises(ValueError, match=name):
        VirtualLoop(**{name: value})
    assert sockets() == before
