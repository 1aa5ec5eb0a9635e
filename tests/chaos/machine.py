"""What a fault does to this machine as the robot sees it: names, the time of day, certificates.

And what the machine says of the robot: exceptions that nobody has handled.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .faults import Names

NAME_HANGS_S = 10.0


@contextmanager
def complaints(found: list[str]) -> Iterator[None]:
    """Collect what would only be logged: what nobody retrieved, raised or handled."""

    class Errors(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(f"logged: {record.getMessage()} {record.exc_info or ''}".strip())

    def unraisable(what: Any) -> None:
        found.append(f"unraisable: {what.exc_value!r} in {what.object!r}")

    def in_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        found.append(f"in the loop: {context['message']} {context.get('exception')!r}")

    loop, root, errors = asyncio.get_running_loop(), logging.getLogger(), Errors(logging.ERROR)
    root.addHandler(errors)
    loop.set_exception_handler(in_loop)
    before, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        yield
    finally:
        sys.unraisablehook = before
        loop.set_exception_handler(None)
        root.removeHandler(errors)


@contextmanager
def looked_up(names: Names | None) -> Iterator[None]:
    """Script the look-up of names; a real one is made for this machine alone."""
    real, over = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in (None, "localhost", "127.0.0.1"):
            return real(host, *args, **kwargs)
        if names == "hanging":
            over.wait(NAME_HANGS_S)
        raise socket.gaierror(socket.EAI_NONAME, "as if asked")

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        over.set()
        socket.getaddrinfo = real


class WallClock:
    """The time of day, as far as it can be set here."""

    def __init__(self) -> None:
        self.real, self.real_ns = time.time, time.time_ns
        self._ahead_s = 0.0

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._ahead_s += seconds

    def time(self) -> float:
        """Instead of `time.time`."""
        return self.real() + self._ahead_s

    def time_ns(self) -> int:
        """Instead of `time.time_ns`."""
        return self.real_ns() + int(self._ahead_s * 1e9)


@contextmanager
def wall_clock() -> Iterator[WallClock]:
    """A clock that can be set; it is right again afterwards."""
    clock = WallClock()
    time.time, time.time_ns = clock.time, clock.time_ns
    try:
        yield clock
    finally:
        time.time, time.time_ns = clock.real, clock.real_ns


def untrusted() -> ssl.SSLContext:
    """A server's context with a certificate that it has signed itself."""
    with tempfile.TemporaryDirectory() as folder:
        key, cert = Path(folder, "key.pem"), Path(folder, "cert.pem")
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        name = "-days 2 -subj /CN=robot -addext subjectAltName=IP:127.0.0.1"
        files = ["-keyout", str(key), "-out", str(cert)]
        subprocess.run([*make.split(), *name.split(), *files], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    return context
