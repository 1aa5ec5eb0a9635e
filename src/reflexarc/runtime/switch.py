"""Several brains, of which one is asked; which, may be chosen while the robot runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from reflexarc.alarm import no_strays
from reflexarc.errors import ConfigError, did_you_mean
from reflexarc.llm import LLM, Messages, R, Standing
from reflexarc.messages import recent
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.types import Event

_log = logging.getLogger(__name__)


class Switch(LLM[R]):
    """One of several brains; another choice holds from the next question on.

    Parameters
    ----------
    llms : mapping of str to LLM
        By the names that a person chooses from; the first is chosen at the beginning. Those that
        are not chosen are not opened.
    history_lengths : mapping of str to int or None, default None
        Past ticks that each of them is shown at most; those left out, or all, are shown all.
    """

    def __init__(
        self, llms: Mapping[str, LLM[Any]], history_lengths: Mapping[str, int] | None = None
    ) -> None:
        self._llms = dict(llms)
        self._history_lengths = dict(history_lengths or {})
        self._chosen = next(iter(self._llms))
        self._prompt: Prompt | None = None
        self._preparing: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"Switch({', '.join(self._llms)})"

    @property
    def chosen(self) -> str:
        """The name of the one that the next question goes to."""
        return self._chosen

    @property
    def _llm(self) -> LLM[Any]:
        return self._llms[self._chosen]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - read only
        """The provider that is chosen."""
        return self._llm.name

    @property
    def is_on_board(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the one that is chosen computes on the robot."""
        return self._llm.is_on_board

    @property
    def is_paid(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the one that is chosen is paid for."""
        return self._llm.is_paid

    @property
    def history_length(self) -> int:
        """The most past ticks that any of them is shown."""
        return max(self._history_lengths.values(), default=0)

    def choose(self, name: str) -> None:
        """Choose; the one chosen is made ready in the background. Inside a running loop.

        Parameters
        ----------
        name : str
            One of the names this was made with.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        if name not in self._llms:
            raise ConfigError(f"there is no brain {name!r}; {did_you_mean(name, self._llms)}")
        is_new, self._chosen = name != self._chosen, name
        if is_new and (name not in self._preparing or self._preparing[name].done()):
            task = asyncio.create_task(self._prepare(self._llm), name=f"preparing {name}")
            self._preparing[name] = task

    def brains(self) -> dict[str, tuple[Standing, ...]]:
        """Every brain that may be chosen, and the models behind it.

        Returns
        -------
        dict of str to tuple of Standing
        """
        return {name: llm.standings() for name, llm in self._llms.items()}

    def standings(self) -> tuple[Standing, ...]:
        """Those of the one that is chosen; see `LLM.standings`."""
        return self._llm.standings()

    def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask the one that is chosen; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        length = self._history_lengths.get(self._chosen)
        if length is not None and length < self.history_length:
            whole = replace(whole, history=recent(whole.history, 2 * length))
        return self._llm.stream(whole)

    async def open(self) -> None:
        """Open the one that is chosen."""
        await self._llm.open()

    async def connect(self) -> None:
        """Have a connection open; see `LLM.connect`."""
        await self._llm.connect()

    async def warm(self, prompt: Prompt) -> None:
        """Have the one that is chosen read the prompt ahead, and each that is chosen later."""
        self._prompt = prompt
        await self._llm.warm(prompt)

    async def aclose(self) -> None:
        """Close all of them, even where closing one fails; may be called twice."""
        async with AsyncExitStack() as closing:
            for llm in self._llms.values():
                closing.push_async_callback(llm.aclose)
            for task in self._preparing.values():
                task.cancel()
            if self._preparing:
                await asyncio.wait(self._preparing.values())

    async def _prepare(self, llm: LLM[Any]) -> None:
        try:
            with no_strays():
                await llm.open()
                if self._prompt is not None:
                    await llm.warm(self._prompt)
        except Exception as error:  # noqa: BLE001 - the next question will meet the same, and tell
            _log.info("preparing failed: %s: %s", type(error).__name__, error)
