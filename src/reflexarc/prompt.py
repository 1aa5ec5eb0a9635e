"""What a model is shown: the stable part first, then the past, and what is sensed now last.

A server keeps the beginning of a prompt in its cache and reads only what differs. Measured on the
on-board model: what is sensed in the middle, as OM1 has it, costs 194 tokens a tick, at the end 25.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from reflexarc.config import RobotConfig, Sensed
from reflexarc.errors import ConfigError, check_type
from reflexarc.messages import as_calls, as_text, disarmed, merged, read_message
from reflexarc.prose import read_prose
from reflexarc.types import Action, Message, whole_characters
from reflexarc.vocabulary import HOW, Vocabulary

AnswerForm = Literal["json", "tools"]
"""How the model is asked to write its actions: as one JSON object, or as tool calls."""

_ASK_FOR = {
    "json": (
        "Answer with one JSON object and nothing else, for example %s. "
        'If there is nothing to do, answer {"actions":[]}.'
    ),
    "tools": "Answer by calling the tools, one call for each action, in order.",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything a model is told in one tick.

    Parameters
    ----------
    system : str, default ""
        Persona and laws; the same at every tick.
    history : tuple of Message, default ()
        Past ticks, oldest first.
    situation : str, default ""
        What is sensed now.
    examples : tuple of Sensed, default ()
        Examples as data; the same at every tick.
    actions : Vocabulary or None, default None
        What the robot can do in this tick; None is what the LLM was made with.
    is_plain : bool, default False
        Whether plain text is asked for, which nobody acts on; see `LLM.write`.

    Raises
    ------
    ConfigError
        If something of it has another type.
    """

    system: str = ""
    history: tuple[Message, ...] = ()
    situation: str = ""
    examples: tuple[Sensed, ...] = ()
    actions: Vocabulary | None = None
    is_plain: bool = False

    def __post_init__(self) -> None:
        for text in (self.system, self.situation):
            check_type(text, str, "what a model is told must be text", "write Prompt(situation=…)")
        for turn in self.history:
            check_type(
                turn,
                Message,
                "a turn of a prompt's history must be a Message",
                "write mappings beside it: ask(prompt, messages)",
            )
        if self.actions is not None:
            check_type(self.actions, Vocabulary, "a prompt's actions must be a Vocabulary", HOW)

    @classmethod
    def for_robot(cls, robot: RobotConfig) -> Prompt:
        """The stable part of a robot's prompt; `replace` its situation at every tick.

        Parameters
        ----------
        robot : RobotConfig
            Whose persona, laws and examples to use.

        Returns
        -------
        Prompt
        """
        parts = [robot.system_prompt_base.strip()]
        if robot.system_governance.strip():
            parts.append(f"LAWS:\n{robot.system_governance.strip()}")
        prose = robot.system_prompt_examples.strip()
        examples = robot.examples or robot.cortex_llm.examples
        if prose and not examples:
            examples = read_prose(prose, Vocabulary.from_actions(robot.agent_actions))
            prose = "" if examples else prose  # they are data now
        if prose:
            parts.append(f"EXAMPLES:\n{prose}")
        return cls(system="\n\n".join(filter(None, parts)), examples=examples)

    def at(self, situation: str, history: Iterable[Message] = ()) -> Prompt:
        """The prompt of one tick.

        Parameters
        ----------
        situation : str
            What is sensed now.
        history : iterable of Message, default ()
            Past ticks, oldest first.

        Returns
        -------
        Prompt
        """
        return replace(self, situation=situation, history=tuple(history))


def read_prompt(
    prompt: str | Prompt, messages: Sequence[Message | Mapping[str, Any]] | None
) -> Prompt:
    """Bring what a caller hands to ``ask`` into one form.

    Parameters
    ----------
    prompt : str or Prompt
        A text is what is sensed now.
    messages : sequence of Message or mapping, or None
        Past turns, before those of `prompt`; a mapping has ``role`` and ``content``.

    Returns
    -------
    Prompt

    Raises
    ------
    ConfigError
        If it is neither, or a message has no known role, or content that cannot be sent.
    """
    whole = Prompt(situation=prompt) if isinstance(prompt, str) else prompt
    check_type(
        whole,
        Prompt,
        "a prompt must be a text or a Prompt",
        "write what is sensed now as text, and past turns beside it: ask(text, messages)",
    )
    if not messages:
        return whole
    check_type(messages, Iterable, "messages must be a sequence", "write ask(prompt, [message, …])")
    return replace(whole, history=(*map(read_message, messages), *whole.history))


