"""One deadline for everything inside, and what the robot does where nobody answers in time."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import BaseModel

from reflexarc.alarm import Alarm, LateError
from reflexarc.decoder import fit
from reflexarc.due import Due, due_by
from reflexarc.errors import BadOutputError, DeadlineError, LLMError, Phase
from reflexarc.llm import LLM, Messages, R
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience.around import Account, Around
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    TextDelta,
)
from reflexarc.vocabulary import Refusal

_log = logging.getLogger(__name__)

IDLE = "idle"
"""Who answers, by `Finished`, where it is no brain."""

# What is told from inside comes first, since it says who was late; what does not keep its time is
# cut a little later, so that the idle action is out inside the deadline.
_LONGEST_MARGIN_S = 0.02
_MARGIN = 0.1


class Deadline(Around[R]):
    """Ends every answer in time, measured by the loop's monotonic clock from the question on.

    Parameters
    ----------
    llm : LLM
        Whose answers.
    timeout : float
        Seconds that the whole answer may take; above 0.
    first_action_timeout : float or None, default None
        Seconds until the first complete action; None leaves it to `timeout`.
    stall_timeout : float or None, default None
        Longest silence in seconds between two useful pieces of an answer; empty ones are not. None
        leaves it to the provider.
    idle : Action or None, default None
        What the robot does where nobody acts or answers; None raises the error.
    output_model : type or None, default None
        What the idle action becomes; None is `CortexOutputModel`.
    """

    def __init__(
        self,
        llm: LLM[R],
        *,
        timeout: float,
        first_action_timeout: float | None = None,
        stall_timeout: float | None = None,
        idle: Action | None = None,
        output_model: type[BaseModel] | None = None,
    ) -> None:
        super().__init__(llm)
        self._timeout = timeout
        self._first_action_timeout = first_action_timeout
        self._stall_timeout = stall_timeout
        self._idle = idle
        self._output_model = output_model or CortexOutputModel

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        account = Account()
        first = None if whole.is_plain else self._first_action_timeout
        limits = _Limits(account.started, self._timeout, first, self._stall_timeout)
        try:
            with Alarm() as alarm:
                async with aclosing(self._llm.stream(whole)) as events:
                    while (event := await self._next(events, alarm, limits)) is not None:
                        yield account.placed(event, account.started)
                        if isinstance(event, Finished):
                            return
            raise BadOutputError(f"{self.name} has ended without an answer; mend that provider")
        except LLMError as error:
            account.note(error, self.name, account.started)
            failure = account.closed_by(error)
            if account.actions or not self._may_idle(whole):
                raise failure from failure.__cause__
        _log.warning("Nobody has answered, so the robot idles: %s", failure.message)
        for event in self._idling(failure, account):
            yield event

    async def _next(
        self, events: AsyncGenerator[Event, None], alarm: Alarm, limits: _Limits
    ) -> Event | None:
        """The next event of the one inside, if it is in time."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        until, phase = limits.nearest(asked)
        try:
            with due_by(limits.due):
                event = await alarm.wait(anext(events, None), until)
        except LateError:
            raise limits.error(phase, self.name) from None
        if event is not None:
            limits.note(event, clock() - asked)
        return event

    def _may_idle(self, whole: Prompt) -> bool:
        if self._idle is None or whole.is_plain:
            return False
        if whole.actions is None:
            return True
        verdict = whole.actions.judge(self._idle.type, self._idle.value)
        return not isinstance(verdict, Refusal)

    def _idling(self, failure: LLMError, account: Account) -> list[Event]:
        """What is told where the robot idles."""
        assert self._idle is not None
        now_s = account.clock() - account.started
        answer = fit(self._output_model, {"actions": [self._idle.model_dump()]})
        return [
            account.failed(IDLE),
            ActionReady(self._idle, 0, now_s),
            Finished(
                answer=answer,
                provider=IDLE,
                model="",
                first_action_s=now_s,
                total_s=now_s,
                usage=None,
                attempts=account.attempts,
                reason=f"{failure.kind}: {failure.message}",
            ),
        ]


class _Limits:
    """The limits of one answer."""

    def __init__(
        self, started: float, timeout: float, first: float | None, stall: float | None
    ) -> None:
        self._timeout = timeout
        self._first = first
        self._stall = stall
        whole, margin = started + timeout, min(_LONGEST_MARGIN_S, timeout * _MARGIN)
        first_action = whole if first is None else min(whole, started + first)
        self.due = Due(first_action - 2 * margin, whole - 2 * margin)
        self._first_cut: float = math.inf if first is None else first_action - margin
        self._whole_cut = whole - margin
        self._silent_s: float | None = None

    def nearest(self, now: float) -> tuple[float, Phase]:
        """When the wait that begins now ends at the latest, and by which limit."""
        until, phase = self._whole_cut, "total"
        if self._first_cut < until:
            until, phase = self._first_cut, "first_action"
        if self._stall is not None and self._silent_s is not None:
            stalled = now + self._stall - self._silent_s
            if stalled < until:
                until, phase = stalled, "stall"
        return until, phase

    def note(self, event: Event, waited_s: float) -> None:
        """Note what has arrived, and how long it was waited for."""
        if isinstance(event, ActionReady):
            self._first_cut = math.inf
        if isinstance(event, ActionReady | ActionRefused) or (
            isinstance(event, TextDelta) and event.text
        ):
            self._silent_s = 0.0
        elif self._silent_s is not None:
            self._silent_s += waited_s

    def error(self, phase: Phase, name: str) -> DeadlineError:
        """That a limit is over."""
        message = {
            "total": f"the answer was not complete within {self._timeout:g} s",
            "stall": f"the answer stopped for {self._stall or 0:g} s",
            "first_action": f"no action was complete within {self._first or 0:g} s",
        }[phase]
        error = DeadlineError(f"{message}; try a faster model, or raise the limit", phase=phase)
        error.provider = name
        return error
