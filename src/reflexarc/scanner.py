"""Finds complete JSON values in text that arrives in pieces, whatever stands around them.

Small models wrap their answer in prose, fences and ``<think>`` and get its end wrong. The scanner
looks at each character once and keeps only the value that is open, so its cost is linear, and any
way of cutting the same text gives the same values.

Two kinds of value are reported: an ``item`` is an object in a list under the key ``actions`` or in
a bare list; a ``root`` is an outermost object without such a list. An item is reported at its
closing brace, long before its root is complete; the ``end`` of each such list and of each outermost
value is reported too. A ``tool`` is a name that stands before the root which follows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

DEEPEST = 64
"""Levels of nesting after which a value is taken for noise."""

_ROOT = re.compile(r"[{\[<]")
_MARK = re.compile(r'["{}\[\]:,]')
_STRING_END = re.compile(r'["\\]')
_NOT_SPACE = re.compile(r"\S")
_THOUGHT_BEGINS = ("<think>", "<thinking>")
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>")
_STRAY_ENDS = ("</think>", "</thinking>")
_TAGS = (*_THOUGHT_BEGINS, *_STRAY_ENDS)
_LONGEST_TAG = len("</thinking>")
# Mistral's models write their calls so; servers with another parser hand that on as text.
_MISTRAL_CALL = re.compile(r"\[TOOL_CALLS\]([\w-]{1,64})\[ARGS\]\s*$")
_LONGEST_BEFORE = 90
_FENCES = re.compile(r"(?:```(?:json)?)*")
_LONGEST_FENCES = 12
_MAY_FOLLOW = {"{": '"}', "[": "{]"}
_CLOSES = {"}": "{", "]": "["}


class Found(NamedTuple):
    """A complete value.

    Parameters
    ----------
    kind : {"item", "root", "end", "tool"}
        What it is; see the module.
    text : str
        Its JSON text, or the tool's name; empty for ``end``.
    """

    kind: Literal["item", "root", "end", "tool"]
    text: str


class Scanner:
    """Text in, complete JSON values out.

    Parameters
    ----------
    items : bool, default True
        Whether lists of actions are taken apart; if not, every outermost object is a root.

    Attributes
    ----------
    roots : int
        Complete outermost values seen.
    is_thought_out : bool
        Whether a thought has ended that had not begun: its beginning was left out, and what stands
        before its end was read.
    """

    def __init__(self, *, items: bool = True) -> None:
        self.roots = 0
        self.is_thought_out = False
        self._lists = 0
        self._empty = 0  # bare lists without an item
        self._has_item = False  # whether the last list has one
        self._said = ""  # what stands outside values, shortened, without white space
        self._items = items
        self._state: Callable[[Scanner, str, int, list[Found]], int] = Scanner._outside
        self._open: list[str] = []  # an opening mark for each level
        self._list_level = 0  # the level of the open list of actions; 0 for none
        self._in_item = False
        self._collected: list[str] | None = None  # earlier pieces of the value being collected
        self._from = 0  # where in the current piece that value goes on
        self._mark = ""  # the last structural mark, to know a key from a value
        self._word = ""  # the last string outside items, shortened
        self._tag = ""
        self._before = ""  # the end of what stands outside values
        self._listed = False  # whether a list of actions was closed in the last outermost value

    @property
    def lists(self) -> int:
        """Complete lists of actions seen; an empty bare one only where nothing else is written.

        In prose it is a box to be ticked, or a footnote.
        """
        is_alone = self._empty == self.roots and _FENCES.fullmatch(self._said)
        return self._lists + (self._empty if is_alone else 0)

    @property
    def is_open(self) -> bool:
        """Whether a value, or a thought, has begun and is not complete."""
        return bool(self._open) or self._state is Scanner._in_thought

    @property
    def is_past_list(self) -> bool:
        """Whether a value is open whose list of actions is closed: the rest changes nothing."""
        return bool(self._open) and self._listed

    def feed(self, text: str) -> list[Found]:
        """Take the next piece of text.

        Parameters
        ----------
        text : str
            Any length, also empty.

        Returns
        -------
        list of Found
            The values that this piece completes, in order.
        """
        found: list[Found] = []
        position, end = 0, len(text)
        self._from = 0
        while position < end:
            position = self._state(self, text, position, found)
        if self._collected is not None:
            self._collected.append(text[self._from :])
        return found

    def _outside(self, text: str, position: int, _: list[Found]) -> int:
        match = _ROOT.search(text, position)
        end = match.start() if match else len(text)
        start = max(position, end - _LONGEST_BEFORE)
        self._before = (self._before + text[start:end])[-_LONGEST_BEFORE:]
        self._say(text[position:end])
        if match is None:
            return end
        mark = match[0]
        if mark == "<":
            self._tag = mark
            self._state = Scanner._in_tag
        elif mark == "{" or self._items:
            self._open.append(mark)
            self._listed = False
            self._state = Scanner._after_root
            if mark == "{":
                self._collect(match.start())
        return match.end()

    def _in_tag(self, text: str, position: int, _: list[Found]) -> int:
        self._tag += text[position]
        if self._tag in _THOUGHT_BEGINS:
            self._tag = self._before = ""
            self._state = Scanner._in_thought
        elif self._tag in _STRAY_ENDS:
            self._tag = self._before = self._said = ""
            self.is_thought_out = True
            self._state = Scanner._outside
        elif not any(tag.startswith(self._tag) for tag in _TAGS):
            self._before += self._tag[:-1]
            self._say(self._tag[:-1])
            self._state = Scanner._outside
            return position  # not a thought after all, and this character may open a value
        return position + 1

    def _in_thought(self, text: str, position: int, _: list[Found]) -> int:
        carried, self._tag = self._tag, ""  # only a piece's beginning has something carried to it
        window = carried + text if carried else text
        match = _THOUGHT_ENDS.search(window, position)
        if match is None:
            self._tag = window[max(position, len(window) - _LONGEST_TAG) :]
            return len(text)
        self._state = Scanner._outside
        return match.end() - len(carried)

    def _after_root(self, text: str, position: int, _: list[Found]) -> int:
        """Check what follows the first brace: prose has braces too, but nothing JSON in them."""
        match = _NOT_SPACE.search(text, position)
        if match is None:
            return len(text)
        root = self._open[0]
        if match[0] not in _MAY_FOLLOW[root]:
            self._abandon()
        elif root == "[":
            self._begin_list()
        else:
            self._state = Scanner._inside
        return match.start()

    def _inside(self, text: str, position: int, found: list[Found]) -> int:
        match = _MARK.search(text, position)
        if match is None:
            return len(text)
        mark, end = match[0], match.end()
        if mark == '"':
            self._word = ""
            self._state = Scanner._in_string
            return end
        if mark in "{[":
            is_list = self._items and mark == "[" and self._mark == ":" and self._word == "actions"
            self._open.append(mark)
            if len(self._open) > DEEPEST:
                self._abandon()
            elif is_list and not self._in_item:
                self._begin_list()
        elif mark in "}]":
            self._close(mark, text, end, found)
        self._mark = mark
        return end

    def _in_list(self, text: str, position: int, found: list[Found]) -> int:
        """Between the items of a list of actions, where only objects may stand."""
        match = _NOT_SPACE.search(text, position)
        if match is None:
            return len(text)
        mark, end = match[0], match.end()
        if mark == "{":
            self._open.append(mark)
            self._collect(match.start())
            self._in_item = self._has_item = True
            self._state = Scanner._inside
        elif mark == "]":
            is_bare = len(self._open) == 1
            self._lists += not is_bare or self._has_item
            self._empty += is_bare and not self._has_item
            self._list_level = 0
            self._listed = True
            if not is_bare:  # an outermost list ends below
                found.append(Found("end", ""))
            self._state = Scanner._inside
            self._close(mark, text, end, found)
        elif mark != ",":
            self._abandon()
            return match.start()
        return end

    def _in_string(self, text: str, position: int, _: list[Found]) -> int:
        match = _STRING_END.search(text, position)
        end = match.start() if match else len(text)
        if not self._in_item and len(self._word) < _LONGEST_TAG:
            self._word += text[position:end]
        if match is None:
            return end
        self._state = Scanner._inside if match[0] == '"' else Scanner._escaped
        return match.end()

    def _escaped(self, text: str, position: int, _: list[Found]) -> int:
        if len(self._word) < _LONGEST_TAG:
            self._word += "\\"  # a key with an escape is not `actions`
        self._state = Scanner._in_string
        return position + 1

    def _begin_list(self) -> None:
        self._collected = None
        self._listed = self._has_item = False
        self._list_level = len(self._open)
        self._state = Scanner._in_list

    def _close(self, mark: str, text: str, end: int, found: list[Found]) -> None:
        if self._open.pop() != _CLOSES[mark]:
            self._abandon()
            return
        level = len(self._open)
        if self._in_item and level == self._list_level:
            found.append(Found("item", self._finish(text, end)))
            self._in_item = False
            self._state = Scanner._in_list
        elif level == 0:
            self.roots += 1
            if self._collected is not None:
                if match := _MISTRAL_CALL.search(self._before):
                    found.append(Found("tool", match[1]))
                found.append(Found("root", self._finish(text, end)))
            found.append(Found("end", ""))
            self._before = ""
            self._state = Scanner._outside

    def _collect(self, start: int) -> None:
        self._collected = []
        self._from = start

    def _finish(self, text: str, end: int) -> str:
        value = "".join((*(self._collected or ()), text[self._from : end]))
        self._collected = None
        return value

    def _say(self, text: str) -> None:
        if len(self._said) < _LONGEST_FENCES:
            self._said = (self._said + "".join(text.split()))[:_LONGEST_FENCES]

    def _abandon(self) -> None:
        root = self._open[0] if self._open else ""
        self._before += root
        self._say(root)
        self._open.clear()
        self._collected = None
        self._list_level = 0
        self._in_item = False
        self._state = Scanner._outside


def parse(text: str) -> Any:
    """Parse JSON text; forgives line breaks in strings, but no repeated key.

    Parameters
    ----------
    text : str
        Of one value.

    Returns
    -------
    object
        Its value; None if it is not JSON.
    """
    try:
        return json.loads(text, strict=False, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is written twice")
    return values
