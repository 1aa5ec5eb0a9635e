"""What holds for every test: no network, no keys, nothing blocks, nothing is left behind."""

from __future__ import annotations

import functools
import importlib.util
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.leftovers import Leftovers

# Code called from these packages must not block; what only third parties do is theirs to mend.
WATCHED = [name for name in ("reflexarc", "llm") if importlib.util.find_spec(name)]
SECRET_ENDINGS = ("_API_KEY", "_PROXY")
# The guard below sees this process only; what installs packages is a child of it.
CLOSED_TO_INSTALLERS = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INDEX": "1",
    "UV_NO_CONFIG": "1",
    "UV_OFFLINE": "1",
}
SHOWN = 5

# A busy machine is no bug; what hypothesis chooses by itself where CI is set stays.
hypothesis.settings.register_profile(
    "unhurried", hypothesis.settings(), deadline=None, max_examples=60
)
hypothesis.settings.load_profile("unhurried")


# llama.cpp's threads spin while they wait for each other; two workers with two each would starve.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


class OutsideError(RuntimeError):
    """A test tried to reach another machine; no OSError, so that nothing takes it for weather."""


_refused: list[str] = []


def _checked_address(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(sock: socket.socket, *args: Any) -> Any:
        # A unix socket's address is a path; only (host, port, …) can lead outside.
        match args[-1]:
            case (host, *_) if not _is_here(host):
                _refuse(f"a connection to {host}")
            case _:
                pass
        return method(sock, *args)

    return guarded


def _checked_name(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def guarded(host: object, *args: Any, **kwargs: Any) -> Any:
        if not (_is_here(host) or _as_ip(host)):
            _refuse(f"a look-up of {host!r}")
        return function(host, *args, **kwargs)

    return guarded


def _is_here(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    ip = _as_ip(host)
    return ip is not None and ip.is_loopback


def _as_ip(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        text = host.decode() if isinstance(host, bytes) else str(host)
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _refuse(what: str) -> None:
    _refused.append(what)
    raise OutsideError(f"The test asked for {what}; tests talk to this machine only.")


# No audit hook: up to Python 3.11 one written in Python lets another thread in while coverage
# installs its trace function, and the thread that starts then dies ("Cannot install a trace …").
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, _checked_address(getattr(socket.socket, name)))
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    setattr(socket, name, _checked_name(getattr(socket, name)))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No key, proxy, package index or robot of the person running the tests reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().endswith(SECRET_ENDINGS) or name.startswith(("PIP_", "UV_")):
                patch.delenv(name)
        for name, value in CLOSED_TO_INSTALLERS.items():
            patch.setenv(name, value)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def refused() -> Iterator[list[str]]:
    """Fail the test for what it asked of the outside, even where the code swallowed the error."""
    _refused.clear()
    yield _refused
    if _refused:
        pytest.fail(
            f"The network is closed to tests, but this one asked for {', '.join(_refused)}."
        )


@pytest.fixture(scope="session", autouse=True)
def blocking_calls() -> Iterator[BlockBuster]:
    """Fail every blocking call below our own packages while an event loop runs."""
    with blockbuster_ctx(scanned_modules=WATCHED) as detector:
        # Held for the length of a dictionary's copy, and by the measuring of coverage only.
        lock = detector.functions["threading.Lock.acquire"]
        lock.can_block_in("coverage/collector.py", "lock_data")
        yield detector


@pytest.fixture(autouse=True)
def _tidy(request: pytest.FixtureRequest) -> None:
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("leaves_nothing_behind")


@pytest.fixture
async def leaves_nothing_behind() -> AsyncIterator[None]:
    """Fail an async test that ends with a task, socket or child process it did not begin with."""
    leftovers = Leftovers()
    yield
    if left := await leftovers.wait():
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        pytest.fail(f"The test left behind: {', '.join(left[:SHOWN])}{more}.")
