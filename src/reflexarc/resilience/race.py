"""One question, put to one brain after another until one of them acts or answers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence

from reflexarc.alarm import Alarm, LateError
from reflexarc.attempts import Attempt
from reflexarc.due import Due, due
from reflexarc.errors import LLMError, RestingError, UnavailableError
from reflexarc.prompt import Prompt
from reflexarc.resilience.around import Account
from reflexarc.resilience.asking import Asking, Member, News
from reflexarc.types import ActionReady, Event, Finished

_log = logging.getLogger(__name__)

# So many times in a row overtaken is as bad as to have failed.
_OVERTAKEN = 3

# How long the next one is waited for where nobody knows better, neither a deadline nor a record.
_PATIENCE_S = 1.0

# How long those that are closed are waited for: not beyond the deadline, but at least for a moment,
# which a `Deadline` of 0.05 s or more leaves.
_CLOSING_S = 0.1
_LEAST_CLOSING_S = 0.01


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
    left : set of asyncio.Task
        Where those go that are not closed at the end.
    """

    def __init__(
        self,
        members: Sequence[Member],
        whole: Prompt,
        hedge_after: float | str | None,
        left: set[asyncio.Task[None]],
    ) -> None:
        self._waiting = deque(members)
        self._whole = whole
        self._hedge_after = None if whole.is_plain else hedge_after
        self._due = due()
        self._account = Account()
        self._news: News = asyncio.Queue()
        self._running: list[Asking] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._left = left
        self._winner: Asking | None = None
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
                until, slowest = self._next_moment()
                try:
                    asking, news = await alarm.wait(self._news.get(), until)
                except LateError:
                    if slowest is None:
                        self._start_next()
                        continue
                    until, phase = slowest.limit()
                    if until > self._account.clock():  # a piece has come at the same moment
                        continue
                    slowest.due.give_up(phase)
                    asking, news = slowest, slowest.late(phase)
                if asking not in self._running:  # it was late or overtaken, and is being closed
                    continue
                if isinstance(news, LLMError):
                    for event in self._failed(asking, news):
                        yield event
                else:
                    for event in self._told(asking, news):
                        yield event
                    if isinstance(news, Finished):
                        return

    async def aclose(self) -> None:
        """Close all that are still asked, and wait until they are; may be called twice.

        One that will not be closed is not waited for: it may be somebody else's, and the robot has
        to act. It is cancelled once, as it may need time for its end.
        """
        winner, now, cut = self._winner, self._account.clock(), self._due.cut
        for asking in [*self._running]:
            if cut is not None:
                asking.member.rest.begin(
                    asking.late(cut), now, asking.era, is_plain=self._whole.is_plain
                )
            elif asking is winner and self._account.actions:  # who has heard enough was served
                asking.member.rest.end(asking.era)
            self._stop(asking)
        closing = {task for task in self._tasks if not task.done()}
        if not closing:
            return
        self._left |= closing
        for task in closing:
            task.add_done_callback(self._left.discard)
        due_at = self._due.first_action if winner is None else self._due.whole
        left_s = due_at - now
        limit_s = max(_LEAST_CLOSING_S, min(_CLOSING_S, left_s))
        _, stubborn = await asyncio.wait(closing, timeout=limit_s)
        for task in stubborn:
            if not task.cancelling():  # it has ended by itself, but for its clearing up
                task.cancel()
            _log.warning("%s does not end; mend that provider", task.get_name())

    def _start_next(self) -> None:
        """Ask the next one, which has its share of the time until its first action."""
        member = self._waiting.popleft()
        now = self._account.clock()
        for other in self._running:  # it takes nobody's time any more
            other.due.put_off(math.inf)
        until = self._share_ends(member, now)
        has_next = any(not other.rest.left_s(now) for other in self._waiting)
        moments = Due(until, outer=self._due, has_next=has_next)
        asking = Asking(member, self._whole, moments, self._news)
        self._running.append(asking)
        self._tasks.append(asking.task)
        self._hedge_at = now + self._patience_s(member, min(until, self._due.first_action) - now)

    def _share_ends(self, member: Member, now: float) -> float:
        """Until when one may take that is asked now, for those behind it."""
        until = self._due.first_action
        if until == math.inf or not self._waiting:
            return math.inf
        share_s = max(0.0, until - now) / (1 + len(self._waiting))
        # What is known of them is how long an action takes; and who rests leaves others that rest
        # no less, or the first of them would have all the time for ever.
        if self._whole.is_plain or member.rest.left_s(now):
            return now + share_s
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
        if p95 is not None:
            return p95
        return _PATIENCE_S if share_s == math.inf else share_s / 2

    def _next_moment(self) -> tuple[float, Asking | None]:
        """Until when to wait, and who is late then; None where another one is started then."""
        slowest = self._winner or min(self._running, key=Asking.limit)
        until, _ = slowest.limit()
        return (self._hedge_at, None) if self._hedge_at < until else (until, slowest)

    def _failed(self, asking: Asking, error: LLMError) -> Iterator[Event]:
        """Note a failure, and ask the next one; it is the whole question's where there is none."""
        account = self._account
        self._stop(asking)
        is_plain = self._whole.is_plain
        asking.member.rest.begin(error, account.clock(), asking.era, is_plain=is_plain)
        account.note(error, asking.name, asking.since, asking.told)
        self._errors.append(error)
        if self._winner is not None or not (self._running or self._waiting):
            whole = error if self._winner is not None else all_failed(self._errors)
            failure = account.closed_by(whole)
            raise failure from failure.__cause__
        if self._running:
            last = self._running[0]
            last.due.put_off(self._share_ends(last.member, account.clock()))
        else:
            self._start_next()
        asked = self._running[0]
        _log.warning(
            "%s failed (%s), so %s is asked: %s",
            asking.name,
            error.kind,
            asked.name,
            error.message,
        )
        yield account.failed(asked.name)
        if len(self._running) == 1:
            yield from self._released(asked)

    def _told(self, asking: Asking, event: Event) -> Iterator[Event]:
        """What is given out of an event: all of it, unless another one may still win."""
        if self._winner is None:
            if isinstance(event, ActionReady | Finished):
                self._won(asking)
                yield from self._released(asking)
            elif len(self._running) > 1:
                asking.held.append(event)
                return
        if isinstance(event, Finished):
            if not self._whole.is_plain:  # which says nothing of how well one acts
                asking.member.rest.end(asking.era)
            self._running.remove(asking)
        yield self._account.placed(event, asking.began)

    def _won(self, asking: Asking) -> None:
        """End the race: whoever else is asked is closed."""
        self._winner, self._hedge_at = asking, math.inf
        asking.member.overtaken = 0
        if asking.acted_s is not None:
            asking.member.latencies.add(asking.acted_s)
        for other in [each for each in self._running if each is not asking]:
            self._stop(other)
            self._overtaken(other, was_first=other.began < asking.began)

    def _overtaken(self, asking: Asking, *, was_first: bool) -> None:
        """Note that another one has acted first; a brain that is silent for ever has failed."""
        member, now = asking.member, self._account.clock()
        elapsed_s = now - asking.began
        attempt = Attempt(asking.name, "", "overtaken", elapsed_s)
        self._account.attempts = (*self._account.attempts, *asking.told, attempt)
        if was_first:  # else it had no time to show how long it takes
            member.latencies.add(elapsed_s)
            member.overtaken += 1
            if member.overtaken >= _OVERTAKEN:
                member.rest.begin(asking.late("first_action"), now, asking.era)

    def _released(self, asking: Asking) -> Iterator[Event]:
        held, asking.held = asking.held, []
        for event in held:
            yield self._account.placed(event, asking.began)

    def _stop(self, asking: Asking) -> None:
        self._running.remove(asking)
        asking.task.cancel()


def all_failed(errors: Sequence[LLMError]) -> LLMError:
    """One error of all; the one itself where there is no other.

    Parameters
    ----------
    errors : sequence of LLMError
        At least one, each with its provider.

    Returns
    -------
    LLMError
        That they rest, where one of them does: it will be asked again when its rest is over, so
        whoever asks all of them has nothing to add to it.
    """
    if len(errors) == 1:
        return errors[0]
    reasons = "; ".join(f"{error.provider} ({error.kind}): {error.message}" for error in errors)
    rests = [error.retry_after_s or 0.0 for error in errors if isinstance(error, RestingError)]
    kind = RestingError if rests else UnavailableError
    whole = kind(
        f"none of {len(errors)} brains answered: {reasons}",
        provider="FailoverLLM",
        retryable=any(error.retryable for error in errors),
        retry_after_s=min(rests, default=None),
    )
    whole.__cause__ = ExceptionGroup("every brain failed", errors)
    return whole
