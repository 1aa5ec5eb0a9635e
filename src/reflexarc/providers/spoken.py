"""Acting at once, and then a sentence: a decider picks the moves, and the language model speaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from reflexarc.alarm import Alarm, LateError
from reflexarc.attempts import Attempt
from reflexarc.decoder import Decoder, fit
from reflexarc.due import due
from reflexarc.errors import LLMError
from reflexarc.lines import LineActions, LineForm
from reflexarc.onboard.decision import Decision, Mind, is_sound
from reflexarc.onboard.hearing import listen
from reflexarc.prompt import Prompt
from reflexarc.providers.aim import ActionsAim
from reflexarc.types import Action, ActionReady, Event, Finished, TextDelta, Usage

_log = logging.getLogger(__name__)

_LEFT_S = 0.1
"""Seconds before the deadline at which the robot stops waiting for a sentence."""


class SentenceAim(ActionsAim):
    """The rest of a line: what the robot says, where it is decided what it does.

    Parameters
    ----------
    aim : ActionsAim
        What the whole answer is to be; it has a vocabulary.
    lines : LineForm
        The vocabulary's.
    done : sequence of Action
        What is decided.
    speech : str
        Name of the action that says something.
    """

    acts = False

    def __init__(
        self, aim: ActionsAim, lines: LineForm, done: Sequence[Action], speech: str
    ) -> None:
        super().__init__(aim.vocabulary, aim.output_model)
        self._judge = lines.judge
        self._begun = speech
        self.grammar = lines.sentence_grammar()
        self.text = lines.write(done) + self._begun
        """What is written already."""

    def decoder(self) -> Decoder:
        """What decodes one answer; see `Aim.decoder`."""
        return LineActions(self._judge, self._begun)


class Spoken:
    """One answer: the moves of a decision, and then what the robot says.

    Parameters
    ----------
    mind : Mind
        Decides.
    aim : ActionsAim
        What the answer is to be; it has a vocabulary.
    lines : LineForm
        The vocabulary's.
    provider, model : str
        Who answers.
    """

    def __init__(
        self, mind: Mind, aim: ActionsAim, lines: LineForm, provider: str, model: str
    ) -> None:
        assert aim.vocabulary is not None
        self._mind = mind
        self._aim = aim
        self._lines = lines
        self._judge = aim.vocabulary.judge
        self._speech = aim.vocabulary.speech
        self._provider = provider
        self._model = model
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._ready: list[ActionReady] = []
        self._usage: Usage | None = None
        self._attempts: tuple[Attempt, ...] = ()

    async def events(
        self, prompt: Prompt, ask: Callable[[SentenceAim], AsyncGenerator[Event, None]]
    ) -> AsyncGenerator[Event, None]:
        """Act, and speak.

        Parameters
        ----------
        prompt : Prompt
            The question.
        ask : callable
            Asks the language model for the sentence.

        Yields
        ------
        Event
            Actions, the model's text, and `Finished`.
        """
        decision = await asyncio.to_thread(self._mind.decide, prompt.situation)
        for action in (*decision.moves, *decision.shown):
            yield self._acted(action)
        if self._speech is not None and decision.kind != "silence":
            sentence = decision.answer
            if not decision.is_fixed:
                aim = SentenceAim(self._aim, self._lines, decision.moves, self._speech)
                async with aclosing(self._asked(ask(aim))) as events:
                    async for event in events:
                        if not isinstance(event, str):
                            yield event
                        elif await asyncio.to_thread(self._can_be_said, event, decision, prompt):
                            sentence = event
            verdict = self._judge(self._speech, sentence)
            if isinstance(verdict, Action):
                yield self._acted(verdict)
        yield self._finished()

    async def _asked(
        self, events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[TextDelta | Usage | str, None]:
        """What the model writes while it does, and the whole of it as a text."""
        until = due().whole - _LEFT_S
        try:
            with Alarm() as alarm:
                async with aclosing(events):
                    while (event := await alarm.wait(anext(events, None), until)) is not None:
                        if isinstance(event, TextDelta):
                            yield event
                        elif isinstance(event, Usage):
                            self._usage = event
                            yield event
                        elif isinstance(event, ActionReady):
                            yield event.action.value
                        elif isinstance(event, Finished):
                            self._model, self._attempts = event.model, event.attempts[:-1]
        except LateError:
            late_s = self._clock() - self._started
            late = (
                f"the sentence was not complete within {late_s:.2g} s; a short one takes its place"
            )
            self._attempts = (Attempt(self._provider, self._model, "timeout", late_s, late),)
        except LLMError as error:
            # It has acted, and has something to say at any rate: no reason to break off.
            self._attempts = error.attempts
            _log.warning("The on-board model said nothing (%s): %s", error.kind, error.message)

    def _can_be_said(self, sentence: str, decision: Decision, prompt: Prompt) -> bool:
        """Whether the model's sentence is one, and tells of what is done."""
        is_one = is_sound(sentence, listen(prompt.situation).said)
        return is_one and self._mind.fits(sentence, decision)

    def _acted(self, action: Action) -> ActionReady:
        self._ready.append(ActionReady(action, len(self._ready), self._clock() - self._started))
        return self._ready[-1]

    def _done(self) -> list[Action]:
        return [ready.action for ready in self._ready]

    def _finished(self) -> Finished:
        total_s = self._clock() - self._started
        before_s = sum(attempt.elapsed_s for attempt in self._attempts)
        done = [action.model_dump() for action in self._done()]
        return Finished(
            answer=fit(self._aim.output_model, {"actions": done}),
            provider=self._provider,
            model=self._model,
            first_action_s=self._ready[0].at_s if self._ready else None,
            total_s=total_s,
            usage=self._usage,
            attempts=(
                *self._attempts,
                Attempt(self._provider, self._model, "ok", max(0.0, total_s - before_s)),
            ),
        )
