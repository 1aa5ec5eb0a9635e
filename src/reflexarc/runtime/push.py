"""Actuators that are elsewhere: each action is sent there as JSON.

One action is ``{"type": "move", "value": "sit"}``: the body of an HTTP POST, or a text frame of a
WebSocket. Nothing is sent twice, since whoever got the first may have acted on it.
"""

from __future__ import annotations

import asyncio
import asyncio.trsock
import logging
import os
import re
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from http.client import responses
from types import SimpleNamespace
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from pydantic import AfterValidator, Field

from reflexarc.checks import Frozen, Seconds
from reflexarc.errors import ConfigError, quote
from reflexarc.hosts import is_open
from reflexarc.providers.connection import IDLE_S
from reflexarc.redaction import SHORTEST_SECRET, hidden
from reflexarc.runtime.actuators import Actuator, ActuatorError
from reflexarc.runtime.settings import checked
from reflexarc.types import Action

_log = logging.getLogger(__name__)

_BROKEN = (aiohttp.ClientError, OSError)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HOLDS_A_KEY = re.compile(r"auth|key|token|secret|password|cookie", re.IGNORECASE)
_LONGEST_REASON = 2000
_NO_WEBSOCKET = " instead of opening a WebSocket"
_GOODBYE_S = 0.5  # for the other side to say that it closes as well
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: forget what was not sent yet

_ADVICE: Mapping[int, str] = {
    3: "it leads elsewhere; write the address that it leads to as url",
    4: "check url, and headers where it wants a key",
    5: "look into the log of the program there",
}
_ELSE = "check url, and what the program there answers"


