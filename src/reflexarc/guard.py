"""The robot's own rules between every brain and the actuators: no model is asked about them."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from reflexarc.errors import ConfigError, did_you_mean
from reflexarc.llm import LLM, Messages, R
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience.around import Around
from reflexarc.rules import Limit, Never
from reflexarc.specs import folded
from reflexarc.types import Action, ActionReady, ActionRefused, Event, Finished, as_object
from reflexarc.vocabulary import Refusal, Vocabulary


class Guard(Around[R]):
    """A brain whose actions are held to the robot's rules.

    What a rule forbids becomes `ActionRefused`, with the rule as its reason; the other actions and
    the answer are given out without it. It holds for every brain, and for an idle action too.

    It knows what is sensed from the prompts, and from `sense`, which a robot's loop calls at once:
    then what comes while an answer is written counts as well.

    Parameters
    ----------
    llm : LLM
        Whose actions.
    never : sequence of Never, default ()
        What is not done.
    limits : sequence of Limit, default ()
        What is not done more often.
    vocabulary : Vocabulary or None, default None
        Of the robot, to tell a rule that could never hold.

    Raises
    ------
    ConfigError
        If a rule is about an action or value that the robot does not have.
    """

    def __init__(
        self,
        llm: LLM[R],
        *,
        never: Sequence[Never] = (),
        limits: Sequence[Limit] = (),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        super().__init__(llm)
        if vocabulary is not None:
            for rule in (*never, *limits):
                _check(rule, vocabulary)
        self._never = tuple(_Ban(rule) for rule in never)
        self._limits = tuple(_Count(rule) for rule in limits)

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        sensed = "" if whole.is_plain else folded(whole.situation)
        self.sense(sensed)
        done: list[Action] = []
        first_s: float | None = None
        refused = False
        async with aclosing(self._llm.stream(whole)) as events:
            async for event in events:
                if isinstance(event, ActionReady):
                    reason = self._judge(event.action, sensed)
                    if reason is not None:
                        refused = True
                        yield ActionRefused(
                            event.action.type, event.action.value, reason, event.at_s
                        )
                        continue
                    if not done:
                        first_s = event.at_s
                    done.append(event.action)
                    yield replace(event, index=len(done) - 1)
                elif isinstance(event, Finished) and refused:
                    kept = _without(event.answer, done)
                    yield replace(event, answer=kept, first_action_s=first_s)
                else:
                    yield event

    def sense(self, text: str) -> None:
        """Note what is sensed now. Inside a running loop.

        Parameters
        ----------
        text : str
            As it would stand in a prompt.
        """
        now, sensed = asyncio.get_running_loop().time(), folded(text)
        for ban in self._never:
            ban.sense(sensed, now)

    def objection(self, action: Action) -> str | None:
        """Why an action that was given out is not to be done now. Inside a running loop.

        Parameters
        ----------
        action : Action
            For which one has to wait, such as for the movement before it.

        Returns
        -------
        str or None
            What `never` has against it, after what has been sensed by now; None is nothing.
        """
        now = asyncio.get_running_loop().time()
        return next(filter(None, (ban.objection(action, now) for ban in self._never)), None)

    def _judge(self, action: Action, sensed: str) -> str | None:
        """Why an action is not done; one that is done counts from now on."""
        now = asyncio.get_running_loop().time()
        reasons = [
            *(ban.objection(action, now, sensed) for ban in self._never),
            *(count.objection(action, now) for count in self._limits),
        ]
        reason = next((each for each in reasons if each is not None), None)
        if reason is None:
            for count in self._limits:
                count.add(action, now)
        return reason


class _Ban:
    """One thing that is not done, and when it was last sensed why."""

    def __init__(self, rule: Never) -> None:
        self._rule = rule
        words = "|".join(re.escape(folded(each)) for each in rule.while_)
        self._while = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
        self._last: tuple[str, float] | None = None

    def sense(self, sensed: str, now: float) -> None:
        if self._rule.while_ and (found := self._while.search(sensed)):
            self._last = found[0], now

    def objection(self, action: Action, now: float, sensed: str = "") -> str | None:
        if not _is_about(self._rule, action):
            return None
        name = _named(self._rule)
        if not self._rule.while_:
            return f"the robot never does '{name}'"
        if found := self._while.search(sensed):
            return f"the robot does not do '{name}' while it senses '{found[0]}'"
        if self._last is None:
            return None
        phrase, at = self._last
        if now - at >= self._rule.hold:
            return None
        return f"the robot does not do '{name}' yet: it sensed '{phrase}' {now - at:.1f} s ago"


@dataclass(slots=True)
class _Count:
    """How often one thing was done lately."""

    rule: Limit
    times: deque[float] = field(default_factory=deque[float])

    def objection(self, action: Action, now: float) -> str | None:
        if not _is_about(self.rule, action):
            return None
        while self.times and self.times[0] <= now - self.rule.per:
            self.times.popleft()
        if len(self.times) < self.rule.most:
            return None
        often = "once" if self.rule.most == 1 else f"{self.rule.most} times"
        return f"the robot does '{_named(self.rule)}' no more than {often} in {self.rule.per:g} s"

    def add(self, action: Action, now: float) -> None:
        if _is_about(self.rule, action):
            self.times.append(now)


def _is_about(rule: Never | Limit, action: Action) -> bool:
    is_type = folded(rule.type) == folded(action.type)
    return is_type and (rule.value is None or folded(rule.value) == folded(action.value))


def _named(rule: Never | Limit) -> str:
    return rule.type if rule.value is None else f"{rule.type} {rule.value}"


def _check(rule: Never | Limit, vocabulary: Vocabulary) -> None:
    kind = "never" if isinstance(rule, Never) else "limits"
    types = {folded(spec.type): spec for spec in vocabulary.specs}
    spec = types.get(folded(rule.type))
    if spec is None:
        raise ConfigError(
            f"{kind} has a rule about '{rule.type}', which is no action of the robot; "
            f"{did_you_mean(rule.type, types)}"
        )
    if rule.value is None or spec.values is None:
        return
    verdict = vocabulary.judge(rule.type, rule.value)
    if isinstance(verdict, Refusal):
        raise ConfigError(f"{kind} has a rule that could never hold: {verdict.reason}")


def _without(answer: Any, done: Sequence[Action]) -> Any:
    """An answer with these actions only."""
    if not hasattr(answer, "actions"):
        return answer
    left = [(each.type, each.value) for each in done]
    actions: list[Any] = []
    for action in answer.actions:
        fields = as_object(action) or {name: getattr(action, name) for name in ("type", "value")}
        pair = str(fields["type"]), str(fields["value"])
        if pair in left:
            left.remove(pair)
            actions.append(action)
    return answer.model_copy(update={"actions": actions})
