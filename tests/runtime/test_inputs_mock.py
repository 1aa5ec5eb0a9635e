"""Programs that connect tell the robot what it senses; pages of other sites do not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from reflexarc.errors import ConfigError
from reflexarc.prompt import Prompt
from reflexarc.runtime.inputs import Board, Script
from reflexarc.runtime.mock_input import LARGEST_FRAME, MockInput
from reflexarc.testing import ScriptedLLM
from reflexarc.types import CortexOutputModel
from tests.leftovers import handles


class Heard(Board):
    """A board that remembers everything that was put on it."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, str]] = []

    def put(self, source: str, text: str) -> None:
        """Remember, and put."""
        self.all.append((source, text))
        super().put(source, text)


@asynccontextmanager
async def listening(**config: Any) -> AsyncIterator[tuple[MockInput, Heard]]:
    """A mock input at a free port, with the board that it fills."""
    input_, board = MockInput(**{"port": 0, **config}), Heard()
    running = asyncio.create_task(input_.run(board))
    while not (input_.port or running.done()):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.001)
    try:
        yield input_, board
    finally:
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled(), running.exception()


@asynccontextmanager
async def client(
    input_: MockInput, *, path: str = "/", host: str = "127.0.0.1", **headers: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A program that connects."""
    url = f"ws://{host}:{input_.port}{path}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as made:
        yield made


async def answer(connection: aiohttp.ClientWebSocketResponse) -> str:
    """What is answered."""
    return await connection.receive_str(timeout=5)


@pytest.mark.parametrize("path", ["/", "/any/where?at=all"])
async def test_a_frame_is_sensed_as_it_is(path: str) -> None:
    """A text frame is on the board under the input's name, and answered."""
    text = " You see:\n a person with a dog 🐕 "
    named = listening(input_name="Camera")
    async with named as (input_, board), client(input_, path=path) as connection:
        await connection.send_str(text)
        assert await answer(connection) == f"Received: {text}"
        await connection.send_bytes("À gauche !".encode())
        assert await answer(connection) == "Received: À gauche !"
    assert board.all == [("Camera", text), ("Camera", "À gauche !")]


async def test_no_text_is_refused_and_the_next_heard() -> None:
    """Bytes that are no UTF-8 are answered with an error, and the connection stays."""
    async with listening() as (input_, board), client(input_) as connection:
        await connection.send_bytes(b"\xff\xfe")
        assert (await answer(connection)).startswith("Error: ")
        await connection.send_str("Sit!")
        assert await answer(connection) == "Received: Sit!"
        assert board.all == [("Mock Input", "Sit!")]


async def test_empty_frames_are_ignored() -> None:
    """A frame without text is neither sensed nor answered."""
    async with listening() as (input_, board), client(input_) as connection:
        for empty in ("", " \n"):
            await connection.send_str(empty)
        await connection.send_bytes(b"")
        await connection.send_str("Sit!")
        assert await answer(connection) == "Received: Sit!"
        assert board.all == [("Mock Input", "Sit!")]


async def test_frames_have_a_largest_size() -> None:
    """A frame of 64 kB is taken; a larger one closes the connection with code 1009, not others."""
    largest = "x" * LARGEST_FRAME
    async with listening() as (input_, board), client(input_) as other:
        async with client(input_) as connection:
            await connection.send_str(largest)
            assert await answer(connection) == f"Received: {largest}"
            await connection.send_str(largest + "x")
            closing = await connection.receive(timeout=5)
            assert closing.type is aiohttp.WSMsgType.CLOSE
            assert connection.close_code == 1009
        await other.send_str("Sit!")
        assert await answer(other) == "Received: Sit!"
        assert [text for _, text in board.all] == [largest, "Sit!"]


async def test_several_programs_may_tell() -> None:
    """Clients come, go and break off as they like; each is heard and gets its own answers."""
    async with listening() as (input_, board):
        async with client(input_) as first, client(input_) as second, client(input_) as third:
            await first.send_str("one")
            await second.send_str("two")
            assert await answer(second) == "Received: two"
            assert await answer(first) == "Received: one"
            transport = third.get_extra_info("socket")
            await third.send_str("three")
            assert transport is not None
            third._response.close()  # without goodbye, and without reading its answer
            await first.send_str("four")
            assert await answer(first) == "Received: four"
        assert {text for _, text in board.all} >= {"one", "two", "four"}


async def test_cancelling_closes_all() -> None:
    """Cancelled, it says goodbye to its clients, and frees its port."""
    async with aiohttp.ClientSession() as session:
        async with listening() as (input_, _):
            connection = await session.ws_connect(f"ws://127.0.0.1:{input_.port}")
            waiting = asyncio.create_task(connection.receive(timeout=5))
            await asyncio.sleep(0.01)
        assert (await waiting).type is aiohttp.WSMsgType.CLOSE
        assert connection.close_code == 1001
    async with listening(port=input_.port):
        pass


async def test_who_never_reads_is_left() -> None:
    """A client that takes no answers holds up neither the others nor the end."""
    async with aiohttp.ClientSession() as session:
        async with listening() as (input_, board):
            deaf = await session.ws_connect(f"ws://127.0.0.1:{input_.port}")

            async def talk() -> None:
                while True:
                    await deaf.send_str("x" * LARGEST_FRAME)

            talking = asyncio.create_task(talk())
            heard = -1
            while heard < len(board.all):  # until no more is heard of it
                heard = len(board.all)
                await asyncio.sleep(0.1)
            assert heard
            async with client(input_) as other:
                await other.send_str("Sit!")
                assert await answer(other) == "Received: Sit!"
            leftovers = handles()
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 3
        talking.cancel()
        await asyncio.wait({talking})
        # Its side of the connection is gone although nothing was read from it.
        assert len(leftovers.keys() - handles().keys()) >= 2


@pytest.mark.parametrize(
    ("headers", "is_heard"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Origin": "http://localhost:8000"}, True),
        ({"Origin": "http://[::1]"}, True),
        ({"Host": "localhost:8765"}, True),
        ({"Host": "[::1]:8765"}, True),
        ({"Origin": "http://example.org"}, False),
        ({"Origin": "https://127.0.0.1.example.org"}, False),
        ({"Origin": "http://localhost.example.org:8765"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "file://localhost"}, False),
        ({"Origin": "http://["}, False),
        ({"Host": "example.org"}, False),
        ({"Host": "example.org:8765", "Origin": "http://example.org:8765"}, False),
        ({"Host": "127.0.0.1.example.org"}, False),
        ({"Host": ""}, False),
        ({"Host": "["}, False),
        ({"Host": "192.168.1.20"}, False),
    ],
)
async def test_pages_of_others_are_refused(headers: dict[str, str], is_heard: bool) -> None:
    """At this machine's own address neither another site's page nor another name is served."""
    async with listening() as (input_, board):
        if not is_heard:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with client(input_, **headers):
                    pytest.fail("it is connected")
            assert caught.value.status == 403
            assert not board.all
            return
        async with client(input_, **headers) as connection:
            await connection.send_str("Sit!")
            assert await answer(connection) == "Received: Sit!"


async def test_no_host_at_all_is_refused() -> None:
    """An old client that names no host is told that it must."""
    async with listening() as (input_, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", input_.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 403 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("headers", "is_heard"),
    [
        ({"Host": "robot.example"}, True),
        ({"Host": "robot.example:8765", "Origin": "http://robot.example:8000"}, True),
        ({"Host": "robot.example", "Origin": "http://127.0.0.1"}, False),
        ({"Host": "robot.example", "Origin": "http://example.org"}, False),
        ({"Host": "robot.example", "Origin": "null"}, False),
    ],
)
async def test_at_every_address_names_are_free(headers: dict[str, str], is_heard: bool) -> None:
    """Listening at all addresses, it is found by any name; pages of other sites stay refused."""
    async with listening(host="0.0.0.0") as (input_, _):
        if is_heard:
            async with client(input_, **headers):
                return
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with client(input_, **headers):
                pytest.fail("it is connected")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_no_websocket_is_told(method: str) -> None:
    """A browser that opens the address is told what it is, and nothing is sensed."""
    async with listening() as (input_, board), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{input_.port}"
        async with session.request(method, url, data=b"Sit!" * (method == "POST")) as response:
            assert response.status == 426
            assert "WebSocket" in await response.text()
    assert not board.all


async def test_a_busy_port_is_told() -> None:
    """Where another program has the port, the error names it and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            await MockInput(port=port).run(Board())
    assert caught.value.message == (
        f"Mock Input cannot listen at 127.0.0.1 port {port}: another program has it; "
        "end that program, or choose another port"
    )


async def test_an_address_of_others_is_told() -> None:
    """An address that this machine does not have is a mistake in the configuration."""
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 port 8765: this machine does not have"):
        await MockInput(host="192.0.2.1").run(Board())


async def test_a_name_that_is_not_there_is_told() -> None:
    """Where the name of the host leads to no address, that is what is wrong."""
    with pytest.raises(ConfigError, match="its name cannot be found; choose another host"):
        await MockInput(host="fe80::1%nowhere").run(Board())


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"port": 65_536}, "'port': input should be less than or equal to 65535"),
        ({"port": -1}, "'port': input should be greater than or equal to 0"),
        ({"port": True}, "'port': must be a number, not true or false"),
        ({"host": ""}, "'host': string should have at least 1 character"),
        ({"input_name": 5}, "'input_name': input should be a valid string"),
    ],
)
def test_what_cannot_be_is_refused(config: dict[str, Any], says: str) -> None:
    """A wrong setting is named where the input is made."""
    with pytest.raises(ConfigError, match=f"^{says}$"):
        MockInput(**config)


def test_the_defaults_are_om1_s() -> None:
    """Without settings it is where OM1's programs look for it; a port from a variable is text."""
    assert MockInput().port == 8765
    assert MockInput(port="9000").port == 9000  # pyright: ignore[reportArgumentType]


async def test_a_loop_goes_on_without_it() -> None:
    """In a robot a busy port is reported, and the other inputs are heard."""
    from reflexarc.runtime.events import Failed
    from reflexarc.runtime.loop import Loop

    said: list[object] = []
    brain = ScriptedLLM[CortexOutputModel]()
    with socket.create_server(("127.0.0.1", 0)) as other:
        inputs = [MockInput(port=other.getsockname()[1]), Script(["A person says: sit!"])]
        async with brain:
            loop = Loop(
                brain,
                Prompt(system="You are Spot."),
                hertz=1000,
                history_length=0,
                inputs=inputs,
                observe=said.append,
            )
            await loop.run()
    [failed] = [each for each in said if isinstance(each, Failed)]
    assert failed.where == "input"
    assert len(brain.asked) == 1
