"""Tool calls while they arrive: which piece belongs to which call, and what of it is to be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from reflexarc.scanner import Found, Scanner, parse
from reflexarc.types import ToolCallDelta


class ToolCall:
    """A tool call while it arrives.

    Parameters
    ----------
    id_ : str or None
        The server's id of it.
    index : int or None
        Its place in the answer.

    Attributes
    ----------
    name : str
        The tool, as far as it is known.
    scanner : Scanner
        Reads the arguments.
    """

    __slots__ = ("_last", "_mark", "_next", "_pieces", "id", "index", "name", "scanner")

    def __init__(self, id_: str | None, index: int | None) -> None:
        self.id = id_
        self.index = index
        self.name = ""
        self.scanner = Scanner()
        self._pieces: list[str] = []
        self._mark = ""  # the first character of the arguments
        self._last: list[object] = []  # the values of the outermost value before this one
        self._next: list[object] = []

    @property
    def text(self) -> str:
        """The arguments so far, without white space around them."""
        return "".join(self._pieces).strip()

    def feed(self, text: str) -> list[Found]:
        """Take the next piece of the arguments.

        Parameters
        ----------
        text : str
            Any length, also empty.

        Returns
        -------
        list of Found
            The values that it completes.
        """
        self._pieces.append(text)
        self._mark = self._mark or text.lstrip()[:1]
        if self._mark == '"':  # encoded twice: braces in it are not yet its own
            return []
        return self._found(text)

    def end(self) -> list[Found] | None:
        """End the arguments: they may be encoded twice, or left out.

        Returns
        -------
        list of Found or None
            What only the end completes; None where a value has begun before.
        """
        if self.scanner.roots or self.scanner.is_open:
            return None
        inner = parse(self.text) if self.text else "{}"
        return self._found(inner if isinstance(inner, str) else "")

    def _found(self, text: str) -> list[Found]:
        """The values in a text, but for those of a value that is only sent again.

        Some servers repeat all of the arguments with the last piece, or with each.
        """
        found: list[Found] = []
        for each in self.scanner.feed(text):
            if each.kind in {"item", "root"}:
                value, at = parse(each.text), len(self._next)
                self._next.append(value)
                if value is not None and self._last[at : at + 1] == [value]:
                    continue
            elif each.kind == "end" and self._next:
                self._last, self._next = self._next, []
            found.append(each)
        return found


class ToolCalls:
    """The tool calls of one answer.

    Parameters
    ----------
    names : collection of str
        The tools, as far as they are known.
    items : callable
        Whether a list of actions in the arguments of a tool is taken apart; given its name.

    Attributes
    ----------
    calls : list of ToolCall
        Those that have begun, in order.
    """

    def __init__(self, names: Collection[str], items: Callable[[str], bool]) -> None:
        self.calls: list[ToolCall] = []
        self._names = names
        self._items = items

    def take(self, delta: ToolCallDelta) -> tuple[ToolCall, list[Found]]:
        """Take the next piece.

        Parameters
        ----------
        delta : ToolCallDelta
            As the server sent it.

        Returns
        -------
        ToolCall
            The call that it belongs to.
        list of Found
            The values that it completes.
        """
        call = self._call_of(delta)
        if delta.name and delta.name != call.name:
            call.name += delta.name
        arguments = delta.arguments
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        if text and not call.text:  # by then its name is whole
            call.scanner = Scanner(items=self._items(call.name))
        return call, call.feed(text)

    def _call_of(self, delta: ToolCallDelta) -> ToolCall:
        """The call that a piece belongs to: by id, else by index, else the last one."""
        id_ = delta.id if delta.id != "null" else None
        for call in reversed(self.calls):
            if id_ and call.id:
                is_it = id_ == call.id
            elif delta.index is not None:
                is_it = delta.index == call.index
            else:
                is_it = not id_
            if is_it and not (id_ and call.id) and self._is_another(delta, call):
                break
            if is_it:
                return call
        call = ToolCall(id_, delta.index)
        self.calls.append(call)
        return call

    def _is_another(self, delta: ToolCallDelta, call: ToolCall) -> bool:
        """Whether a name begins another call, where neither id nor index tells them apart."""
        if not delta.name:
            return False
        if delta.name == call.name:  # some servers repeat it with each piece
            return delta.index is None and bool(call.scanner.roots)
        return bool(call.scanner.roots) or {call.name, delta.name} <= {*self._names}