def check_actions(prompt: Prompt, *, are_known: bool) -> None:
    """Refuse to ask for actions where nobody could tell which of them are legal.

    Parameters
    ----------
    prompt : Prompt
        The question; it may bring actions of its own.
    are_known : bool
        Whether there are others, or an output model that somebody has chosen.

    Raises
    ------
    ConfigError
        If a robot is to act, and nothing is known of what it can do.
    """
    if prompt.actions is None and not (are_known or prompt.is_plain):
        raise ConfigError(
            "it is not known what the robot can do, so no action could be checked; "
            "write load_llm(config, actions=Vocabulary.load(file)), or ask for text by llm.write(…)"
        )


def instructions(vocabulary: Vocabulary, form: AnswerForm) -> str:
    """What the robot can do and how to answer; the same at every tick.

    Parameters
    ----------
    vocabulary : Vocabulary
        The robot's actions.
    form : {"json", "tools"}
        How actions are to be written.

    Returns
    -------
    str
    """
    first = vocabulary.specs[0]
    ask = _ASK_FOR[form]
    if form == "json":
        example = Action(type=first.type, value=first.values[0] if first.values else "…")
        ask %= written([example])
    return f"AVAILABLE ACTIONS:\n{vocabulary.describe()}\n\n{ask}"


def build_messages(
    prompt: Prompt, closing: str = "", form: AnswerForm = "json"
) -> tuple[Message, ...]:
    """Messages that the strictest server accepts.

    One system message first, then turns of alternating roles, the last of them the user's. An
    assistant's turn before any user's, OM1's summary, joins the system message. Nothing that was
    said or sensed can end its turn or begin another.

    Parameters
    ----------
    prompt : Prompt
        What to say.
    closing : str, default ""
        The end of the system message, such as `instructions`.
    form : {"json", "tools"}, default "json"
        How past tool calls are shown: as the JSON that is asked for, or as calls.

    Returns
    -------
    tuple of Message
    """
    system = [prompt.system, _examples(prompt.examples), closing]
    turns: list[Message] = []
    for turn in (*_past(prompt.history, form), Message("user", prompt.situation)):
        message = disarmed(turn)
        if message.role == "system" or (message.role == "assistant" and not turns):
            system.append(message.content)
        else:
            turns.append(message)
    text = "\n\n".join(part.strip() for part in system if part.strip())
    messages = [*([Message("system", text)] if text else []), *merged(turns)]
    return tuple(
        message
        if message.content.isascii()
        else replace(message, content=whole_characters(message.content))
        for message in messages
    )


def _past(history: tuple[Message, ...], form: AnswerForm) -> list[Message]:
    """Past turns in a form that servers accept, without an assistant's that are empty.

    Calls stay calls from the first user's turn on; what is before it has no place but in words.
    """
    told = [
        turn
        for turn in history
        if turn.role != "assistant" or turn.tool_calls or turn.content.strip()
    ]
    first = next((at for at, turn in enumerate(told) if turn.role == "user"), len(told))
    written_as = as_calls if form == "tools" else as_text
    return as_text(told[:first]) + written_as(told[first:])


@lru_cache(maxsize=8)  # the same at every tick
def _examples(examples: tuple[Sensed, ...]) -> str:
    if not examples:
        return ""
    lines = (f"Input: {example.sensed}\nAnswer: {written(example.actions)}" for example in examples)
    return "EXAMPLES:\n" + "\n\n".join(lines)


def written(actions: Iterable[Action]) -> str:
    """Actions as the compact JSON that a model is asked for.

    Parameters
    ----------
    actions : iterable of Action
        In order.

    Returns
    -------
    str
    """
    answer = {"actions": [{"type": each.type, "value": each.value} for each in actions]}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
