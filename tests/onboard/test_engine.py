"""The engine: a child that is always there, or a sentence why not; and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import UnavailableError
from reflexarc.onboard.engine import Endpoint, Engine, Supervision
from tests.onboard.conftest import alive, seconds_until_gone

ENDLESS: dict[str, Any] = {
    "stream": True,
    "max_tokens": 100_000,
    "logit_bias": [[2, False]],  # SmolLM2's end of turn: never
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that opens a connection for every request; see the notes of `Endpoint`."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


def ask(
    http: aiohttp.ClientSession, endpoint: Endpoint, key: str | None = None, **extra: Any
) -> Any:
    """Ask the model for a few words."""
    return http.post(
        f"{endpoint.base_url}/chat/completions",
        headers={"Authorization": f"Bearer {key or endpoint.api_key}"},
        json={
            "messages": [{"role": "user", "content": "Say hello."}],
            "max_tokens": 4,
            **extra,
        },
    )


async def replaced(engine: Engine, dead: Endpoint) -> Endpoint:
    """Wait until another child serves than the one that was killed."""
    while True:
        endpoint = await engine.ready()
        if endpoint != dead:
            return endpoint
        await asyncio.sleep(0.005)


def threads_of(pid: int) -> int:
    """Count the threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def is_reaped(pid: int) -> bool:
    """Whether nothing is left of a process, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


async def test_the_model_answers_whoever_has_the_key(
    model_path: Path, http: aiohttp.ClientSession
) -> None:
    """The endpoint answers a chat completion under the model's alias, and 401 to another key."""
    async with Engine(model_path, alias="smol") as engine:
        endpoint = await engine.ready()
        async with ask(http, endpoint) as reply:
            answer = await reply.json()
        assert reply.status == 200
        assert answer["model"] == "smol"
        assert answer["choices"][0]["message"]["content"]
        async with ask(http, endpoint, key="guess") as reply:
            assert reply.status == 401
    assert endpoint.api_key not in repr(endpoint)


async def test_context_and_threads_reach_the_child(
    model_path: Path, http: aiohttp.ClientSession
) -> None:
    """The context asked for is the context served, and the threads asked for are run."""
    threads = []
    for count in (1, 2):
        async with Engine(model_path, alias="a", context_tokens=512, threads=count) as engine:
            endpoint = await engine.ready()
            async with ask(http, endpoint, messages=[{"role": "user", "content": "a " * 600}]) as r:
                error = (await r.json())["error"]
            assert (error["type"], error["n_ctx"]) == ("exceed_context_size_error", 512)
            threads.append(threads_of(endpoint.pid))
    assert threads[1] == threads[0] + 1


def test_making_an_engine_starts_nothing() -> None:
    """An engine can be made without an event loop, a model or a process."""
    engine = Engine(Path("nowhere.gguf"), alias="a")
    assert repr(engine) == "Engine('nowhere.gguf', alias='a')"


async def test_a_killed_child_is_replaced(model_path: Path, http: aiohttp.ClientSession) -> None:
    """After kill -9 whoever waits gets a new child with a new key, and it answers."""
    async with Engine(model_path, alias="a") as engine:
        first = await engine.ready()
        os.kill(first.pid, signal.SIGKILL)
        second = await replaced(engine, first)
        assert second.pid != first.pid
        assert second.base_url != first.base_url
        assert second.api_key != first.api_key
        async with ask(http, second) as reply:
            assert reply.status == 200
        assert not alive(first.pid)


