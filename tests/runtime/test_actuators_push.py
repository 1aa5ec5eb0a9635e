"""Actions reach a program elsewhere, over real sockets, and what fails there is a sentence here."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

import aiohttp
import pytest
from aiohttp import web

from reflexarc.errors import ConfigError
from reflexarc.runtime.actuators import ActuatorError, Body
from reflexarc.runtime.push import HttpActuator, WebSocketActuator
from reflexarc.types import Action
from tests.leftovers import handles

SIT = Action(type="move", value="sit")
WAG = Action(type="move", value="wag tail")
BYE = Action(type="speak", value="À bientôt 🐕")
SECRET = "sk-4f1c2d3e4b5a6978"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Robot:
    """A program elsewhere that is sent actions; by default it takes all of them."""

    def __init__(
        self, handler: Handler | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.handler = handler
        self.tls = tls
        self.port = 0
        self.requests: list[web.Request] = []
        self.got: list[Any] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.pings = 0
        self.answers_pings = True

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(each.close() for each in self.sockets))
        await self._runner.cleanup()

    def url(self, scheme: str = "http", path: str = "/act") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.handler is not None:
            return await self.handler(request)
        if "Upgrade" in request.headers:
            return await self.hear(request)
        self.got.append(await request.json())
        return web.Response(status=204)

    async def hear(self, request: web.Request) -> web.WebSocketResponse:
        """Take one action a frame."""
        connection = web.WebSocketResponse(timeout=0.2, autoping=False)
        await connection.prepare(request)
        self.sockets.append(connection)
        async for message in connection:
            if message.type is aiohttp.WSMsgType.PING:
                self.pings += 1
                if self.answers_pings:
                    await connection.pong(message.data)
            else:
                assert message.type is aiohttp.WSMsgType.TEXT
                self.got.append(json.loads(message.data))
        return connection


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(status: int, text: str = "", **headers: str) -> Handler:
    """Answer every request the same."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return handler


async def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.005)


# --- HTTP ---------------------------------------------------------------------------------------


async def test_an_action_is_one_post() -> None:
    """Each action is a POST of its own, in order, as JSON with the headers of the configuration."""
    async with Robot() as robot:
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with HttpActuator(robot.url(path="/a/b?c=d"), headers=headers) as actuator:
            for action in (SIT, BYE):
                await actuator.perform(action)
    assert robot.got == [
        {"type": "move", "value": "sit"},
        {"type": "speak", "value": "À bientôt 🐕"},
    ]
    for request in robot.requests:
        assert (request.method, request.path_qs) == ("POST", "/a/b?c=d")
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        assert request.headers["Content-Type"] == "application/json"


async def test_actions_share_a_connection() -> None:
    """The second action does not wait for a new connection."""
    ports: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response(text="done")

    async with Robot(handler) as robot, HttpActuator(robot.url()) as actuator:
        await actuator.perform(SIT)
        await actuator.perform(WAG)
    assert len(set(ports)) == 1


