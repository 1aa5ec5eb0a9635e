"""One deadline for everything inside, and what the robot does where nobody answers in time."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import BaseModel

from reflexarc.decoder import fit
from reflexarc.due import Due, due, due_by
from reflexarc.errors import BadOutputError, ClosedError, ConfigError, LLMError
from reflexarc.llm import LLM, Messages, R
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience.around import Account, Around
from reflexarc.resilience.failover import Failover
from reflexarc.types import Action, ActionReady, CortexOutputModel, Event, Finished
from reflexarc.vocabulary import Refusal

_log = logging.getLogger(__name__)

IDLE = "idle"
"""Who answers, by `Finished`, where it is no brain."""

# What is inside is cut so much before the deadline, that the idle action is out in time.
_LONGEST_MARGIN_S = 0.04
_MARGIN = 0.2


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
        super().__init__(llm if isinstance(llm, Failover) else Failover((llm,)))
        self.name = llm.name
        self._limits = timeout, first_action_timeout, stall_timeout
        self._idle = idle
        self._idle_answer = _answer(idle, output_model or CortexOutputModel) if idle else None

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        account = Account()
        moments = _moments(account.started, *self._limits, is_plain=whole.is_plain)
        try:
            async with aclosing(self._llm.stream(whole)) as events:
                while True:
                    with due_by(moments):
                        event = await anext(events)
                    yield account.placed(event, account.started)
                    if isinstance(event, Finished):
                        return
        except ClosedError:
            raise
        except LLMError as error:
            account.note(error, self.name, account.started)
            failure = account.closed_by(error)
            if account.actions or not self._may_idle(whole):
                raise failure from failure.__cause__
        _log.warning("Nobody has answered, so the robot idles: %s", failure.message)
        for event in self._idling(failure, account):
            yield event

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
        assert self._idle_answer is not None
        now_s = account.clock() - account.started
        return [
            account.failed(IDLE),
            ActionReady(self._idle, 0, now_s),
            Finished(
                answer=self._idle_answer.model_copy(deep=True),
                provider=IDLE,
                model="",
                first_action_s=now_s,
                total_s=now_s,
                usage=None,
                attempts=account.attempts,
                reason=f"{failure.kind}: {failure.message}",
            ),
        ]


def _moments(
    started: float, timeout: float, first: float | None, stall: float | None, *, is_plain: bool
) -> Due:
    """By when everything inside has to be out, so that what follows it is in time as well."""
    if first is None or is_plain:
        first = timeout
    first = min(first, timeout)
    margin = min(_LONGEST_MARGIN_S, _MARGIN * first)
    stall = math.inf if stall is None else stall
    return Due(started + first - margin, started + timeout - margin, stall, outer=due())


def _answer(idle: Action, output_model: type[BaseModel]) -> BaseModel:
    try:
        return fit(output_model, {"actions": [idle.model_dump()]})
    except BadOutputError as error:
        raise ConfigError(
            f"the idle action does not fit {output_model.__name__}, which is what the answers "
            f"become: {error.message}"
        ) from error
