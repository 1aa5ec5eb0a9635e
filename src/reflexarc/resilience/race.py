"""One question, put to one brain after another until one of them acts or answers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from reflexarc.alarm import Alarm, LateError
from reflexarc.attempts import Attempt
from reflexarc.due import Due, due, due_by
from reflexarc.errors import DeadlineError, LLMError, ReflexarcError, UnavailableError
from reflexarc.llm import LLM
from reflexarc.messages import recent
from reflexarc.prompt import Prompt
from reflexarc.resilience.around import Account
from reflexarc.resilience.health import Latencies, Rest
from reflexarc.types import ActionReady, Event, Finished

_log = logging.getLogger(__name__)

# What one that is known to be quick is left: so many times its usual latency, but no less. One
# that has failed lately is left no more than that.
_LEFT = 3.0
_LEAST_LEFT_S = 0.3

# So many times in a row overtaken is as bad as to have failed.
_OVERTAKEN = 3


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
        """How much time it is to be left.

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


class _Runner:
    """One brain that is being asked, in a task of its own that reads ahead."""

    def __init__(self, member: Member, whole: Prompt, news: _News, until: float) -> None:
        self.member = member
        self.name = member.llm.name
        self.began = asyncio.get_running_loop().time()
        self.until = until
        self.held: list[Event] = []
        self._news = news
        self.task = asyncio.create_task(
            self._run(member.shown(whole), Due(first_action=until)), name=f"asking {self.name}"
        )

    async def _run(self, prompt: Prompt, needed: Due) -> None:
        llm = self.member.llm
        try:
            with due_by(needed):
                async with aclosing(llm.stream(prompt)) as events:
                    async for event in events:
                        self._news.put_nowait((self, event))
                        if isinstance(event, Finished):
                            return
            error: ReflexarcError = UnavailableError("it has ended without an answer; mend it")
        except ReflexarcError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - a mistake in one brain is no reason for none
            _log.exception("%s failed by a mistake of its own", self.name)
            error = UnavailableError(f"{type(failure).__name__}: {failure}; mend that provider")
            error.__cause__ = failure
        self._news.put_nowait((self, failure_of(llm, error)))


_News = asyncio.Queue[tuple[_Runner, Event | LLMError]]


