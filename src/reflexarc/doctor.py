"""Whether each of a robot's brains answers: one question to each, one after the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.due import Due, due, due_by
from reflexarc.errors import DeadlineError, LLMError, ReflexarcError
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.redaction import hidden
from reflexarc.registry import find_llm
from reflexarc.resilience.chain import FailoverLLM, entries
from reflexarc.types import Action, ActionReady, Finished
from reflexarc.vocabulary import Vocabulary

if TYPE_CHECKING:
    from reflexarc.providers.provider import Provider

QUESTION = "A person says: please sit down."
"""What each brain is asked."""

ON_BOARD = "on board"
"""The server of a brain that computes on the robot itself."""


@dataclass(frozen=True, slots=True)
class Brain:
    """One of a robot's brains, before it is asked.

    Parameters
    ----------
    config : LLMConfig
        Which one.
    model : str or None
        Which model is asked; None where that is not known.
    llm : LLM or None, default None
        Made and not opened; None where that failed.
    server : str or None, default None
        Its host, with the port where one is named, or `ON_BOARD`; None where that is not known.
    error : ReflexarcError or None, default None
        Why it could not be made.
    secrets : tuple of str, default ()
        What may not be shown.
    """

    config: LLMConfig
    model: str | None
    llm: LLM[Any] | None = None
    server: str | None = None
    error: ReflexarcError | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of asking one brain.

    Parameters
    ----------
    provider : str
        As in ``LLMConfig.type``.
    model : str or None
        Who answered, as the server named it; else who was asked.
    server : str or None
        See `Brain`.
    ok : bool, default False
        Whether the answer arrived whole.
    ready_s : float or None, default None
        Seconds until it could be asked: opened, connected, and the prompt read ahead; None if it
        was not ready when it was asked.
    first_action_s : float or None, default None
        Seconds from the question to the first action; None if there was none.
    total_s : float or None, default None
        Seconds from the question to the end of the answer or to its failure; None if never asked.
    action : Action or None, default None
        The first one.
    kind : str or None, default None
        Of the error, where there was one.
    message : str or None, default None
        Its sentence, which says what to do.
    """

    provider: str
    model: str | None
    server: str | None
    ok: bool = False
    ready_s: float | None = None
    first_action_s: float | None = None
    total_s: float | None = None
    action: Action | None = None
    kind: str | None = None
    message: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The answer as one JSON object."""
        action = self.action
        return {
            "event": "provider",
            "provider": self.provider,
            "model": self.model,
            "server": self.server,
            "ok": self.ok,
            "ready_s": _rounded(self.ready_s),
            "first_action_s": _rounded(self.first_action_s),
            "total_s": _rounded(self.total_s),
            "action": {"type": action.type, "value": action.value} if action else None,
            "kind": self.kind,
            "message": self.message,
        }


def line_up(
    robot: RobotConfig, vocabulary: Vocabulary, environ: Mapping[str, str]
) -> tuple[Brain, ...]:
    """Make each brain of a robot; nothing is opened or sent.

    It imports modules and reads files, so inside an event loop call it from a thread.

    Parameters
    ----------
    robot : RobotConfig
        Whose.
    vocabulary : Vocabulary
        What the robot can do.
    environ : mapping of str to str
        Where keys are looked up.

    Returns
    -------
    tuple of Brain
        In the order in which the robot asks them; what is wrong with one of them is its `error`.

    Raises
    ------
    ConfigError
        If they are right each by itself and wrong together: the robot would not start.
    """
    given: dict[str, Any] = {
        "vocabulary": vocabulary,
        "output_model": None,
        "environ": environ,
    }
    config = robot.cortex_llm
    brains = tuple(_made(each, given) for each in entries(config))
    right = tuple(brain.config for brain in brains if brain.llm is not None)
    if config.llms and right:
        FailoverLLM(config.model_copy(update={"llms": right}), **given)
    elif config.is_chain and len(right) == len(brains):
        FailoverLLM(config, **given)
    return brains


def _made(config: LLMConfig, given: Mapping[str, Any]) -> Brain:
    brain = Brain(config, config.model, secrets=tuple(_keys_in(config)))
    try:
        make = find_llm(config.type)
        brain = _known(brain, make, given["environ"])
        return replace(brain, llm=make(config, **given))
    except ReflexarcError as error:
        return replace(brain, error=error)


def _keys_in(config: LLMConfig) -> Iterator[str]:
    if config.api_key is not None:
        yield config.api_key.get_secret_value()
    for each in config.llms:
        yield from _keys_in(each)


def _known(brain: Brain, make: Any, environ: Mapping[str, str]) -> Brain:
    """What is told of a brain even where it cannot be made, by its provider's row."""
    row: Provider | None = getattr(make, "provider", None)  # not every package's has one
    base_url = brain.config.base_url or (row.base_url if row else None)
    key = environ.get((row.key_variable if row else None) or "")
    return replace(
        brain,
        model=brain.config.model or (row.model if row else None),
        server=ON_BOARD if getattr(make, "is_on_board", False) else _host(base_url),
        secrets=(*brain.secrets, *([key] if key else [])),
    )


