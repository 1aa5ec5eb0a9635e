"""The guards of conftest.py really guard."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

import reflexarc

pytest_plugins = ["pytester"]

# The kernel itself has no TCP route to it: were the guard broken, still no packet would leave.
NOWHERE = "255.255.255.255"


def test_a_connection_to_another_machine_is_refused(refused: list[str]) -> None:
    """A connect that leaves the machine fails before the kernel sees it, and is remembered."""
    with socket.socket() as outside, pytest.raises(RuntimeError, match="this machine only"):
        outside.connect((NOWHERE, 9))
    assert refused == [f"a connection to {NOWHERE}"]
    refused.clear()


async def test_a_look_up_of_another_machine_is_refused(refused: list[str]) -> None:
    """A name is not looked up either, whichever thread asks."""
    with pytest.raises(RuntimeError, match="this machine only"):
        await asyncio.get_running_loop().getaddrinfo("robot.invalid", 80)
    assert refused == ["a look-up of 'robot.invalid'"]
    refused.clear()


async def test_this_machine_may_be_reached(tmp_path: Path) -> None:
    """Loopback by name and number, and unix sockets, are open."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for start, connect, arguments in (
        (asyncio.start_server, asyncio.open_connection, {"host": "localhost"}),
        (
            asyncio.start_unix_server,
            asyncio.open_unix_connection,
            {"path": str(tmp_path / "s")},
        ),
    ):
        async with await start(hang_up, **arguments) as server:
            if "host" in arguments:
                arguments["port"] = server.sockets[0].getsockname()[1]
            reader, writer = await connect(**arguments)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


async def test_a_blocking_call_is_found_in_our_own_code() -> None:
    """time.sleep in a coroutine of the package fails the test."""
    assert reflexarc.__file__
    elsewhere = str(Path(reflexarc.__file__).with_name("sleepy.py"))
    code = "async def nap():\n    import time\n    time.sleep(0)"
    names: dict[str, object] = {}
    exec(compile(code, elsewhere, "exec"), names)  # a module of ours, as far as its file name tells
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        await names["nap"]()
    time.sleep(0)  # noqa: ASYNC251 - nobody of ours below this frame


def test_what_an_async_test_leaves_behind_fails_it(pytester: pytest.Pytester) -> None:
    """A task, socket or child process still there at the end is an error; a tidy test passes."""
    root = Path(__file__).parents[1]  # conftest.py imports tests.leftovers
    pytester.makeini(f"[pytest]\nanyio_mode = auto\npythonpath = {root}")
    pytester.makeconftest((Path(__file__).with_name("conftest.py")).read_text())
    pytester.makepyfile(
        """
        import asyncio, socket, subprocess, sys

        kept = []

        async def test_tidy():
            await asyncio.create_task(asyncio.sleep(0))

        async def test_task():
            kept.append(asyncio.create_task(asyncio.sleep(9)))

        async def test_socket():
            kept.append(socket.socket())

        async def test_process():
            # Ends by itself when this process, which holds its input, does.
            kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, errors=3)
    for thing in ("task * in sleep", "socket", "process"):
        result.stdout.fnmatch_lines([f"*left behind: {thing}*"])
