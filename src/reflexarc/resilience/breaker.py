"""Leave one alone that keeps failing, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from reflexarc.due import due
from reflexarc.errors import DeadlineError, LLMError
from reflexarc.llm import LLM, Messages, R, Standing, State
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience.around import Around
from reflexarc.resilience.health import (
    FIRST_REST_S,
    LONGEST_REST_S,
    Rest,
    is_counted,
    is_lasting,
)
from reflexarc.types import ActionReady, Event, Finished


class Breaker(Around[R]):
    """Fails at once while the one inside is taken to be down.

    Closed, it passes every question on; failures in a row open it. Open, every question fails with
    `RestingError`, without a wait. After a while it is half-open: one question, and no other at the
    same time, is passed on as a probe. Its first action, or its end, closes the breaker; its
    failure opens it for twice as long.

    What the caller did wrong and what was cancelled counts for nothing, but an answer that the
    deadline has cut before its first action is a failure; a key that is refused and a quota that is
    used up open it at once.

    Parameters
    ----------
    llm : LLM
        Who is asked.
    failures : int, default 3
        In a row, which open it; at least 1.
    open_s : float, default FIRST_REST_S
        Seconds for which it is open at first.
    longest_s : float, default LONGEST_REST_S
        Most seconds for which it is open.
    """

    def __init__(
        self,
        llm: LLM[R],
        *,
        failures: int = 3,
        open_s: float = FIRST_REST_S,
        longest_s: float = LONGEST_REST_S,
    ) -> None:
        super().__init__(llm)
        self._most = failures
        self._failures = 0
        self._is_open = False
        self._probing_until = -math.inf  # one that never ends is given up
        self._longest_s = longest_s
        self._rest = Rest(open_s, longest_s)

    @property
    def state(self) -> State:
        """Whether the next question is passed on, fails, or is a probe; inside a running loop."""
        if not self._is_open:
            return "closed"
        now = asyncio.get_running_loop().time()
        is_open = now < self._probing_until or self._rest.left_s(now)
        return "open" if is_open else "half-open"

    def standings(self) -> tuple[Standing, ...]:
        """The one inside, in the state of this breaker; see `LLM.standings`."""
        return tuple(replace(each, state=self.state) for each in self._llm.standings())

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        clock = asyncio.get_running_loop().time
        if self.state == "open":
            raise self._rest.error(self.name, clock())
        is_probe = self._is_open
        if is_probe:
            self._probing_until = min(clock() + self._longest_s, due().whole)
        era: int = self._rest.era  # what began before it opened does not count afterwards
        is_plain, is_served = whole.is_plain, False
        try:
            async with aclosing(self._llm.stream(whole)) as events:
                async for event in events:
                    # A text says nothing of how well one acts.
                    if isinstance(event, ActionReady | Finished) and not is_plain:
                        is_served = True
                        self._served(is_probe=is_probe, era=era, whole=isinstance(event, Finished))
                        is_probe = False
                    yield event
        except LLMError as error:
            self._failed(error, clock(), era, is_probe=is_probe, is_plain=is_plain)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if (phase := due().cut) is not None:
                late = DeadlineError("it was cut, since it was late", phase=phase)
                self._failed(late, clock(), era, is_probe=is_probe, is_plain=is_plain)
            elif is_served:
                self._served(is_probe=is_probe, era=era, whole=True)
            raise
        finally:
            if is_probe:
                self._probing_until = -math.inf

    def _served(self, *, is_probe: bool, era: int, whole: bool) -> None:
        if is_probe:
            self._is_open, self._probing_until = False, -math.inf
        if whole and era == self._rest.era:
            self._failures = 0
            self._rest.end(era)

    def _failed(
        self, error: LLMError, now: float, era: int, *, is_probe: bool, is_plain: bool
    ) -> None:
        if era != self._rest.era or not is_counted(error, is_plain=is_plain):
            return
        self._failures += 1
        if is_probe or self._failures >= self._most or is_lasting(error):
            self._is_open = True
            self._failures = 0
            self._rest.begin(error, now, era)
