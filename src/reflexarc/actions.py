"""Actions as JSON text or as tool calls: the form that most models are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from reflexarc.calls import ToolCall, ToolCalls
from reflexarc.decoder import SHOWN, ActionDecoder, Ending, Judge
from reflexarc.messages import Arguments
from reflexarc.scanner import Found, Scanner, parse
from reflexarc.specs import ActionSpec
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
    specs : iterable of ActionSpec, default ()
        The robot's actions, as far as they are known; see `ToolCalls`.
    """

    def __init__(self, judge: Judge, specs: Iterable[ActionSpec] = ()) -> None:
        super().__init__(judge)
        self._scanner = Scanner()
        parameters = {spec.type: spec.parameters or {} for spec in specs}
        # Else a list of that name is the robot's actions, such as in the tool `answer`.
        self._tool_calls = ToolCalls(
            parameters,
            lambda name: "actions" not in parameters.get(name, {}).get("properties", {}),
        )
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
        found = self._tool_calls.calls or self._actions or self._refusals or self._scanner.lists
        return bool(self._beginning.strip()) and not found

    @property
    def thinks_aloud(self) -> bool:
        """Whether a thought ends that has not begun."""
        return self._scanner.is_thought_out

    def _text(self, text: str) -> list[Action | Refusal]:
        if self._source == "calls":
            return []
        found = self._scanner.feed(text)
        if self._done:
            return []
        verdicts = self._decided(found)
        if self._actions:
            self._source = "text"
        return verdicts

    def _decided(self, found: Sequence[Found], tool: str | None = None) -> list[Action | Refusal]:
        """Decide about values in a text, or in the arguments of a tool."""
        verdicts: list[Action | Refusal] = []
        named = ""  # the tool that the text names before its arguments
        for kind, value in found:
            if kind == "item":
                verdicts.append(self._item(value))
                self._by_calls = False
            elif kind == "tool":
                self._by_calls = True
                named = value
            elif kind == "root":
                verdicts += self._root(value, tool or named)
                named = ""
            elif self._actions and tool is None and not self._by_calls:
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
            case {"name": str(name), "arguments": inner} | {"name": str(name), "parameters": inner}:
                arguments = as_object(inner)
                if arguments is None:
                    return None
                self._by_calls = True
                return self._decide(name, Arguments(arguments))
            case _:
                return None

    def _tool_call(self, delta: ToolCallDelta) -> list[Action | Refusal]:
        if self._source == "text":
            return []
        call, found = self._tool_calls.take(delta)
        return self._from_call(call, found)

    def _from_call(self, call: ToolCall, found: Sequence[Found]) -> list[Action | Refusal]:
        verdicts = self._decided(found, call.name)
        if self._actions:
            self._source = "calls"
        return verdicts

    def close(self, ending: Ending) -> list[Action | Refusal]:
        """End the answer; see `Decoder.close`."""
        verdicts: list[Action | Refusal] = []
        calls = [] if self._source == "text" else self._tool_calls.calls
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

    def _end_call(self, call: ToolCall) -> list[Action | Refusal]:
        """What only the end of a call tells: arguments encoded twice, or none that can be used."""
        found = call.end()
        if found is None:
            return []
        verdicts = self._from_call(call, found)
        if not call.scanner.roots:
            reason = f"the arguments of {call.name} are no JSON object"
            verdicts.append(self._keep(Refusal(call.name, call.text[:SHOWN], reason)))
        return verdicts
