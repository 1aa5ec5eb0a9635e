"""A greeting: a request that asks nothing, so that a connection is open before a question comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager

from reflexarc.errors import LLMError
from reflexarc.providers.connection import FRESH_S

_log = logging.getLogger(__name__)

GREETING_S = 2.0
"""Seconds a greeting may take, with all that opening a connection takes."""

WAITED_S = 0.5
"""Seconds for which a robot that begins waits for a connection; the first question waits longer."""


class Greeter:
    """Knows when a connection was last used, and greets where none is likely to stay open.

    It sees questions and greetings, not the connections themselves: no HTTP client shows those. So
    a greeting may be one too many, which costs one empty request, or a connection may be missing,
    which costs the question what it costs without greetings.
    """

    def __init__(self) -> None:
        self._used_at: float | None = None  # by a connection that was kept, or a vain attempt
        self._asking = 0
        self._is_greeting = False
        self._is_vain = False

    @contextmanager
    def asking(self) -> Generator[None]:
        """Nobody greets while a question is under way; its connection is lost unless `kept`."""
        self._asking += 1
        self._used_at = None
        self._is_vain = False
        try:
            yield
        finally:
            self._asking -= 1

    def kept(self) -> None:
        """Note that a reply was read to its end, which leaves its connection to the next one."""
        self._used_at = asyncio.get_running_loop().time()

    def lost(self) -> None:
        """Note that the connections were closed."""
        self._used_at = None

    async def greet(self, head: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """Send a greeting, unless a connection is in use or was less than `FRESH_S` ago.

        A server that closes after one, as llama.cpp does (measured), gets no other until it is
        asked again.

        Parameters
        ----------
        head : callable
            Sends it and returns the reply's headers, case-insensitive; its `LLMError` is logged,
            for the next question meets the same and tells.
        """
        clock = asyncio.get_running_loop().time
        is_fresh = self._used_at is not None and clock() - self._used_at < FRESH_S
        if self._asking or self._is_greeting or self._is_vain or is_fresh:
            return
        self._is_greeting = True
        try:
            async with asyncio.timeout(GREETING_S):
                headers = await head()
            self._is_vain = headers.get("connection", "").strip().lower() == "close"
        except TimeoutError:
            _log.debug("A greeting was not answered within %g s.", GREETING_S)
        except LLMError as error:
            _log.debug("A greeting failed (%s): %s", error.kind, error.message)
        finally:
            self._is_greeting = False
            self._used_at = clock()  # also where it failed, lest a dead server is greeted at once