@pytest.mark.parametrize("status", [200, 202, 204, 299])
async def test_any_success_will_do(status: int) -> None:
    """A program there may answer with whatever success it has."""
    async with Robot(answers(status)) as robot, HttpActuator(robot.url()) as actuator:
        await actuator.perform(SIT)
    assert len(robot.requests) == 1


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (500, '{"error": "stuck"}', '500 (Internal Server Error: {"error": "stuck"}); look into'),
        (404, "<html>…</html>", "404 (Not Found: a web page); check url, and headers"),
        (401, "", "401 (Unauthorized); check url, and headers where it wants a key"),
        (600, "", "600 (unknown); check url, and what the program there answers"),
        (500, "x" * 5000, f"Error: {'x' * 299}…); look"),
    ],
    ids=["500", "404", "401", "600", "long"],
)  # fmt: skip
async def test_what_is_not_taken_is_told(status: int, text: str, says: str) -> None:
    """Any other status is an error that says who answered, what, and where to look."""
    async with Robot(answers(status, text)) as robot, HttpActuator(robot.url()) as actuator:
        with pytest.raises(ActuatorError) as caught:
            await actuator.perform(SIT)
    assert str(caught.value).startswith(f"http://127.0.0.1:{robot.port} answered ")
    assert says in str(caught.value)
    assert len(robot.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_no_redirect_is_followed(scheme: str, status: int) -> None:
    """Neither the action nor the headers go where nobody has sent them."""
    async with Robot() as other, Robot() as robot:
        robot.handler = answers(status, Location=other.url(path="/elsewhere"))
        headers = {"Authorization": SECRET}
        make = HttpActuator if scheme == "http" else WebSocketActuator
        async with make(robot.url(scheme), headers=headers) as actuator:
            with pytest.raises(ActuatorError, match=rf"answered {status} .* it leads elsewhere"):
                await actuator.perform(SIT)
    assert len(robot.requests) == 1
    assert not other.requests


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_nobody_there_is_told(scheme: str) -> None:
    """Where nobody listens the error says so, and the next action reaches who listens then."""
    robot = Robot()
    robot.port = free_port()
    make = HttpActuator if scheme == "http" else WebSocketActuator
    async with make(robot.url(scheme)) as actuator:
        with pytest.raises(ActuatorError) as caught:
            await actuator.perform(SIT)
        assert str(caught.value) == (
            f"{scheme}://127.0.0.1:{robot.port} cannot be reached (Connection refused); "
            "check url, and that the program there runs"
        )
        async with robot:
            await actuator.perform(WAG)
            await until(lambda: robot.got)
    assert [each["value"] for each in robot.got] == ["wag tail"]


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_name_that_is_not_there_is_told(scheme: str) -> None:
    """Where a name leads to no address, it is the address that is to be looked at."""
    make = HttpActuator if scheme == "http" else WebSocketActuator
    async with make(f"{scheme}://[fe80::1%25nowhere]:8080") as actuator:
        with pytest.raises(ActuatorError, match=r"^the name in .* cannot be found; check url$"):
            await actuator.perform(SIT)


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_no_tls_is_told(scheme: str) -> None:
    """An address with TLS whose program has none is a mistake in the address."""
    async with Robot() as robot:
        make = HttpActuator if scheme == "https" else WebSocketActuator
        async with make(robot.url(scheme)) as actuator:
            with pytest.raises(ActuatorError, match=r":\d+ does not speak TLS; check url, or try"):
                await actuator.perform(SIT)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_nobody_is_trusted_unseen(scheme: str, certificate: ssl.SSLContext) -> None:
    """Nothing is sent to who shows a certificate that nobody vouches for."""
    robot = Robot(tls=certificate)
    make = HttpActuator if scheme == "https" else WebSocketActuator
    async with robot, make(robot.url(scheme)) as actuator:
        with pytest.raises(ActuatorError, match=r"shows a certificate that is not valid \(.*self"):
            await actuator.perform(SIT)
    assert not robot.requests


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH\r\n"])
async def test_a_broken_answer_is_told(scheme: str, answer: bytes) -> None:
    """A connection that ends before its answer is an error, and no action is sent again."""
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    make = HttpActuator if scheme == "http" else WebSocketActuator
    async with server, make(f"{scheme}://127.0.0.1:{port}", headers={"X-Key": SECRET}) as actuator:
        with pytest.raises(ActuatorError, match=rf":{port} broke the connection before") as caught:
            await actuator.perform(SIT)
    assert SECRET not in repr(caught.value.__cause__)
    assert taken == 1 or scheme == "ws"  # what opens a WebSocket is no action


async def test_a_key_is_in_no_message() -> None:
    """A key of the headers, the path or the query is not shown, also where the answer has it."""
    key, hook, token = SECRET, "hook-0123456789", "query-0123456789"
    said = f"key {key} for /hooks/{hook}?token={token} is wrong"
    async with Robot(answers(403, said)) as robot:
        url = robot.url(path=f"/hooks/{hook}?token={token}")
        headers = {"Authorization": f"Bearer {key}"}
        async with HttpActuator(url, headers=headers) as actuator:
            with pytest.raises(ActuatorError) as caught:
                await actuator.perform(SIT)
            shown = f"{actuator!r} {caught.value} {caught.value.__cause__!r}"
    assert repr(actuator) == f"HttpActuator(http://127.0.0.1:{robot.port})"
    assert "403 (Forbidden: key *** for /hooks/***?token=*** is wrong)" in shown
    assert not [each for each in (key, hook, token) if each in shown]


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_slow_answer_is_given_up(scheme: str) -> None:
    """An action that is not taken in time is given up, and its connection closed."""
    closed = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        while request.transport is not None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.005)
        closed.set()
        return web.Response()

    async with Robot(handler) as robot:
        make = HttpActuator if scheme == "http" else WebSocketActuator
        async with Body({"move": make(robot.url(scheme), timeout=0.1)}) as body:
            with pytest.raises(TimeoutError, match=r"not done within 0\.1 s"):
                await body.perform(SIT)
            await asyncio.wait_for(closed.wait(), 5)
            robot.handler = None
            await body.perform(WAG)
            await until(lambda: robot.got)
    assert [each["value"] for each in robot.got] == ["wag tail"]


