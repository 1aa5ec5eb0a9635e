"""Actions as JSON text or as tool calls: the form that most models are asked for."""

from __future__ import annotations

import json
from typing import Literal

from reflexarc.decoder import SHOWN, ActionDecoder, Ending, Judge
from reflexarc.messages import Arguments
from reflexarc.scanner import Scanner, parse
from reflexarc.types import Action, Json, ToolCallDelta, as_object
from reflexarc.vocabulary import Refusal


class JsonActions(ActionDecoder):
    """Actions as JSON text, as tool calls, or both.

    Takes ``{"actions": [{"type", "value"}, …]}``, a bare list, a single action and tool calls
    written as text, each with anything around it. After the first list or single action that is
    legal, what follows is ignored; so is text once a tool call gave an action, and the other way
    round.

    Parameters
    ----------
    judge : callable
        Decides about each action.
    """

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self._scanner = Scanner()
        self._calls: list[_ToolCall] = []
        self._source: Literal["text", "calls"] | None = None  # where the first action came from
        self._by_calls = False  # tool calls as text follow each other; a list or an action ends
        self._done = False

    @property
    def is_complete(self) -> bool:
        """Whether the list of actions is closed."""
        return self._done or bool(self._scanner.lists)

    @property
    def is_formless(self) -> bool:
        """Whether there is an answer without an action, legal or not, or an empty list."""
        found = self._calls or self._actions or self._refusals or self._scanner.lists
        return bool(self._beginning.strip()) and not found

    def _text(self, text: str) -> list[Action | Refusal]:
        if self._done or self._source == "calls":
            return []
        verdicts = self._scan(self._scanner, text)
        if self._actions:
            self._source = "text"
        return verdicts

    def _scan(self, scanner: Scanner, text: str, tool: str = "") -> list[Action | Refusal]:
        verdicts: list[Action | Refusal] = []
        named = ""  # the tool that the text names before its arguments
        for kind, value in scanner.feed(text):
            if kind == "item":
                verdicts.append(self._item(value))
                self._by_calls = False
            elif kind == "tool":
                self._by_calls = True
                named = value
            elif kind == "root":
                verdicts += self._root(value, tool or named)
                named = ""
            elif self._actions and scanner is self._scanner and not self._by_calls:
                self._done = True
                break
        return verdicts

    def _item(self, text: str) -> Action | Refusal:
        verdict = self._object(as_object(parse(text)))
        if verdict is not None:
            return verdict
        reason = 'this is not an action; one looks like {"type": "move", "value": "sit"}'
        return self._keep(Refusal("", text[:SHOWN], reason))

    def _root(self, text: str, tool: str) -> list[Action | Refusal]:
        root = as_object(parse(text))
        if tool:
            if root is not None:
                return [self._decide(tool, Arguments(root))]
            return [
                self._keep(Refusal(tool, text[:SHOWN], f"the arguments of {tool} are not JSON"))
            ]
        verdict = self._object(root)
        return [] if verdict is None else [verdict]

    def _object(self, fields: Json | None) -> Action | Refusal | None:
        """Decide about an action, or a tool call written as text; Llama says ``parameters``."""
        match fields:
            case {"type": str(type_), "value": value}:
                return self._decide(type_, value)
            case {"name": str(name), "arguments": dict()}:
                self._by_calls = True
                return self._decide(name, Arguments(fields["arguments"]))
            case {"name": str(name), "parameters": dict()}:
                self._by_calls = True
                return self._decide(name, Arguments(fields["parameters"]))
            case _:
                return None

    def _tool_call(self, delta: ToolCallDelta) -> list[Action | Refusal]:
        if self._source == "text":
            return []
        call = self._call_of(delta)
        if delta.name and delta.name != call.name:
            call.name += delta.name
        text = delta.arguments if isinstance(delta.arguments, str) else json.dumps(delta.arguments)
        call.text.append(text)
        call.mark = call.mark or text.lstrip()[:1]
        if call.mark == '"':  # encoded twice: braces in it are not yet its own
            return []
        return self._from_call(call, text)

    def _from_call(self, call: _ToolCall, text: str) -> list[Action | Refusal]:
        verdicts = self._scan(call.scanner, text, call.name)
        if self._actions:
            self._source = "calls"
        return verdicts

    def _call_of(self, delta: ToolCallDelta) -> _ToolCall:
        """The call that a delta belongs to: by id, else by index, else the last one."""
        id_ = delta.id if delta.id != "null" else None
        for call in reversed(self._calls):
            if id_ and call.id:
                same = id_ == call.id
            elif delta.index is not None:
                same = delta.index == call.index
            else:
                same = not id_ and not (delta.name and call.scanner.roots)
            if same:
                return call
        call = _ToolCall(id_, delta.index)
        self._calls.append(call)
        return call

    def close(self, ending: Ending) -> list[Action | Refusal]:
        """End the answer; see `Decoder.close`."""
        verdicts: list[Action | Refusal] = []
        calls = [] if self._source == "text" else self._calls
        for call in calls:
            verdicts += self._end_call(call)
        scanners = [call.scanner for call in calls]
        if not self._done and self._source != "calls":
            scanners.append(self._scanner)
        is_open = not self._done and any(
            scanner.is_open and not scanner.is_past_list for scanner in scanners
        )
        empty_list = any(scanner.lists for scanner in scanners)
        whole = not is_open and ending != "cut"
        if ending != "finished":
            whole = whole and (self._done or (empty_list and not self._actions))
        self._check(whole=whole, may_be_empty=empty_list)
        return verdicts

    def _end_call(self, call: _ToolCall) -> list[Action | Refusal]:
        """What only the end of a call tells: arguments encoded twice, or none that can be used."""
        if call.scanner.roots or call.scanner.is_open:
            return []
        text = "".join(call.text).strip()
        inner = parse(text) if text else "{}"
        verdicts = self._from_call(call, inner if isinstance(inner, str) else "")
        if not call.scanner.roots:
            reason = f"the arguments of {call.name} are no JSON object"
            verdicts.append(self._keep(Refusal(call.name, text[:SHOWN], reason)))
        return verdicts


class _ToolCall:
    """A tool call while it arrives."""

    __slots__ = ("id", "index", "mark", "name", "scanner", "text")

    def __init__(self, id_: str | None, index: int | None) -> None:
        self.id = id_
        self.index = index
        self.name = ""
        self.scanner = Scanner()
        self.text: list[str] = []
        self.mark = ""  # the first character of the arguments