async def test_a_child_killed_while_it_speaks_is_replaced(
    model_path: Path, http: aiohttp.ClientSession
) -> None:
    """Kill -9 in the middle of a stream breaks that stream, not the engine."""
    async with Engine(model_path, alias="a") as engine:
        first = await engine.ready()
        async with ask(http, first, **ENDLESS) as reply:
            await reply.content.readline()
            os.kill(first.pid, signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await reply.read()
        async with ask(http, await replaced(engine, first)) as reply:
            assert reply.status == 200


async def test_waiters_share_one_child(model_path: Path) -> None:
    """Many may wait at once; one that gives up does not take the child from the others."""
    async with Engine(model_path, alias="a") as engine:
        waiters = [asyncio.create_task(engine.ready()) for _ in range(5)]
        await asyncio.sleep(0.01)
        waiters.pop().cancel()
        assert len({endpoint.pid for endpoint in await asyncio.gather(*waiters)}) == 1


async def test_two_engines_do_not_meet(model_path: Path, http: aiohttp.ClientSession) -> None:
    """Two engines in one process serve side by side, and the key of one is refused by the other."""
    async with Engine(model_path, alias="a") as one, Engine(model_path, alias="b") as other:
        a, b = await asyncio.gather(one.ready(), other.ready())
        async with ask(http, a) as reply:
            assert reply.status == 200
        async with ask(http, a, key=b.api_key) as reply:
            assert reply.status == 401


@pytest.mark.parametrize("busy", [True, False])
async def test_closing_leaves_no_process(
    model_path: Path, http: aiohttp.ClientSession, busy: bool
) -> None:
    """Closing ends the child within a second, even during a request, and may be done twice."""
    engine = Engine(model_path, alias="a")
    async with engine:
        endpoint = await engine.ready()
        request = asyncio.create_task(drain(http, endpoint)) if busy else None
        await asyncio.sleep(0.3 if busy else 0)
        began = time.monotonic()
        await engine.aclose()
        assert time.monotonic() - began < 1
        assert is_reaped(endpoint.pid)
        if request:
            with pytest.raises(aiohttp.ClientError):
                await request
        await engine.aclose()
    with pytest.raises(UnavailableError, match="async with"):
        await engine.ready()


async def drain(http: aiohttp.ClientSession, endpoint: Endpoint) -> None:
    """Read a stream that does not end by itself."""
    async with ask(http, endpoint, **ENDLESS) as reply:
        await reply.read()


@pytest.mark.parametrize("after_s", [0, 0.01, 0.05, 0.15])
async def test_giving_up_while_it_starts_leaves_nothing(model_path: Path, after_s: float) -> None:
    """Whoever loses patience at any moment of the start leaves no process, task or pipe."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s), Engine(model_path, alias="a") as engine:
            await engine.ready()


async def test_closing_frees_the_waiters(model_path: Path) -> None:
    """A task that waits for the child learns that the engine was closed."""
    async with Engine(model_path, alias="a") as engine:
        waiter = asyncio.create_task(engine.ready())
        await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="not running"):
        await waiter


async def test_a_cancelled_close_still_closes(model_path: Path) -> None:
    """Cancelling the close does not stop it: the child goes, and a second close waits for that."""
    engine = await Engine(model_path, alias="a").__aenter__()
    endpoint = await engine.ready()
    os.kill(endpoint.pid, signal.SIGSTOP)  # it cannot leave by itself
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await engine.aclose()
    await engine.aclose()
    assert is_reaped(endpoint.pid)


async def test_an_engine_can_be_entered_again(model_path: Path) -> None:
    """A closed engine may be entered again; one that runs may not."""
    engine = Engine(model_path, alias="a")
    async with engine:
        first = await engine.ready()
        with pytest.raises(RuntimeError, match="running already"):
            await engine.__aenter__()
    async with engine:
        assert (await engine.ready()).pid != first.pid


async def test_a_missing_package_is_one_sentence(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where xllamacpp is not installed the error names the command, and no process is started."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    async with Engine(model_path, alias="a") as engine:
        with pytest.raises(UnavailableError, match=r"pip install 'reflexarc\[onboard\]'") as caught:
            await engine.ready()
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Cannot read the model file .*bad.gguf: No such file or directory"),
        (b"<!doctype html>", "bad.gguf is not a GGUF model file"),
        (b"GGUF" + b"\xff" * 999, "llama.cpp cannot load .*said last: .*failed to load model"),
    ],
    ids=["missing", "not GGUF", "rubbish"],
)
async def test_a_bad_model_is_given_up(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """A model that cannot be loaded is a sentence, for every later caller too, and not retried."""
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    async with Engine(path, alias="a", supervision=Supervision(pause_s=0.01)) as engine:
        for _ in range(2):
            with pytest.raises(UnavailableError, match=sentence) as caught:
                await engine.ready()
            assert (caught.value.model, caught.value.retryable) == ("a", False)


async def test_a_python_that_cannot_start_is_one_sentence(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be started at all, the error says what the system said."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with Engine(model_path, alias="a", supervision=Supervision(pause_s=0)) as engine:
        with pytest.raises(UnavailableError, match=r"Cannot start the .*: .*No such file"):
            await engine.ready()


async def test_a_child_that_dies_without_a_word_is_one_sentence(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that dies while it starts is reported with its exit code."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with Engine(model_path, alias="a", supervision=Supervision(pause_s=0)) as engine:
        with pytest.raises(UnavailableError, match="ended with exit code 1 while starting"):
            await engine.ready()


async def test_a_start_that_takes_too_long_is_ended(model_path: Path) -> None:
    """A child that is not ready in time is killed, and the error says how long it was given."""
    rules = Supervision(start_s=0.02, attempts=1)
    async with Engine(model_path, alias="a", supervision=rules) as engine:
        with pytest.raises(UnavailableError, match=r"was not ready after 0\.02 s"):
            await engine.ready()


class Pauses:
    """A sleep that only remembers how long it was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Remember the pause and skip it."""
        self.asked.append(seconds)


@pytest.mark.parametrize(("steady_s", "expected"), [(60, [0, 0.5, 1.0]), (0, [0, 0])])
async def test_pauses_grow_until_a_child_was_steady(
    model_path: Path, steady_s: float, expected: list[float]
) -> None:
    """The first restart is made at once, the next ones later and later, unless the child lasted."""
    pauses = Pauses()
    rules = Supervision(steady_s=steady_s)
    async with Engine(model_path, alias="a", supervision=rules, sleep=pauses) as engine:
        endpoint = await engine.ready()
        for _ in expected:
            os.kill(endpoint.pid, signal.SIGKILL)
            endpoint = await replaced(engine, endpoint)
    assert pauses.asked == expected


async def test_a_long_pause_is_not_waited_through(model_path: Path) -> None:
    """While the next start is far off, the error says when it is instead of making callers wait."""
    rules = Supervision(pause_s=60, cap_s=60)
    async with Engine(model_path, alias="a", supervision=rules) as engine:
        first = await engine.ready()
        os.kill(first.pid, signal.SIGKILL)
        second = await replaced(engine, first)
        os.kill(second.pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match=r"failed 2 times .*signal 9") as caught:
            await replaced(engine, second)
    assert caught.value.retryable
    assert caught.value.retry_after_s == pytest.approx(60, abs=1)


@given(st.integers(1, 10**9))
def test_pauses_are_bounded_and_never_shrink(failures: int) -> None:
    """However often it failed, the next pause is no shorter and never above the cap."""
    rules = Supervision()
    pause = rules.pause_before_restart(failures)
    assert pause <= rules.pause_before_restart(failures + 1) <= rules.cap_s


async def test_a_talkative_child_is_not_held_up(
    model_path: Path, http: aiohttp.ClientSession
) -> None:
    """The child's log is read all the time: more of it than any pipe holds does not block it."""
    async with Engine(model_path, alias="a") as engine:
        endpoint = await engine.ready()
        url = f"{endpoint.base_url}/models"
        for _ in range(4000):  # each refused key is a line of 70 bytes in the log
            async with http.get(url) as reply:
                assert reply.status == 401
        async with ask(http, endpoint) as reply:
            assert reply.status == 200


PARENT = """
import asyncio, sys
from pathlib import Path
import aiohttp
from reflexarc.onboard.engine import Engine

async def main():
    async with Engine(Path(sys.argv[1]), alias="a") as engine, aiohttp.ClientSession() as http:
        endpoint = await engine.ready()
        if sys.argv[2] == "busy":
            reply = await http.post(
                endpoint.base_url + "/chat/completions",
                headers={"Authorization": "Bearer " + endpoint.api_key},
                json={"messages": [{"role": "user", "content": "hi"}], "stream": True,
                      "max_tokens": 100000, "logit_bias": [[2, False]]},
            )
            await reply.content.readline()
        print(endpoint.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("how", "busy"),
    [
        (signal.SIGKILL, "idle"),
        (signal.SIGKILL, "busy"),
        (signal.SIGTERM, "busy"),
        (signal.SIGINT, "busy"),
    ],
)
def test_no_orphan_is_left(model_path: Path, how: signal.Signals, busy: str) -> None:
    """However the robot's process ends, its child is gone within two seconds, even at work."""
    command = [sys.executable, "-c", PARENT, str(model_path), busy]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(how)
        seconds_until_gone(child, 2)
        parent.wait(2)
