"""An LLM of ours in the shape of OpenAI's client, as far as OM1 looks at one.

OM1's history manager has the past summarised by ``client.chat.completions.create``, and its tests
look at ``base_url`` and ``api_key``. Its first generation awaits what ``create`` returns; the later
one awaits OpenAI's own class only, and calls any other in a thread, where it wants the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

from reflexarc.errors import UnavailableError
from reflexarc.llm import LLM
from reflexarc.om1.fused import spoken


class Completions:
    """``client.chat.completions``.

    Parameters
    ----------
    writer : callable
        The LLM that writes.
    used_in : callable
        The event loop that it is in use in; None before its first use, and then what is opened
        for a text is closed behind it. Raises `UnavailableError` once it is closed.
    """

    def __init__(
        self,
        writer: Callable[[], LLM[Any]],
        used_in: Callable[[], asyncio.AbstractEventLoop | None],
    ) -> None:
        self._writer = writer
        self._used_in = used_in

    def create(
        self, *, messages: Sequence[Mapping[str, Any]], **settings: object
    ) -> Coroutine[Any, Any, SimpleNamespace] | SimpleNamespace:
        """Have plain text written.

        Parameters
        ----------
        messages : sequence of mapping
            With ``role`` and ``content``; the last one is the question.
        **settings : object
            OpenAI's other parameters; the model is the LLM's own, and so are its limits.

        Returns
        -------
        coroutine or SimpleNamespace
            ``choices[0].message.content`` is the text. To be awaited where an event loop runs in
            this thread; else the result.

        Raises
        ------
        LLMError
            How the call failed.
        """
        del settings
        loop = self._used_in()
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # a thread of its own, which may wait
            if loop is not None and loop.is_running():
                completing = self._complete(messages)
                return asyncio.run_coroutine_threadsafe(completing, loop).result()
            return asyncio.run(self._complete(messages))
        return self._complete(messages)

    async def _complete(self, messages: Sequence[Mapping[str, Any]]) -> SimpleNamespace:
        llm = self._writer()
        if llm.is_on_board:
            raise UnavailableError(
                f"{llm.name} runs on board and writes no summaries, for the robot would have "
                "to wait; the oldest turns are dropped"
            )
        *past, question = messages
        loop = self._used_in()  # again: it may have been closed since
        try:
            text = await llm.write(spoken(str(question.get("content") or "")), past)
        finally:
            if loop is None:
                await llm.aclose()
        message = SimpleNamespace(content=text, role="assistant")
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])


@dataclass(frozen=True, slots=True)
class Client:
    """Where a plugin's questions go, as OM1's runtime and tests look at it.

    Parameters
    ----------
    base_url : str or None
        As configured, or the vendor's own.
    api_key : str or None
        As configured; None where none is sent, or it comes from the environment.
    completions : Completions
        For OM1's history manager, which asks for ``chat.completions``.
    """

    base_url: str | None
    api_key: str | None = field(repr=False)
    completions: Completions = field(repr=False)

    @property
    def chat(self) -> Self:
        """The same: OpenAI's client has its completions one step further in."""
        return self