# --- WebSocket ----------------------------------------------------------------------------------


async def test_an_action_is_one_frame() -> None:
    """Each action is one text frame of JSON, over one connection, opened with the headers."""
    async with Robot() as robot:
        async with WebSocketActuator(robot.url("ws"), headers={"X-Key": SECRET}) as actuator:
            assert not robot.requests
            for action in (SIT, BYE):
                await actuator.perform(action)
            await until(lambda: len(robot.got) == 2)
        await until(lambda: robot.sockets[0].closed)
    assert robot.got == [
        {"type": "move", "value": "sit"},
        {"type": "speak", "value": "À bientôt 🐕"},
    ]
    [request] = robot.requests
    assert request.headers["X-Key"] == SECRET
    assert robot.sockets[0].close_code == 1000


async def test_a_lost_connection_is_opened_again() -> None:
    """After a connection was closed, the next action goes over a new one."""
    async with Robot() as robot, WebSocketActuator(robot.url("ws")) as actuator:
        await actuator.perform(SIT)
        await until(lambda: robot.got)
        await robot.sockets[0].close()
        await asyncio.sleep(0.02)
        await actuator.perform(WAG)
        await until(lambda: len(robot.got) == 2)
        assert len(robot.sockets) == 2


async def test_a_restart_is_survived() -> None:
    """Where the program there ends and starts again, one action fails and the next is done."""
    async with Robot() as robot:
        actuator = WebSocketActuator(robot.url("ws"))
        await actuator.perform(SIT)
        await until(lambda: robot.got)
    with pytest.raises(ActuatorError, match=r"cannot be reached"):
        await actuator.perform(SIT)
    async with robot:
        await actuator.perform(WAG)
        await until(lambda: len(robot.got) == 2)
        await actuator.aclose()


async def test_a_connection_that_breaks_off_is_opened_again() -> None:
    """A connection that ends without goodbye is noticed as well."""
    async with Robot() as robot, WebSocketActuator(robot.url("ws")) as actuator:
        await actuator.perform(SIT)
        await until(lambda: robot.got)
        transport = robot.requests[0].transport
        assert transport is not None
        transport.abort()
        await asyncio.sleep(0.02)
        await actuator.perform(WAG)
        await until(lambda: len(robot.got) == 2)


async def test_a_live_peer_is_kept() -> None:
    """As long as pings are answered, the connection stays, also where no action comes."""
    async with Robot() as robot, WebSocketActuator(robot.url("ws"), heartbeat=0.05) as actuator:
        await actuator.perform(SIT)
        await until(lambda: robot.pings >= 4)
        await actuator.perform(WAG)
        await until(lambda: len(robot.got) == 2)
    assert len(robot.sockets) == 1


async def test_a_dead_peer_is_noticed() -> None:
    """Where no ping is answered, the connection is given up, and the next action opens another."""
    async with Robot() as robot:
        robot.answers_pings = False
        async with WebSocketActuator(robot.url("ws"), heartbeat=0.05) as actuator:
            await actuator.perform(SIT)
            await until(lambda: robot.pings)
            await asyncio.sleep(0.1)
            robot.answers_pings = True
            await actuator.perform(WAG)
            await until(lambda: len(robot.got) == 2)
    assert len(robot.sockets) == 2


