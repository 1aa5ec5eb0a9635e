"""One brain among several, and what is known of it; and the same while it is being asked."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from reflexarc.alarm import no_strays
from reflexarc.attempts import Attempt, AttemptFailed
from reflexarc.due import Due, due_by
from reflexarc.errors import (
    BadOutputError,
    DeadlineError,
    LLMError,
    Phase,
    ReflexarcError,
    UnavailableError,
)
from reflexarc.llm import LLM
from reflexarc.messages import recent
from reflexarc.prompt import Prompt
from reflexarc.resilience.around import is_useful
from reflexarc.resilience.health import Latencies, Rest
from reflexarc.types import ActionReady, ActionRefused, Event, Finished, PlainText

_log = logging.getLogger(__name__)

# What one that is known to be quick is left: so many times its usual latency, but no less. One
# that has failed lately is left no more than that.
_LEFT = 3.0
_LEAST_LEFT_S = 0.3


@dataclass(slots=True)
class Member:
    """One of the brains, and what is known of it.

    Parameters
    ----------
    llm : LLM
        The brain.
    history_length : int or None
        Past ticks that it is shown at most; None shows all.
    rest : Rest, default Rest()
        Its failures in a row.
    latencies : Latencies, default Latencies()
        Its times to the first action.
    overtaken : int, default 0
        How often in a row one that was started after it has acted first.
    """

    llm: LLM[Any]
    history_length: int | None
    rest: Rest = field(default_factory=Rest)
    latencies: Latencies = field(default_factory=Latencies)
    overtaken: int = 0

    def shown(self, whole: Prompt) -> Prompt:
        """The prompt with as much of the past as it is shown.

        Parameters
        ----------
        whole : Prompt
            With all of it.

        Returns
        -------
        Prompt
        """
        if self.history_length is None:
            return whole
        return replace(whole, history=recent(whole.history, 2 * self.history_length))

    def needs_s(self, share_s: float) -> float:
        """How much time it is to be left for its first action.

        Parameters
        ----------
        share_s : float
            Its equal share, in seconds.

        Returns
        -------
        float
            Not more than that.
        """
        if self.rest.left_s(asyncio.get_running_loop().time()):
            return min(share_s, _LEAST_LEFT_S)
        p95 = self.latencies.p95
        return share_s if p95 is None else min(share_s, max(_LEAST_LEFT_S, _LEFT * p95))


class Asking:
    """One brain that is being asked, in a task of its own that reads ahead.

    Parameters
    ----------
    member : Member
        Who.
    whole : Prompt
        The question.
    moments : Due
        By when its answer is needed.
    news : asyncio.Queue
        Where its events go, and its failure as the last of them.

    Attributes
    ----------
    began : float
        When it was asked; the loop's time.
    held : list of Event
        What may not be told yet, since another one may win.
    told : list of Attempt
        Tries of its own that have failed.
    name : str
        Who is asked, as far as is known from outside.
    since : float
        When that one was asked; the loop's time.
    acted_s : float or None
        Seconds to its first action.
    """

    def __init__(self, member: Member, whole: Prompt, moments: Due, news: News) -> None:
        self.member = member
        self.name = member.llm.name
        self.began = self.since = asyncio.get_running_loop().time()
        self.era: int = member.rest.era
        self.due = moments
        self.held: list[Event] = []
        self.told: list[Attempt] = []
        self.acted_s: float | None = None
        self._heard_at: float | None = None
        self._is_plain = whole.is_plain
        self._news = news
        self.task = asyncio.create_task(self._run(member.shown(whole)), name=f"asking {self.name}")

    def limit(self) -> tuple[float, Phase]:
        """When its next useful piece is too late, and by which limit; see `Due.limit`.

        A text has begun in time where its first piece is there in time.
        """
        heard_at = self._heard_at
        is_served = self.acted_s is not None or (self._is_plain and heard_at is not None)
        return self.due.limit(heard_at, is_served=is_served)

    def late(self, phase: Phase) -> LLMError:
        """That it is too late.

        Parameters
        ----------
        phase : str
            By which limit.

        Returns
        -------
        DeadlineError or ConnectError
        """
        given_s = asyncio.get_running_loop().time() - self.began
        given = f"the {given_s:.2g} s that it was given"
        what = "no action was" if phase == "first_action" else "the answer was not"
        message = f"{what} complete within {given}"
        if phase == "stall":
            message = f"the answer stopped for {self.due.stall_s:g} s"
        error = self.due.no_connection(given) or DeadlineError(
            f"{message}; try a faster model, or raise the limit", phase=phase
        )
        error.provider, error.elapsed_s = self.name, given_s
        return error

    async def _run(self, prompt: Prompt) -> None:
        llm = self.member.llm
        try:
            with no_strays(), due_by(self.due):
                async with aclosing(llm.stream(prompt)) as events:
                    async for event in events:
                        self._note(event)
                        self._news.put_nowait((self, event))
                        if isinstance(event, Finished):
                            return
            raise BadOutputError("it has ended without an answer; mend that provider")
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in Rust, for one, is no Exception
            self._news.put_nowait((self, failure_of(llm, error)))

    def _note(self, event: Event) -> None:
        """Note what the limits, the record and the next question depend on, as it arrives."""
        now = asyncio.get_running_loop().time()
        until, phase = self.limit()
        if now > until:  # and nobody has cut it, since whoever asks is elsewhere
            raise self.late(phase)
        if self._is_plain:
            _check_plain(event)
        if is_useful(event):
            self._heard_at = now
        if isinstance(event, ActionReady) and self.acted_s is None:
            self.acted_s = now - self.began
        elif isinstance(event, AttemptFailed):
            self.told.append(event.attempt)
            self.name, self.since = event.next, now
            self._heard_at = None


News = asyncio.Queue[tuple[Asking, Event | LLMError]]
"""What has become of those that are asked."""


def _check_plain(event: Event) -> None:
    is_action = isinstance(event, ActionReady | ActionRefused)
    if is_action or (isinstance(event, Finished) and not isinstance(event.answer, PlainText)):
        raise BadOutputError("it was asked for plain text and does not write any; ask another one")


def failure_of(llm: LLM[Any], error: BaseException) -> LLMError:
    """An error as this brain's failure.

    Parameters
    ----------
    llm : LLM
        Who failed.
    error : BaseException
        How; one that no provider should raise is logged with its traceback.

    Returns
    -------
    LLMError
        Another object, with the provider's name.
    """
    if isinstance(error, LLMError):
        failure = error.copy()
        failure.provider = error.provider or llm.name
        error.__traceback__ = None  # which grows with each time that one object is raised
        return failure
    if isinstance(error, ReflexarcError):
        message = error.message
    else:
        _log.error("%s failed by a mistake of its own", llm.name, exc_info=error)
        message = f"{type(error).__name__}: {error}; mend that provider"
    failure = UnavailableError(message, provider=llm.name, retryable=False)
    failure.__cause__ = error
    return failure
