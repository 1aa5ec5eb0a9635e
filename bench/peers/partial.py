"""Actions out of answers that are shown again and again, each time with more in them."""

from __future__ import annotations

from collections.abc import Iterable

from bench.peers import Given
from bench.task import Pair


class Shown:
    """Hands over what a library shows; an action that has changed since is handed over again.

    With `holds_back` the last action shown is held back until another one follows, which is what
    somebody does who has seen half a sentence acted on.
    """

    def __init__(self, given: Given, *, holds_back: bool = False) -> None:
        self._given = given
        self._holds_back = holds_back
        self._last: list[Pair] = []

    def show(self, actions: Iterable[object], *, is_whole: bool = False) -> None:
        """Take all actions shown so far: anything with a type and a value that is whole text."""
        if self._holds_back and not is_whole:
            actions = list(actions)[:-1]
        for at, action in enumerate(actions):
            pair = getattr(action, "type", None), getattr(action, "value", None)
            if not all(isinstance(part, str) for part in pair):
                return
            if at == len(self._last):
                self._last.append(pair)  # type: ignore[arg-type]
            elif self._last[at] != pair:
                self._last[at] = pair  # type: ignore[assignment]
            else:
                continue
            self._given(pair)  # type: ignore[arg-type]