async def test_what_the_peer_says_is_read() -> None:
    """A talkative program there neither fills our memory nor stops its own pings."""

    async def talk(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse(timeout=0.2)
        await connection.prepare(request)
        robot.sockets.append(connection)
        for _ in range(300):  # far more than what sockets hold
            await connection.send_str("x" * 60_000)
        robot.got.append((await connection.receive()).data)
        return connection

    async with Robot(talk) as robot, WebSocketActuator(robot.url("ws")) as actuator:
        await actuator.perform(SIT)
        await until(lambda: robot.got)
    assert json.loads(robot.got[0]) == {"type": "move", "value": "sit"}


async def test_who_does_not_read_is_given_up() -> None:
    """Where the program there stops reading, an action ends at its limit, and so does closing."""
    stop = asyncio.Event()

    async def deaf(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse(timeout=0.2)
        await connection.prepare(request)
        cast("asyncio.Transport", request.transport).pause_reading()
        await stop.wait()
        return connection

    async def act(body: Body) -> None:
        for _ in range(50):
            await body.perform(Action(type="speak", value="x" * 1_000_000))

    async with Robot(deaf) as robot:
        before = handles()
        async with Body({"speak": WebSocketActuator(robot.url("ws"), timeout=0.3)}) as body:
            with pytest.raises(TimeoutError, match="was given up"):
                await act(body)
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 3
        await asyncio.sleep(0.05)
        assert len(handles().keys() - before.keys()) == 1, "the robot's own side"
        stop.set()


async def test_closing_does_not_wait_for_who_does_not_read() -> None:
    """What a program there has not read when the robot ends is dropped with the connection."""
    stop = asyncio.Event()

    async def deaf(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse(timeout=0.2)
        await connection.prepare(request)
        cast("asyncio.Transport", request.transport).pause_reading()
        await stop.wait()
        return connection

    async with Robot(deaf) as robot:
        before = handles()
        async with WebSocketActuator(robot.url("ws")) as actuator:
            await actuator.perform(SIT)
            assert actuator._link is not None
            transport: Any = actuator._link._websocket._writer.transport
            while not transport.get_write_buffer_size():
                await actuator.perform(Action(type="speak", value="x" * 20_000))
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 3
        await asyncio.sleep(0.05)
        assert len(handles().keys() - before.keys()) == 1, "the robot's own side"
        stop.set()


async def test_what_was_given_up_does_not_come_later() -> None:
    """An action that was given up while it waited to be sent is not done when nobody expects it."""
    go = asyncio.Event()

    async def drowsy(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse(timeout=0.2, max_msg_size=0)
        await connection.prepare(request)
        cast("asyncio.Transport", request.transport).pause_reading()
        await go.wait()
        cast("asyncio.Transport", request.transport).resume_reading()
        async for message in connection:
            robot.got.append(message.data)
        return connection

    async with Robot(drowsy) as robot:
        body = Body({"speak": WebSocketActuator(robot.url("ws"), timeout=0.3)})
        with pytest.raises(TimeoutError):
            await body.perform(Action(type="speak", value="x" * 30_000_000))
        go.set()
        async with body:
            await body.perform(BYE)
            await until(lambda: robot.got)
            await asyncio.sleep(0.1)
    assert [json.loads(each)["value"] for each in robot.got] == [BYE.value]


async def test_a_connection_that_breaks_in_a_frame_is_told() -> None:
    """An action that is being sent when the connection breaks is an error; the next one is done."""

    async def deaf(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse(timeout=0.2)
        await connection.prepare(request)
        await asyncio.sleep(0.1)
        assert request.transport is not None
        request.transport.abort()
        return connection

    long = Action(type="speak", value="x" * 30_000_000)
    async with Robot(deaf) as robot, WebSocketActuator(robot.url("ws")) as actuator:
        with pytest.raises(ActuatorError, match=r"broke the connection \(.*\); the next action"):
            await actuator.perform(long)
        robot.handler = None
        await actuator.perform(SIT)
        await until(lambda: robot.got)
    assert robot.got == [{"type": "move", "value": "sit"}]


async def test_no_websocket_there_is_told() -> None:
    """A server that answers otherwise is named with its status, and the headers are not shown."""
    async with Robot(answers(404)) as robot:
        actuator = WebSocketActuator(robot.url("ws"), headers={"X-Key": SECRET})
        with pytest.raises(ActuatorError) as caught:
            await actuator.perform(SIT)
        await actuator.aclose()
    assert str(caught.value).startswith(
        f"ws://127.0.0.1:{robot.port} answered 404 (Not Found) instead of opening a WebSocket; "
    )
    assert caught.value.__cause__ is None


async def test_cancelling_leaves_nothing() -> None:
    """Cancelled while it connects, an actuator has nothing open (the test's own guard looks)."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        started.set()
        await stop.wait()
        return web.Response()

    async with Robot(never) as robot:
        for make, scheme in ((HttpActuator, "http"), (WebSocketActuator, "ws")):

            async def act(make: Any = make, scheme: str = scheme) -> None:
                async with make(robot.url(scheme)) as actuator:
                    await actuator.perform(SIT)

            started.clear()
            acting = asyncio.create_task(act())
            await started.wait()
            acting.cancel()
            await asyncio.wait({acting})
            assert acting.cancelled()
        stop.set()


async def test_closing_twice_is_once() -> None:
    """Who closes again, or before anything was opened, does no harm."""
    async with Robot() as robot:
        for actuator in (HttpActuator(robot.url()), WebSocketActuator(robot.url("ws"))):
            await actuator.aclose()
            await actuator.perform(SIT)
            await actuator.aclose()
            await actuator.aclose()


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "127.0.0.1:8080"}, "'url': is not an address; write it as http://host:port/path"),
        ({"url": "ws://127.0.0.1"}, "'url': is not an address"),
        ({"url": "http:///act"}, "'url': is not an address"),
        ({"url": "http://spot:{SECRET}@127.0.0.1"}, "write it as a header: Authorization"),
        ({"url": "http://127.0.0.1:99999"}, "'url': port out of range"),
        ({"url": "http://127.0.0.1/a b"}, "'url': has a port or white space"),
        ({"url": "http://127.0.0.1:0"}, "'url': has a port or white space"),
        ({"url": 5}, "'url': input should be a valid string"),
        ({"timeout": 0}, "'timeout': must be a number of seconds above 0"),
        ({"timeout": True}, "'timeout': must be a number, not true or false"),
        ({"timeout": float("inf")}, "'timeout': must be a number of seconds above 0"),
        ({"headers": ["X-Key"]}, "'headers': must be an object; write it in braces"),
        ({"headers": {"X Key": SECRET}}, "'headers': holds a name that no header can have"),
        ({"headers": {"X-Key": f"{SECRET}\r\nHost: evil"}}, "a value for X-Key with a line break"),
        ({"headers": {"X-Key": f"{SECRET} "}}, "white space around it"),
        ({"headers": {"X-Key": 5}}, "'headers.X-Key': input should be a valid string"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    """A wrong setting is named where the actuator is made, and no key is shown."""
    with pytest.raises(ConfigError) as caught:
        HttpActuator(**{"url": "http://127.0.0.1", **settings})
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("settings", [{"url": "http://127.0.0.1"}, {"heartbeat": 0}])
def test_a_websocket_has_its_own(settings: dict[str, Any]) -> None:
    """Its address begins with ws, and its heart beats."""
    with pytest.raises(ConfigError, match=f"'{next(iter(settings))}'"):
        WebSocketActuator(**{"url": "ws://127.0.0.1", **settings})


def test_settings_are_read_as_in_a_file() -> None:
    """A number from a variable is text, and taken; the port of an address may be left out."""
    actuator = HttpActuator("http://[::1]/act", timeout="2.5")  # pyright: ignore[reportArgumentType]
    assert actuator.timeout_s == 2.5
    assert repr(actuator) == "HttpActuator(http://[::1])"
