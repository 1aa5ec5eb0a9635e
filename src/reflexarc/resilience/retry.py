"""Ask the same one again, where that may help and while it leaves time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from random import Random

from reflexarc.due import due
from reflexarc.errors import LLMError, RateLimitedError
from reflexarc.gate import Gate
from reflexarc.llm import LLM, Messages, R
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience.around import Account, Around
from reflexarc.resilience.health import LONGEST_REST_S, Rest
from reflexarc.types import ActionReady, Event, Finished

_MOST_TOKENS = 5.0
_FIRST_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between two tries.

    Parameters
    ----------
    base_s : float, default 0.1
        Most seconds before the first try that is one more.
    growth : float, default 2.0
        Factor from one wait to the next; at least 1.
    cap_s : float, default 2.0
        Most seconds.
    """

    base_s: float = 0.1
    growth: float = 2.0
    cap_s: float = 2.0

    def wait_s(self, failures: int, random: Random) -> float:
        """Seconds to wait before the next try.

        Parameters
        ----------
        failures : int
            Tries that have failed, from 1.
        random : Random
            Source of the jitter.

        Returns
        -------
        float
            Evenly spread over the upper half of the wait, in ``[0, cap_s]``; so robots that failed
            together do not come back together, and none comes back at once.
        """
        longest_s = min(self.cap_s, self.base_s * self.growth ** min(failures - 1, 64))
        return longest_s * random.uniform(0.5, 1.0)


class Retry(Around[R]):
    """Asks again after a failure that may pass, before an action is out.

    A server that says how long to wait is left alone for so long, over all calls: they fail at once
    with `RestingError` meanwhile. After too many calls it is left alone also where it does not say.

    Parameters
    ----------
    llm : LLM
        Who is asked.
    attempts : int, default 2
        Most tries of one question, at least 1.
    backoff : Backoff or None, default None
        How long to wait between them; None takes ``Backoff()``.
    budget : float, default 0.2
        Most tries that are one more, for each question, over time; 5 may come in a row. So a server
        that is failing is not asked twice as often as one that is well.
    longest_s : float, default LONGEST_REST_S
        Most seconds to leave it alone, whatever it asks for.
    random : Random or None, default None
        Source of the jitter; None makes one.
    """

    def __init__(
        self,
        llm: LLM[R],
        *,
        attempts: int = 2,
        backoff: Backoff | None = None,
        budget: float = 0.2,
        longest_s: float = LONGEST_REST_S,
        random: Random | None = None,
    ) -> None:
        super().__init__(llm)
        self._most = attempts
        self._backoff = backoff or Backoff()
        self._budget = budget
        self._random = random or Random()
        self._tokens = _MOST_TOKENS
        self._longest_s = longest_s
        self._rest = Rest(_FIRST_REST_S, longest_s)
        self._gate = Gate(self.name)

    async def open(self) -> None:
        """Open the one inside."""
        self._gate.open()
        await super().open()

    async def aclose(self) -> None:
        """End the waits between tries, and close the one inside; may be called twice."""
        try:
            await self._gate.close()
        finally:
            await super().aclose()

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        account = Account()
        if self._rest.left_s(account.started):
            raise self._rest.error(self.name, account.started)
        era: int = self._rest.era
        self._tokens = min(_MOST_TOKENS, self._tokens + self._budget)
        for tries in range(1, self._most + 1):
            began = account.clock()
            try:
                async with aclosing(self._llm.stream(whole)) as events:
                    async for event in events:
                        if isinstance(event, ActionReady | Finished):
                            self._rest.end(era)
                        yield account.placed(event, began)
                return
            except LLMError as error:
                account.note(error, self.name, began)
                wait_s = self._wait_s(error, account, tries)
                if wait_s is None:
                    self._give_up(error, account.clock(), era)
                    raise account.whole(error) from error.__cause__
                failure, failed_at = error, account.clock()
            try:
                yield account.failed(self.name)
                await self._gate.during(partial(asyncio.sleep, wait_s))
            except (asyncio.CancelledError, GeneratorExit):  # another one acts, or it is too late
                self._tokens += 1
                self._give_up(failure, failed_at, era)
                raise

    def _wait_s(self, error: LLMError, account: Account, tries: int) -> float | None:
        """How long to wait before the next try; None if there is to be none."""
        asked_s = error.retry_after_s or 0.0
        if account.actions or not error.retryable or tries == self._most or self._tokens < 1:
            return None
        wait_s = self._backoff.wait_s(tries, self._random) + asked_s
        if asked_s > self._longest_s or account.clock() + wait_s >= due().first_action:
            return None
        if isinstance(error, RateLimitedError) and due().has_next:  # which need not be waited for
            return None
        self._tokens -= 1
        return wait_s

    def _give_up(self, error: LLMError, now: float, era: int) -> None:
        """Leave the server alone, where it asks for that or has been asked too often."""
        is_asked = error.retry_after_s is not None or isinstance(error, RateLimitedError)
        if is_asked:
            self._rest.begin(error, now, era)
