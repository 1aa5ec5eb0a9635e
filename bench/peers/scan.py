"""What somebody writes who does it by hand: an action is given when its brace closes."""

from __future__ import annotations

from bench.peers import Given
from bench.task import Action, Answer, Pair, pairs_of


class Actions:
    """The actions of one answer of the shape asked for: flat objects in one list, no fences."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._texts: list[str] = []
        self._item: list[str] | None = None
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> None:
        """Take the next piece."""
        self._texts.append(text)
        begun = 0
        for at, char in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._in_string = False
            elif char == '"':
                self._in_string = True
            elif char == "{":
                self._depth += 1
                if self._depth == 2:
                    begun, self._item = at, []
            elif char == "}":
                self._depth -= 1
                if self._depth == 1 and self._item is not None:
                    action = "".join([*self._item, text[begun : at + 1]])
                    self._item = None
                    given = Action.model_validate_json(action)
                    self._given((given.type, given.value))
        if self._item is not None:
            self._item.append(text[begun:])

    def answer(self) -> list[Pair]:
        """The whole answer, validated as a whole."""
        return pairs_of(Answer.model_validate_json("".join(self._texts)))
