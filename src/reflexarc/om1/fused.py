"""OM1's prompt, taken apart: what is the same at every tick, what is new, and what may be done.

OM1's fuser writes one text a tick: laws and examples, then what is sensed, then the list of actions
and a question. A server's prefix cache ends where two prompts first differ, so with what is sensed
in the middle, all the actions are read again at every tick. Here they go before it.

What each sense says is put on a line of its own, ``Voice: sit!``, without the marks around it and
without the time that some of OM1's inputs write down: it is less to read, and what a small model
has examples of.

The parts are found by what the fuser has recorded, never by searching for headings: what the robot
hears may hold any text, and must not be able to pass for a list of actions.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reflexarc.errors import ConfigError
from reflexarc.specs import ActionSpec
from reflexarc.types import as_object
from reflexarc.vocabulary import Vocabulary

_log = logging.getLogger(__name__)

_INPUTS = "\n\nAVAILABLE INPUTS:\n"
_ACTIONS = "\nAVAILABLE ACTIONS:\n"
_QUESTION = "What will you do? Actions:"

NOTHING = "Nothing is sensed."
"""What stands for inputs that say nothing."""

# What one sense says, as OM1's inputs format it; a text may hold the marks as well.
_BLOCK_OF_INPUT = re.compile(
    r"^INPUT: (?P<name>[^\n]*)\n// START\n(?P<text>.*?)\n// END[ \t]*$", re.DOTALL | re.MULTILINE
)

# How Python writes down what OM1 has heard and when; its MockInput tells that, and so its history.
_ESCAPE = r"\\(?:[\\'nrt]|x[\da-f]{2}|u(?!d[89a-f])[\da-f]{4}|U[\da-f]{8})"
_RECORD = re.compile(
    r"Message\(timestamp=[-+.\de]+, message="
    rf"""(?P<text>'(?:[^'\\]|{_ESCAPE})*'|"(?:[^"\\]|{_ESCAPE})*")\)"""
)

# One action, as OM1's describe_action writes it.
_BLOCK = re.compile(
    r"(?P<label>[^\n:]+):(?P<about>[^\n]*)\ntype=(?P<type>[^\n]+)\n(?P<value>value=.*)", re.DOTALL
)
_VALUES = re.compile(r"value=\{'(?P<values>.*)'\}")


@dataclass(frozen=True, slots=True)
class Fused:
    """The parts of one prompt.

    Parameters
    ----------
    system : str
        Persona, laws and examples: the same at every tick.
    situation : str
        What is sensed, and what was added behind the question, such as the results of tools.
    actions : str, default ""
        The list of actions, as text.
    """

    system: str
    situation: str
    actions: str = ""


def read_fused(prompt: str, io: Any) -> Fused:
    """Take a prompt apart.

    Parameters
    ----------
    prompt : str
        As OM1's fuser wrote it, or any other text.
    io : object
        OM1's ``io_provider``, which knows the parts of its fuser's last prompt.

    Returns
    -------
    Fused
        A text that is not the fuser's is all situation.
    """
    system: str = getattr(io, "fuser_system_prompt", None) or ""
    inputs: str | None = getattr(io, "fuser_inputs", None)
    rest = prompt.removeprefix(system)
    if not system or rest == prompt or not rest.strip():
        return Fused("", prompt)
    sensed = f"{_INPUTS}{inputs or ''}"
    behind = rest.removeprefix(sensed)
    if inputs is None or behind == rest or not behind.startswith(_ACTIONS):
        return Fused(system, rest.strip())
    actions, _, added = behind.removeprefix(_ACTIONS).partition(_QUESTION)
    return Fused(system, f"{_lines(inputs)}\n{added}".strip(), actions.strip())


def _lines(inputs: str) -> str:
    """What is sensed, a line for each sense; as it stands where it has another form."""
    if not inputs.strip():
        return NOTHING
    blocks = list(_BLOCK_OF_INPUT.finditer(inputs))
    if _BLOCK_OF_INPUT.sub("", inputs).strip():
        return f"{_INPUTS}{inputs}".strip()
    return "\n".join(
        f"{block['name'].strip()}: {' '.join(spoken(block['text']).split())}" for block in blocks
    )


def spoken(text: str) -> str:
    """A text with what was heard in the place of OM1's record of it.

    Parameters
    ----------
    text : str
        Such as ``"Message(timestamp=1.5, message='sit!')"``.

    Returns
    -------
    str
        Such as ``"sit!"``; without a record, the text as it is.
    """
    return _RECORD.sub(_heard, text)


def _heard(record: re.Match[str]) -> str:
    try:
        return str(ast.literal_eval(record["text"]))
    except (ValueError, SyntaxError):  # somebody has said something that looks like one
        return record[0]


@lru_cache(maxsize=8)  # the same at every tick
def read_actions(text: str) -> Vocabulary | None:
    """The robot's actions from OM1's list of them; its first generation tells plugins nothing else.

    Parameters
    ----------
    text : str
        ``LABEL: description``, ``type=…`` and ``value={'a', 'b'}`` or another value, a block each.

    Returns
    -------
    Vocabulary or None
        None where the text is not wholly understood.
    """
    specs: list[ActionSpec] = []
    for block in filter(None, map(str.strip, text.split("\n\n"))):
        found = _BLOCK.fullmatch(block)
        if found is None:
            return None
        closed = _VALUES.fullmatch(found["value"])
        values = tuple(closed["values"].split("', '")) if closed else None
        specs.append(ActionSpec(found["type"], values, " ".join(found["about"].split())))
    try:
        return Vocabulary(specs)
    except ConfigError:
        return None


def read_functions(schemas: Iterable[Mapping[str, Any]]) -> Vocabulary | None:
    """The robot's actions from OM1's function schemas, which its later generation makes of them.

    Parameters
    ----------
    schemas : iterable of mapping
        OpenAI-style tool definitions.

    Returns
    -------
    Vocabulary or None
        Without those that no model could be told, which the log names; None where none is left.
    """
    known: Vocabulary | None = None
    tools: list[dict[str, Any]] = []
    for schema in schemas:
        try:
            known = Vocabulary.from_tools([*tools, dict(schema)])
        except ConfigError as error:
            _log.error("A function schema of OM1's cannot be used: %s", error.message)
        else:
            tools.append(dict(schema))
    return known


def heard(turn: Any) -> Any:
    """A past turn in the same words as what is sensed now.

    Parameters
    ----------
    turn : object
        As OM1's history has it, with ``content``.

    Returns
    -------
    object
        Another one; the same where it has no text.
    """
    known = as_object(turn)
    content = known.get("content") if known else None
    return {**known, "content": spoken(content)} if known and isinstance(content, str) else turn