def _check_url(url: str, kind: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {kind, f"{kind}s"} or not parts.hostname:
        raise ValueError(f"is not an address; write it as {kind}://host:port/path")
    if "@" in parts.netloc:
        raise ValueError("has a user or password in it; write it as a header: Authorization")
    if parts.port == 0 or any(map(str.isspace, url)):  # asking for the port checks it, too
        raise ValueError("has a port or white space that no address has")
    return url


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("holds a name that no header can have")
        if not value.isprintable() or value != value.strip():
            raise ValueError(
                f"holds a value for {name} with a line break, or with white space around it"
            )
    return headers


class _Place(Frozen):
    """Where actions go."""

    timeout: Seconds
    headers: Annotated[dict[str, str], AfterValidator(_check_headers)]
    allow_plain_http: bool


class _HttpPlace(_Place):
    url: Annotated[str, AfterValidator(lambda url: _check_url(url, "http"))]


class _WebSocketPlace(_Place):
    url: Annotated[str, AfterValidator(lambda url: _check_url(url, "ws"))]
    heartbeat: Seconds = Field(le=3600)


class _Push(Actuator):
    """What both ways share: one session, and the words for its failures."""

    def __init__(self, place: _HttpPlace | _WebSocketPlace) -> None:
        parts = urlsplit(place.url)
        host, port = parts.hostname or "", parts.port
        self._url = place.url
        keys = list(filter(_HOLDS_A_KEY.search, place.headers))
        if keys and is_open(place.url) and not place.allow_plain_http:
            raise ConfigError(
                f"the header {keys[0]} would travel unencrypted to {parts.netloc}; write "
                f"{parts.scheme}s://{parts.netloc}, or, where the network is yours alone, "
                "allow_plain_http: true"
            )
        # The path and the query of a webhook are its key, so that messages do without.
        self._name = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}"
        self._name += "" if port is None else f":{port}"
        self._headers = place.headers
        words = [word for value in place.headers.values() for word in value.split()]
        words += [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
        secrets = {word for word in words if len(word) >= SHORTEST_SECRET}
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._session: aiohttp.ClientSession | None = None
        self.timeout_s = place.timeout

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(_stay)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=IDLE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                trace_configs=[trace],
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _refused(self, status: int, said: str = "", instead: str = "") -> ActuatorError:
        """Say why an action was not taken, in the other side's words and without our keys."""
        for secret in self._secrets:
            said = hidden(said, secret)
        quoted = f": {quote(said)}" if said.strip() else ""
        what = f"{status} ({responses.get(status, 'unknown')}{quoted}){instead}"
        return ActuatorError(f"{self._name} answered {what}; {_ADVICE.get(status // 100, _ELSE)}")

    def _unreachable(self, error: aiohttp.ClientConnectorError) -> ActuatorError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return ActuatorError(
                f"{self._name} shows a certificate that is not valid ({error.certificate_error}); "
                "check url, this machine's clock, and who signed it"
            )
        if isinstance(error, aiohttp.ClientSSLError):
            plain = "http:// or ws://"
            return ActuatorError(f"{self._name} does not speak TLS; check url, or try {plain}")
        if isinstance(error.os_error, socket.gaierror):
            return ActuatorError(f"the name in {self._name} cannot be found; check url")
        code = error.os_error.errno
        why = str(error.os_error) if code is None else os.strerror(code)
        advice = "check url, and that the program there runs"
        return ActuatorError(f"{self._name} cannot be reached ({why}); {advice}")


async def _stay(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    redirect: aiohttp.TraceRequestRedirectParams,
) -> None:
    """Follow no redirect: it would carry the headers, and the robot's actions, elsewhere."""
    response = redirect.response
    response.close()
    raise aiohttp.WSServerHandshakeError(
        response.request_info, (), status=response.status, message="redirect"
    )


class HttpActuator(_Push):
    """Sends each action by a POST of its own; any status from 200 to 299 means that it is done.

    Parameters
    ----------
    url : str
        Where to; redirects are not followed.
    timeout : float, default 10.0
        Seconds until the answer.
    headers : mapping of str to str or None, default None
        Sent with each; where a key is wanted, ``{"Authorization": "Bearer …"}``.
    allow_plain_http : bool, default False
        Whether a header with a key may travel unencrypted to another machine.

    Raises
    ------
    ConfigError
        If one of them cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        settings = {"url": url, "timeout": timeout, "headers": headers or {}}
        super().__init__(checked(_HttpPlace, **settings, allow_plain_http=allow_plain_http))

    async def perform(self, action: Action) -> None:
        """Send it, and wait until it is done."""
        posting = self._opened().post(self._url, json=_written(action), allow_redirects=False)
        try:
            async with posting as response:
                status = response.status
                if 200 <= status < 300:
                    return
                said = await response.content.read(_LONGEST_REASON)
        except aiohttp.ClientConnectorError as error:
            raise self._unreachable(error) from error
        except _BROKEN as error:
            raise ActuatorError(
                f"{self._name} broke the connection before its answer ({type(error).__name__}); "
                "it may have acted or not"
            ) from None  # the cause may show the headers
        raise self._refused(status, said.decode("utf-8", "replace"))


class WebSocketActuator(_Push):
    """Sends each action as a text frame, over a connection that stays open.

    It is opened by the first action, and by the next one where it was lost. Nothing tells that the
    other side has acted: an action that is sent is done. What the other side sends is not read.

    Parameters
    ----------
    url : str
        Where to, ``ws://…`` or ``wss://…``; redirects are not followed.
    timeout : float, default 10.0
        Seconds for one action, opening the connection included.
    headers : mapping of str to str or None, default None
        Sent when the connection is opened.
    allow_plain_http : bool, default False
        Whether a header with a key may travel unencrypted to another machine.
    heartbeat : float, default 10.0
        Seconds between two pings; without an answer for half as long, the connection is lost.

    Raises
    ------
    ConfigError
        If one of them cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
        allow_plain_http: bool = False,
        heartbeat: float = 10.0,
    ) -> None:
        settings = {"url": url, "timeout": timeout, "headers": headers or {}}
        settings["allow_plain_http"] = allow_plain_http
        place = checked(_WebSocketPlace, **settings, heartbeat=heartbeat)
        super().__init__(place)
        self._heartbeat_s = place.heartbeat
        self._link: _Link | None = None
        self._one_at_a_time = asyncio.Lock()

    async def perform(self, action: Action) -> None:
        """Send it, over a new connection if there is none."""
        async with self._one_at_a_time:
            link = await self._linked()
            try:
                await link.send(action)
            except _BROKEN as error:
                raise ActuatorError(
                    f"{self._name} broke the connection ({type(error).__name__}); "
                    "the next action opens another"
                ) from error

    async def aclose(self) -> None:
        """Say goodbye, and close the connection; may be called twice."""
        await self._unlink()
        await super().aclose()

    async def _linked(self) -> _Link:
        if self._link is not None and not self._link.is_lost:
            return self._link
        await self._unlink()
        connecting = self._opened().ws_connect(
            self._url,
            heartbeat=self._heartbeat_s,
            timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),  # pyright: ignore[reportCallIssue] - by attrs
        )
        try:
            self._link = _Link(await connecting)
        except aiohttp.WSServerHandshakeError as error:
            raise self._refused(error.status, instead=_NO_WEBSOCKET) from None  # shows headers
        except aiohttp.ClientConnectorError as error:
            raise self._unreachable(error) from error
        except _BROKEN as error:
            raise ActuatorError(
                f"{self._name} broke the connection before it was a WebSocket "
                f"({type(error).__name__}); check url"
            ) from None
        return self._link

    async def _unlink(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()


class _Link:
    """One connection, and who reads from it: else neither its end nor a ping would be noticed."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._wire: asyncio.trsock.TransportSocket = websocket.get_extra_info("socket")
        self._reading = asyncio.create_task(self._read(), name="websocket")
        self._is_cut = False

    @property
    def is_lost(self) -> bool:
        return self._is_cut or self._reading.done() or self._websocket.closed

    async def _read(self) -> None:
        async for message in self._websocket:
            _log.debug("the program there says something: %s", message.type)

    async def send(self, action: Action) -> None:
        """Send it; if that is given up, it is not to arrive later, when nobody expects it."""
        try:
            await self._websocket.send_json(_written(action))
        except BaseException:
            self._cut()
            raise

    def _cut(self) -> None:
        """Drop the connection with all that waits in it."""
        self._is_cut = True
        with suppress(OSError):  # it is closed already
            self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._wire.shutdown(socket.SHUT_RDWR)

    async def aclose(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * _GOODBYE_S):
                    await self._websocket.close()
        finally:
            self._cut()
            self._reading.cancel()
            await asyncio.wait({self._reading})


def _written(action: Action) -> dict[str, str]:
    return {"type": action.type, "value": action.value}
