"""The on-board engine: a llama.cpp child that is always there, or a sentence why not.

The model runs in a process of its own, because a crash in native code, a request that cannot be
interrupted or a model of many hundred megabytes must not take the robot's loop with it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from reflexarc.errors import UnavailableError
from reflexarc.onboard.child import Failed, Order, running

_log = logging.getLogger(__name__)

_NOT_INSTALLED = "The on-board engine is not installed; run: pip install 'reflexarc[onboard]'"
_NOT_RUNNING = "The on-board engine is not running; use it inside `async with`."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the child that serves now is reached.

    Parameters
    ----------
    base_url : str
        ``http://127.0.0.1:PORT/v1``.
    api_key : str
        Valid for this child only; not shown.
    pid : int
        The child's process id.

    Notes
    -----
    Be ready to send a request again on a fresh connection. llama.cpp closes the connection after
    each streamed answer although it announces ``Keep-Alive: timeout=5``: with a pooled one, 5 of 40
    requests sent right after an answer ended in "server disconnected" (xllamacpp 2026.10).
    """

    base_url: str
    api_key: str = field(repr=False)
    pid: int


@dataclass(frozen=True, slots=True)
class Supervision:
    """How a child is watched and restarted.

    Parameters
    ----------
    pause_s : float, default 0.5
        Seconds before the second restart in a row; the first is made at once.
    growth : float, default 2.0
        Factor from one pause to the next.
    cap_s : float, default 30.0
        Longest pause in seconds.
    patience_s : float, default 2.0
        Longest pause that `Engine.ready` waits through; in a longer one it says what is wrong.
    steady_s : float, default 10.0
        A child that served this many seconds has cleared the record.
    attempts : int, default 3
        Failures in a row after which a model that never served is given up.
    start_s : float, default 300.0
        Seconds a child may take to load before it is killed and started again.
    grace_s : float, default 0.5
        Seconds a child gets to leave by itself, and again after SIGTERM.
    """

    pause_s: float = 0.5
    growth: float = 2.0
    cap_s: float = 30.0
    patience_s: float = 2.0
    steady_s: float = 10.0
    attempts: int = 3
    start_s: float = 300.0
    grace_s: float = 0.5

    def pause_before_restart(self, failures: int) -> float:
        """How long to wait before the next child.

        Parameters
        ----------
        failures : int
            In a row, from 1.

        Returns
        -------
        float
            Seconds, in ``[0, cap_s]``.
        """
        if failures <= 1:
            return 0.0
        # The exponent is bounded so that a robot left alone for months does not overflow a float.
        return min(self.cap_s, self.pause_s * self.growth ** min(failures - 2, 64))


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why there is no endpoint, and when the next start is; None: never."""

    message: str
    resume_at: float | None


@dataclass(frozen=True, slots=True)
class _End:
    """How one child ended: why, after serving how long (None: never), and whether for good."""

    why: str
    served_s: float | None = None
    lasting: bool = False


class Engine:
    """Keeps one llama.cpp child serving a model; an async context manager.

    Parameters
    ----------
    model : Path
        The GGUF file.
    alias : str
        The model's name in replies.
    context_tokens : int, default 2048
        Tokens of prompt and answer together; memory grows with it.
    threads : int or None, default None
        Threads to compute with; None takes every core the process may use.
    prefixes : Path or None, default None
        Directory of kept prefixes, see `PrefixCache`; None keeps none.
    supervision : Supervision or None, default None
        How a dead child is replaced; None takes ``Supervision()``.
    sleep : callable, default asyncio.sleep
        Waits between restarts; a parameter for tests.

    Notes
    -----
    Entering starts a task and returns at once; `ready` waits for the child and is where every
    failure shows. The child's life hangs on this process and, on Linux, on the thread that runs the
    event loop: when that thread ends, the kernel kills the child.
    """

    def __init__(
        self,
        model: Path,
        *,
        alias: str,
        context_tokens: int = 2048,
        threads: int | None = None,
        prefixes: Path | None = None,
        supervision: Supervision | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.alias = alias
        self._order = Order(
            str(model), alias, context_tokens, threads, str(prefixes) if prefixes else None
        )
        self._supervision = supervision or Supervision()
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self._endpoint: Endpoint | None = None
        self._trouble: _Trouble | None = _Trouble(_NOT_RUNNING, None)
        self._settled = asyncio.Event()  # set while there is an endpoint or a trouble
        self._settled.set()
        self._changed = asyncio.Event()  # set, and replaced, at every change

    def __repr__(self) -> str:
        return f"Engine({self._order.model!r}, alias={self.alias!r})"

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError(f"{self!r} is running already.")
        self._settle(None, None)
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.alias}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def ready(self, other_than: str | None = None) -> Endpoint:
        """Where the model is served, as soon as it is.

        Waits while a child is starting, or soon will be. Put a timeout around it; cancelling it
        disturbs nobody else.

        Parameters
        ----------
        other_than : str or None, default None
            Key of a child that refused a connection: it is dead, though that may not be known yet.

        Returns
        -------
        Endpoint
            Of the child that serves now. It changes with every restart: ask before each call.

        Raises
        ------
        UnavailableError
            If the engine or the model is missing or damaged, if it failed several times in a row
            (`retry_after_s` then says when the next start is), or if the engine is not running.
        """
        while True:
            await self._settled.wait()
            if self._endpoint is not None and self._endpoint.api_key == other_than:
                await self._changed.wait()
            elif self._endpoint is not None:
                return self._endpoint
            if self._trouble is not None:
                raise self._unavailable(self._trouble)

    async def aclose(self) -> None:
        """End the child and its supervision; nothing stays behind. May be called twice."""
        task = self._task
        if task is None:
            return
        if not task.cancelling():
            task.cancel()
        await asyncio.wait({task})  # also when we are cancelled here, the task ends its child
        self._task = None
        if not task.cancelled():
            task.result()

    def _settle(self, endpoint: Endpoint | None, trouble: _Trouble | None) -> None:
        self._endpoint, self._trouble = endpoint, trouble
        self._changed.set()
        self._changed = asyncio.Event()
        if endpoint is None and trouble is None:
            self._settled.clear()
        else:
            self._settled.set()

    def _unavailable(self, trouble: _Trouble) -> UnavailableError:
        after = None
        if trouble.resume_at is not None:
            after = max(0.0, trouble.resume_at - asyncio.get_running_loop().time())
        return UnavailableError(
            trouble.message, model=self.alias, retryable=after is not None, retry_after_s=after
        )

    async def _supervise(self) -> None:
        final = _Trouble(_NOT_RUNNING, None)
        try:
            # In a thread: it looks through directories, and nothing here may block the loop.
            if await asyncio.to_thread(importlib.util.find_spec, "xllamacpp") is None:
                final = _Trouble(_NOT_INSTALLED, None)
            else:
                final = _Trouble(await self._keep_serving(), None)
        finally:  # whatever ended this, nobody waits in ready() for ever
            self._settle(None, final)

    async def _keep_serving(self) -> str:
        """Run child after child; returns only when another is pointless, with the reason."""
        clock = asyncio.get_running_loop().time
        rules = self._supervision
        failures, has_served = 0, False
        while True:
            end = await self._one_child()
            has_served = has_served or end.served_s is not None
            failures = 1 if (end.served_s or 0.0) >= rules.steady_s else failures + 1
            # A model that has served once is whole; when it fails later, that may pass (memory).
            if end.lasting or (not has_served and failures >= rules.attempts):
                return end.why
            pause_s = rules.pause_before_restart(failures)
            _log.warning("%s Restart %d in %.1f s.", end.why, failures, pause_s)
            if pause_s > rules.patience_s:
                message = f"The on-board model failed {failures} times in a row. {end.why}"
                self._settle(None, _Trouble(message, clock() + pause_s))
            await self._sleep(pause_s)
            self._settle(None, None)

    async def _one_child(self) -> _End:
        """Start a child and stay with it until it is dead."""
        clock = asyncio.get_running_loop().time
        rules = self._supervision
        try:
            async with running(rules.grace_s) as child:
                async with asyncio.timeout(rules.start_s):
                    word = await child.report(self._order)
                if isinstance(word, Failed):
                    return _End(word.message, lasting=word.lasting)
                began = clock()
                _log.info(
                    "%s serves as process %d after %.2f s", self.alias, child.pid, word.load_s
                )
                url = f"http://127.0.0.1:{word.port}/v1"
                self._settle(Endpoint(url, child.api_key, child.pid), None)
                try:
                    await child.exit()
                finally:  # at once: what it said last takes a moment to read
                    self._settle(None, None)
                death = await child.death()
                return _End(f"The on-board engine {death}.", served_s=clock() - began)
        except TimeoutError:
            return _End(f"The on-board engine was not ready after {rules.start_s:g} s.")
        except OSError as error:
            return _End(f"Cannot start the on-board engine: {error}.")
