"""An LLM of ours behind OM1's plugin contract: it answers or returns None, and never raises.

OM1 builds a plugin from its own configuration, hands it one text that holds everything, and ends
its whole runtime if the plugin raises. What differs from that stays on this side.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from reflexarc.decoder import fit
from reflexarc.errors import ConfigError, ReflexarcError, UnavailableError
from reflexarc.llm import LLM
from reflexarc.om1.client import Client, Completions
from reflexarc.om1.fused import heard, read_actions, read_functions, read_fused
from reflexarc.om1.settings import make_llm, read_settings, server_of
from reflexarc.prompt import Prompt
from reflexarc.telemetry.om1 import Latency
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
)
from reflexarc.vocabulary import Vocabulary

R = TypeVar("R", bound=BaseModel)

Messages = Sequence[Mapping[str, str]] | None
Answering = Callable[..., Coroutine[Any, Any, Any]]

_log = logging.getLogger(__name__)

_MOST_REFUSED = 100
"""Refused actions that one plugin tells of."""


@dataclass(slots=True)
class _Turn:
    """One question: what has come of it so far."""

    hand_over: Callable[[Any], None] | None = None
    asked: bool = False
    done: list[Action] = field(default_factory=list[Action])
    answer: Any = None
    stopped: bool = False


class Cortex(Generic[R]):
    """The LLM of one OM1 plugin.

    Parameters
    ----------
    plugin : object
        The plugin, made by OM1's base class: its ``_config``, ``io_provider`` and, where it has
        them, ``function_schemas`` are read at every question, and never changed.
    output_model : type
        Pydantic model that OM1 expects.
    history : type
        OM1's ``LLMHistoryManager``.
    avatar : type or None, default None
        OM1's ``AvatarLLMState``, where it has one.
    environ : mapping of str to str or None, default None
        Where keys are looked up; None is the process's environment.

    Attributes
    ----------
    client : Client
        Where the questions go.
    history_manager : object
        OM1's record of the past, which has it summarised by this LLM.
    last_error : Exception or None
        Why the last question got no answer.

    Raises
    ------
    ConfigError
        If the key or the server is missing, or a setting is wrong; it is a ValueError.
    """

    def __init__(
        self,
        plugin: Any,
        output_model: type[R],
        history: Any,
        avatar: Any = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        variables = os.environ if environ is None else environ
        given: Any = getattr(plugin, "_config")  # noqa: B009 - OM1's name for it
        self._plugin = plugin
        self._name = type(plugin).__name__
        self._output_model = output_model
        self._history = history
        self._avatar = avatar
        has_tools = hasattr(plugin, "function_schemas")
        self._config = read_settings(self._name, given, variables, tools=has_tools)
        # OM1's own class of the same shape: decoded action by action, which forgives more.
        self._acts = _is_actions(output_model)
        # Any action: OM1 checks what its prompt says nothing of.
        answer = CortexOutputModel if self._acts else output_model
        self._make_llm = partial(make_llm, self._config, answer, variables)
        self._llm = self._make_llm()
        self._warming: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._dropped: weakref.finalize[..., Any] | None = None
        self._refused: set[tuple[str, str]] = set()
        self._functions: tuple[list[Any], Vocabulary | None] = ([], None)
        self.client = self._client(given)
        self.history_manager: Any = history(_named(given), self.client)
        self.last_error: Exception | None = None
        first, *others = self._llm.llms
        model = self._name if others else getattr(first, "model", self._name)
        self._latency = Latency(model, self.client.base_url)

    def __repr__(self) -> str:
        return f"Cortex({self._name}, {self.client!r})"

    async def ask(self, prompt: str, messages: Messages = None) -> R | None:
        """Ask, and return the whole answer or None.

        Parameters
        ----------
        prompt : str
            Everything the model is told, as OM1's fuser writes it.
        messages : sequence of mapping or None, default None
            Past turns, oldest first; None or none takes OM1's history, if the configuration keeps
            one, and adds this turn to it.

        Returns
        -------
        pydantic.BaseModel or None
            None where there is no answer; `last_error` then says why, and so does one log line.
        """
        return await self._take_turn(prompt, messages, _Turn())

    async def ask_stream(self, prompt: str, messages: Messages = None) -> AsyncGenerator[R, None]:
        """Ask, and give out each action as soon as it is complete and legal.

        Closing the generator stops the model; what was given out by then is kept in the history.

        Parameters
        ----------
        prompt : str
            Everything the model is told, as OM1's fuser writes it.
        messages : sequence of mapping or None, default None
            As in `ask`.

        Yields
        ------
        pydantic.BaseModel
            OM1's output model with one action; nothing where there is no answer.
        """
        ready: asyncio.Queue[R | None] = asyncio.Queue()
        turn = _Turn(ready.put_nowait)
        asking = asyncio.create_task(self._take_turn(prompt, messages, turn))
        asking.add_done_callback(lambda _: ready.put_nowait(None))
        try:
            while (output := await ready.get()) is not None:
                yield output
            await asking
        finally:
            turn.stopped = True
            asking.cancel()
            await asyncio.wait([asking])

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        self._use_in(asyncio.get_running_loop())
        warming, llm = self._warming, self._llm
        self._use_in(None)
        self._is_closed = True
        self._llm = self._make_llm()  # OM1 may ask again, and that one answers no more
        await _close(llm, warming)

    def _use_in(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Note where connections are, to close them there when OM1 drops the plugin.

        It does so without a word whenever its mode or its configuration changes.
        """
        self._is_closed = False
        if loop is self._loop:
            return
        if self._dropped is not None and loop is not None:
            self._dropped()  # an LLM belongs to one loop
            self._llm = self._make_llm()
        elif self._dropped is not None:
            self._dropped.detach()
            self._dropped = None
        self._loop = loop
        self._warming = set()
        if loop is not None:
            self._dropped = weakref.finalize(self, _close_in, loop, self._llm, self._warming)
            self._dropped.atexit = False  # what is still open then ends with the process

    def _writer(self) -> LLM[Any]:
        """The LLM, or, where that is not in use yet, one that is closed behind the text."""
        return self._make_llm() if self._loop is None else self._llm

    def _used_in(self) -> asyncio.AbstractEventLoop | None:
        if self._is_closed:
            raise UnavailableError(f"{self._name} is closed")
        return self._loop

    async def _take_turn(self, prompt: str, messages: Messages, turn: _Turn) -> R | None:
        """Answer inside OM1's own bookkeeping, whose mistakes do not cost the answer."""
        self._use_in(asyncio.get_running_loop())

        async def answer(_plugin: Any, prompt: str, messages: Messages = None) -> R | None:
            turn.answer = await self._answer(prompt, messages, turn)
            return turn.answer

        answering: Answering = answer
        keeps_state = not messages and not getattr(self._plugin, "_skip_state_management", False)
        try:
            if not keeps_state:
                return await answer(self._plugin, prompt, messages)
            answering = self._history.update_history()(answering)
            if self._avatar is not None:
                answering = self._avatar.trigger_thinking()(answering)
            return await answering(self._plugin, prompt)
        except Exception as error:  # noqa: BLE001 - out of a plugin, it ends OM1's whole runtime
            _log.exception("%s: OM1's own bookkeeping failed around the answer", self._name)
            answered = turn.answer if turn.asked else await self._answer(prompt, messages, turn)
            self.last_error = self.last_error or error
            return answered

    async def _answer(self, prompt: str, messages: Messages, turn: _Turn) -> R | None:
        io = self._plugin.io_provider
        turn.asked = True
        self.last_error = None
        try:
            io.llm_start_time = time.time()
            io.set_llm_prompt(prompt)
            whole = self._read(prompt, io)
            await self._warm(whole)
            began = time.perf_counter()
            past = [heard(turn) for turn in messages or ()]
            async with aclosing(self._llm.stream(whole, past)) as events:
                async for event in events:
                    self._note(event, turn)
            self._latency.observe(time.perf_counter() - began)
            if turn.hand_over is None:
                return turn.answer
        except ReflexarcError as error:
            self.last_error = error
            _log.error("%s gave no answer (%s): %s", self._name, error.kind, error.message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not turn.stopped or task is None:
                raise
            task.uncancel()  # by who has heard enough: the history keeps what was given out
        except Exception as error:  # noqa: BLE001 - out of a plugin, it ends OM1's whole runtime
            self.last_error = error
            _log.exception("%s failed by a mistake of its own", self._name)
        finally:
            io.llm_end_time = time.time()
        is_whole = turn.hand_over is not None and self.last_error is None and not turn.stopped
        return self._output(turn.done) if turn.done or is_whole else None

    def _note(self, event: Event, turn: _Turn) -> None:
        if isinstance(event, ActionRefused):
            self._tell(event)
        elif isinstance(event, ActionReady) and turn.hand_over is not None:
            turn.done.append(event.action)
            turn.hand_over(self._output([event.action]))
        elif isinstance(event, Finished) and turn.hand_over is None:
            turn.answer = self._fitted(event.answer)

    def _tell(self, refused: ActionRefused) -> None:
        """Once for each action: a model that wants it will want it at every tick."""
        key = (refused.type, refused.value)
        if key in self._refused or len(self._refused) == _MOST_REFUSED:
            return
        self._refused.add(key)
        reason = " ".join(refused.reason.split())
        _log.warning("%s wants what the robot cannot do: %s", self._name, reason)

    async def _warm(self, whole: Prompt) -> None:
        """Once: have the stable part read ahead, or taken from disk, where that saves time.

        The first question waits for it only where that is what would answer, and no longer than
        for an answer.
        """
        if self._warming:
            return
        warming = asyncio.create_task(_warmed(self._llm, whole))
        self._warming.add(warming)
        if self._llm.is_on_board:
            await asyncio.wait([warming], timeout=self._config.timeout)

    def _read(self, prompt: str, io: Any) -> Prompt:
        """OM1's prompt as ours, with what the robot can do where it is known."""
        fused = read_fused(prompt, io)
        actions = None
        if self._acts:
            actions = self._declared() or (read_actions(fused.actions) if fused.actions else None)
        told = [fused.system, "" if actions else fused.actions]
        return Prompt(
            system="\n\n".join(filter(None, told)),
            situation=fused.situation,
            examples=self._config.examples,
            actions=actions,
        )

    def _declared(self) -> Vocabulary | None:
        """The actions by OM1's function schemas, which it may replace at any time."""
        schemas = list(getattr(self._plugin, "function_schemas", None) or ())
        if schemas != self._functions[0]:
            # A copy of all of it, since OM1 may change one in its place.
            self._functions = (deepcopy(schemas), read_functions(schemas))
        return self._functions[1]

    def _output(self, actions: Sequence[Action]) -> R:
        return fit(self._output_model, {"actions": [action.model_dump() for action in actions]})

    def _fitted(self, answer: BaseModel) -> R:
        if isinstance(answer, self._output_model):
            return answer
        return fit(self._output_model, answer.model_dump())

    def _client(self, given: Any) -> Client:
        base_url = given.base_url or server_of(self._config)
        key = self._config.api_key
        completions = Completions(self._writer, self._used_in)
        return Client(base_url, key.get_secret_value() if key else None, completions)


_closing: set[asyncio.Task[None]] = set()


async def _warmed(llm: LLM[Any], prompt: Prompt) -> None:
    with suppress(ReflexarcError):  # the question will meet the same, and tell
        await llm.warm(prompt)


async def _close(llm: LLM[Any], warming: set[asyncio.Task[None]]) -> None:
    """Close an LLM, once nothing is done with it any more."""
    for task in warming:
        task.cancel()
    if warming:
        await asyncio.wait(warming)
    await llm.aclose()


def _close_in(
    loop: asyncio.AbstractEventLoop, llm: LLM[Any], warming: set[asyncio.Task[None]]
) -> None:
    """Close an LLM in the loop that it was used in, called from whichever thread collects it."""

    def close() -> None:
        task = loop.create_task(_close(llm, warming))
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    with suppress(RuntimeError):  # the loop is closed, and what was open with it
        loop.call_soon_threadsafe(close)


def _named(config: Any) -> Any:
    """OM1's configuration for its history manager, which replaces a mark by the robot's name."""
    if config.agent_name:
        return config
    if config.history_length:
        raise ConfigError(
            "agent_name is empty, and the history tells what the robot did by its name; write one, "
            "or history_length: 0"
        )
    return config.model_copy(update={"agent_name": "IRIS"})


def _is_actions(output_model: type[BaseModel]) -> bool:
    try:
        output_model.model_validate({"actions": [{"type": "speak", "value": "hello"}]})
    except ValidationError:
        return False
    return set(output_model.model_fields) == {"actions"}
