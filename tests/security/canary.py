"""Keys that stand where a robot's keys stand, and a look for them in everything that comes out."""

from __future__ import annotations

import threading
from asyncio import new_event_loop, set_event_loop
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote

from reflexarc.testing import Received, Reply, Server

PLACES = (
    *("MISTRAL_API_KEY", "LLAMA_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY"),
    *("XAI_API_KEY", "OM_API_KEY", "REFLEXARC_TOKEN", "api_key", "robot", "headers", "wrong"),
)
KEYS: Mapping[str, str] = {
    place: f"sk-canary{index:02}_{place.lower()}Q7xW9zR4tY2mN8"
    for index, place in enumerate(PLACES)
}
"""By where each is planted: a variable, or a place in a robot's file."""

ENVIRON = {place: key for place, key in KEYS.items() if place.isupper()}


def leaks(data: bytes | str) -> set[str]:
    """Which keys stand in what came out: plain, percent-encoded, in base64, or folded.

    Parameters
    ----------
    data : bytes or str
        Anything that somebody else may read.

    Returns
    -------
    set of str
        The places of those keys.
    """
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    folded = b"".join(raw.split()).replace(b"\\n", b"").replace(b"\\r", b"")
    return {
        place
        for place, key in KEYS.items()
        if any(each.encode() in raw or each.encode() in folded for each in _spellings(key))
    }


def _spellings(key: str) -> Iterator[str]:
    yield key
    yield key[:-6]  # most of one is no better
    yield quote(key, safe="")
    for before in ("", ":", "me"):
        yield b64encode(f"{before}{key}".encode()).decode()[4:-4]


@contextmanager
def serving(route: Callable[[Received], Reply]) -> Generator[Server]:
    """A scripted server in a thread, for commands that have an event loop of their own.

    Parameters
    ----------
    route : callable
        Makes the reply of each request.

    Yields
    ------
    Server
    """
    loop = new_event_loop()
    server = Server(route=route)

    def run() -> None:
        set_event_loop(loop)
        loop.run_forever()

    thread = threading.Thread(target=run, name="scripted server")
    loop.run_until_complete(server.__aenter__())
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(server.__aexit__(None, None, None))
        loop.close()