def _host(base_url: str | None) -> str | None:
    return urlsplit(base_url).netloc if base_url else None


async def ask(brain: Brain, prompt: Prompt) -> Answer:
    """Open one brain, ask it one question, and close it.

    Parameters
    ----------
    brain : Brain
        Which one; it has its own ``timeout`` for all of this but the closing.
    prompt : Prompt
        The question.

    Returns
    -------
    Answer
        How it went; a failure is an answer as well.
    """
    known = Answer(brain.config.type, brain.model, brain.server)
    if brain.llm is None:
        assert brain.error is not None, "what is not made has a reason"
        return _failed(known, brain, brain.error)
    async with aclosing(brain.llm):
        with due_by(Due()):  # where is noted whether there is a connection
            return await _ask(brain, brain.llm, known, prompt)


async def _ask(brain: Brain, llm: LLM[Any], known: Answer, prompt: Prompt) -> Answer:
    clock = asyncio.get_running_loop().time
    begun, asked = clock(), None
    limit = asyncio.timeout(brain.config.timeout)
    try:
        async with limit:
            await llm.open()
            with suppress(LLMError):  # the question will meet the same, or go on from there
                await llm.warm(prompt)
            asked = clock()
            if not due().is_sought:
                known = replace(known, ready_s=asked - begun)
            async with aclosing(llm.stream(prompt)) as events:
                async for event in events:
                    if isinstance(event, ActionReady) and known.action is None:
                        known = replace(known, action=event.action, first_action_s=event.at_s)
                    elif isinstance(event, Finished):
                        known = replace(known, ok=True, model=event.model, total_s=event.total_s)
        return _blotted(known, brain.secrets)
    except TimeoutError:
        if not limit.expired():
            raise
        error: ReflexarcError = _late(brain.config.timeout, was_asked=asked is not None)
    except ReflexarcError as failure:
        error = failure
    if asked is not None:
        known = replace(known, total_s=clock() - asked)
    return _failed(known, brain, error)


def verdict(answers: Sequence[Answer]) -> str:
    """What the answers mean for the robot, in one sentence.

    Parameters
    ----------
    answers : sequence of Answer
        Of all its brains, in their order.

    Returns
    -------
    str
    """
    right = [answer for answer in answers if answer.ok]
    one = len(answers) == 1
    if not right:
        none = "The only brain does not answer" if one else f"None of {len(answers)} brains answers"
        return f"{none}; the robot would stand still."
    count = "The only brain answers" if one else f"{len(right)} of {len(answers)} brains answer"
    if len(right) == 1 and not one:
        count += "s"
    return f"{count}; the robot acts on {label(right[0], answers)}."


def label(answer: Answer, answers: Sequence[Answer]) -> str:
    """What to call a brain among others.

    Parameters
    ----------
    answer : Answer
        Of the one.
    answers : sequence of Answer
        Of all.

    Returns
    -------
    str
        The provider; with its server where several have the same.
    """
    if Counter(each.provider for each in answers)[answer.provider] == 1 or not answer.server:
        return answer.provider
    return f"{answer.provider} at {answer.server}"


def _late(timeout: float, *, was_asked: bool) -> LLMError:
    what = "the answer was not complete" if was_asked else "it was not ready to be asked"
    limit = f"timeout = {timeout:g} s"
    return due().no_connection(limit) or DeadlineError(
        f"{what} within {limit}, which begins here when it is opened; "
        "try a faster model, or raise the limit"
    )


def _failed(known: Answer, brain: Brain, error: ReflexarcError) -> Answer:
    whole = replace(known, ok=False, kind=error.kind, message=error.message)
    return _blotted(whole, brain.secrets)


def _blotted(answer: Answer, secrets: Sequence[str]) -> Answer:
    """An answer without keys, which a server may have written anywhere in it."""

    def clean(text: str) -> str:
        for secret in secrets:
            text = hidden(text, secret)
        return text

    action = answer.action
    return replace(
        answer,
        model=answer.model and clean(answer.model),
        message=answer.message and clean(answer.message),
        action=action and Action(type=clean(action.type), value=clean(action.value)),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