class Race:
    """One question: who is asked, since when, and what has become of it.

    Parameters
    ----------
    members : sequence of Member
        Best first; at least one.
    whole : Prompt
        The question.
    hedge_after : float, {"auto", "p95"} or None
        See `Failover`.
    """

    def __init__(
        self, members: Sequence[Member], whole: Prompt, hedge_after: float | str | None
    ) -> None:
        self._waiting = deque(members)
        self._whole = whole
        self._hedge_after = None if whole.is_plain else hedge_after
        self._due = due()
        self._account = Account()
        self._news: _News = asyncio.Queue()
        self._running: list[_Runner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._winner: _Runner | None = None
        self._hedge_at = math.inf
        self._errors: list[LLMError] = []

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run it.

        Yields
        ------
        Event
            Of the one that acts or answers, and of those that fail before it.

        Raises
        ------
        LLMError
            If all have failed, or one has after an action.
        """
        self._start_next()
        with Alarm() as alarm:
            while True:
                try:
                    runner, news = await alarm.wait(self._news.get(), self._next_moment())
                except LateError:
                    late = self._late()
                    if late is None:
                        self._start_next()
                        continue
                    runner, news = late
                if runner not in self._running:  # it was late or overtaken, and is being closed
                    continue
                if isinstance(news, LLMError):
                    for event in self._failed(runner, news):
                        yield event
                else:
                    for event in self._told(runner, news):
                        yield event
                    if isinstance(news, Finished):
                        return

    async def aclose(self) -> None:
        """Close all that are still asked, and wait until they are; may be called twice."""
        if self._winner is not None and self._winner in self._running and self._account.actions:
            self._winner.member.rest.end()  # who has heard enough has been served
        self._running.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start_next(self) -> None:
        """Ask the next one, which has its share of the time until its first action."""
        member = self._waiting.popleft()
        now = self._account.clock()
        for runner in self._running:  # it takes nobody's time any more
            runner.until = self._due.first_action
        until = self._share_ends(now)
        runner = _Runner(member, self._whole, self._news, until)
        self._running.append(runner)
        self._tasks.append(runner.task)
        self._hedge_at = now + self._patience_s(member, until - now)

    def _share_ends(self, now: float) -> float:
        """Until when one may take that is asked now, with those behind it."""
        until = self._due.first_action
        if until == math.inf:
            return until
        share_s = max(0.0, until - now) / (1 + len(self._waiting))
        return until - sum(each.needs_s(share_s) for each in self._waiting)

    def _patience_s(self, member: Member, share_s: float) -> float:
        """Seconds after which the next one is started beside this one."""
        after = self._hedge_after
        if after is None or not self._waiting or len(self._running) > 1:
            return math.inf
        if self._waiting[0].rest.left_s(self._account.clock()):  # who has failed is no help
            return math.inf
        if isinstance(after, float | int):
            return after
        if after == "auto" and member.llm.is_paid and self._waiting[0].llm.is_paid:
            return math.inf
        p95 = member.latencies.p95
        return share_s / 2 if p95 is None else p95

    def _next_moment(self) -> float:
        if self._winner is not None:
            return self._due.whole
        return min(self._hedge_at, *(runner.until for runner in self._running))

    def _late(self) -> tuple[_Runner, LLMError] | None:
        """Who is late; None where it is but time to start another beside it."""
        clock = self._account.clock
        if self._winner is not None:
            return self._winner, self._too_late(self._winner, "the answer was not complete")
        runner = min(self._running, key=lambda each: each.until)
        if runner.until > clock():
            return None
        return runner, self._too_late(runner, "no action was complete")

    def _too_late(self, runner: _Runner, what: str) -> DeadlineError:
        limit_s = self._account.clock() - runner.began
        is_whole = self._winner is not None or runner.until >= self._due.whole
        error = DeadlineError(
            f"{what} within the {limit_s:.2g} s that it was given",
            phase="total" if is_whole else "first_action",
            elapsed_s=limit_s,
        )
        error.provider = runner.name
        return error

    def _failed(self, runner: _Runner, error: LLMError) -> Iterator[Event]:
        """Note a failure, and ask the next one; it is the whole question's where there is none."""
        account = self._account
        self._stop(runner)
        runner.member.rest.begin(error, account.clock())
        account.note(error, runner.name, runner.began)
        self._errors.append(error)
        if self._winner is not None or not (self._running or self._waiting):
            whole = error if self._winner is not None else all_failed(self._errors)
            failure = account.closed_by(whole)
            raise failure from failure.__cause__
        if self._running:
            self._running[0].until = self._share_ends(account.clock())
        else:
            self._start_next()
        asked = self._running[0]
        _log.warning(
            "%s failed (%s), so %s is asked: %s",
            runner.name,
            error.kind,
            asked.name,
            error.message,
        )
        yield account.failed(asked.name)
        if len(self._running) == 1:
            yield from self._released(asked)

    def _told(self, runner: _Runner, event: Event) -> Iterator[Event]:
        """What is given out of an event: all of it, unless another one may still win."""
        if self._winner is None:
            if isinstance(event, ActionReady | Finished):
                self._won(runner, event)
                yield from self._released(runner)
            elif len(self._running) > 1:
                runner.held.append(event)
                return
        if isinstance(event, Finished):
            runner.member.rest.end()
            self._running.remove(runner)
        yield self._account.placed(event, runner.began)

    def _won(self, runner: _Runner, event: ActionReady | Finished) -> None:
        """End the race: whoever else is asked is closed."""
        self._winner = runner
        runner.member.overtaken = 0
        if isinstance(event, ActionReady):
            runner.member.latencies.add(event.at_s)
        for other in [each for each in self._running if each is not runner]:
            self._stop(other)
            self._overtaken(other, was_first=other.began < runner.began)

    def _overtaken(self, runner: _Runner, *, was_first: bool) -> None:
        """Note that another one has acted first; a brain that is silent for ever has failed."""
        member, now = runner.member, self._account.clock()
        elapsed_s = now - runner.began
        member.latencies.add(elapsed_s)
        attempt = Attempt(runner.name, "", "overtaken", elapsed_s)
        self._account.attempts = (*self._account.attempts, attempt)
        if was_first:
            member.overtaken += 1
            if member.overtaken >= _OVERTAKEN:
                member.rest.begin(self._too_late(runner, "no action was complete"), now)

    def _released(self, runner: _Runner) -> Iterator[Event]:
        held, runner.held = runner.held, []
        for event in held:
            yield self._account.placed(event, runner.began)

    def _stop(self, runner: _Runner) -> None:
        self._running.remove(runner)
        runner.task.cancel()


def failure_of(llm: LLM[Any], error: ReflexarcError) -> LLMError:
    """An error as this brain's failure: what is configured wrongly stops no other.

    Parameters
    ----------
    llm : LLM
        Who failed.
    error : ReflexarcError
        How.

    Returns
    -------
    LLMError
        With the provider's name.
    """
    if isinstance(error, LLMError):
        error.provider = error.provider or llm.name
        return error
    failure = UnavailableError(error.message, provider=llm.name, retryable=False)
    failure.__cause__ = error
    return failure


def all_failed(errors: Sequence[LLMError]) -> LLMError:
    """One error of all; the one itself where there is no other.

    Parameters
    ----------
    errors : sequence of LLMError
        At least one, each with its provider.

    Returns
    -------
    LLMError
    """
    if len(errors) == 1:
        return errors[0]
    reasons = "; ".join(f"{error.provider} ({error.kind}): {error.message}" for error in errors)
    whole = UnavailableError(
        f"none of {len(errors)} brains answered: {reasons}",
        provider="FailoverLLM",
        retryable=any(error.retryable for error in errors),
    )
    whole.__cause__ = ExceptionGroup("every brain failed", errors)
    return whole
