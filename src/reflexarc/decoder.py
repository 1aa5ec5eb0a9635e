"""What a model answers, in pieces, becomes complete and legal actions. No I/O, no clock.

A decoder is fed the pieces of one answer in order and gives back each action, or the refusal of it,
with the piece that completes it. The same answer gives the same actions however it is cut. `close`
says how the answer ended and raises if the robot cannot rely on it; actions given out before stand.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from reflexarc.errors import BadOutputError, TruncatedError
from reflexarc.scanner import Scanner, parse
from reflexarc.types import Action, Json, TextDelta, ToolCallDelta, as_object
from reflexarc.vocabulary import Refusal

Judge = Callable[[str, object], Action | Refusal]
"""Decides about one action; `Vocabulary.judge`, or `judge_any`."""

Piece = TextDelta | ToolCallDelta

M = TypeVar("M", bound=BaseModel)

Ending = Literal["finished", "unmarked", "length", "cut"]
"""How an answer ended: the server said it was finished; it ended the stream without saying so; the
token limit cut it; or the connection just ended."""

_SHOWN = 200


def judge_any(type_: str, value: object) -> Action | Refusal:
    """Accept any action whose value is text: the judge where there is no vocabulary.

    Parameters
    ----------
    type_ : str
        Name of the action.
    value : object
        Its value.

    Returns
    -------
    Action or Refusal
    """
    if isinstance(value, str):
        return Action(type=type_, value=value)
    shown = json.dumps(value, ensure_ascii=False)
    return Refusal(type_, shown, f"the value of {type_} must be text, not {shown}")


class Decoder(ABC):
    """One answer, decoded while it arrives."""

    def __init__(self) -> None:
        self._beginning = ""

    def feed(self, piece: Piece) -> list[Action | Refusal]:
        """Take the next piece.

        Parameters
        ----------
        piece : TextDelta or ToolCallDelta
            As the server sent it.

        Returns
        -------
        list of Action or Refusal
            What this piece completes, in order.
        """
        if isinstance(piece, ToolCallDelta):
            return self._tool_call(piece)
        if len(self._beginning) < _SHOWN:
            self._beginning += piece.text[:_SHOWN]
        return self._text(piece.text)

    @abstractmethod
    def close(self, ending: Ending) -> list[Action | Refusal]:
        """End the answer.

        Parameters
        ----------
        ending : {"finished", "unmarked", "length", "cut"}
            How it ended.

        Returns
        -------
        list of Action or Refusal
            What only the end completes.

        Raises
        ------
        TruncatedError
            If the answer is not known to be whole.
        BadOutputError
            If it is whole and holds nothing the robot may do.
        """

    @abstractmethod
    def answer(self, output_model: type[BaseModel]) -> BaseModel:
        """The whole answer, after `close`.

        Parameters
        ----------
        output_model : type
            A pydantic model; where the answer is a list of actions, one with the field ``actions``.

        Returns
        -------
        pydantic.BaseModel

        Raises
        ------
        BadOutputError
            If the answer does not fit `output_model`.
        """

    @abstractmethod
    def _text(self, text: str) -> list[Action | Refusal]: ...

    @abstractmethod
    def _tool_call(self, delta: ToolCallDelta) -> list[Action | Refusal]: ...

    def _shown(self) -> str:
        text = " ".join(self._beginning.split())[:_SHOWN]
        return f"it begins: {text}" if text else "it is empty"


class ActionDecoder(Decoder):
    """What the decoders of actions share: the judge, and the account of what it said.

    Parameters
    ----------
    judge : callable
        Decides about each action.
    """

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge
        self._actions: list[Action] = []
        self._refusals: list[Refusal] = []

    def answer(self, output_model: type[BaseModel]) -> BaseModel:
        """The actions as `output_model`; see `Decoder.answer`."""
        return fit(output_model, {"actions": [action.model_dump() for action in self._actions]})

    def _decide(self, type_: str, value: object) -> Action | Refusal:
        return self._keep(self._judge(type_, value))

    def _keep(self, verdict: Action | Refusal) -> Action | Refusal:
        if isinstance(verdict, Action):
            self._actions.append(verdict)
        else:
            self._refusals.append(verdict)
        return verdict

    def _check(self, *, whole: bool, may_be_empty: bool) -> None:
        if not whole and not self._beginning and not self._actions and not self._refusals:
            raise TruncatedError("the server ended its reply before any answer; try again")
        if not whole:
            raise TruncatedError(
                f"the answer ended early, after {len(self._actions)} complete actions; "
                "ask again, and raise max_tokens if it happens often"
            )
        if not self._actions and self._refusals:
            reasons = "; ".join(refusal.reason for refusal in self._refusals[:3])
            raise BadOutputError(f"the model asked only for what the robot may not do: {reasons}")
        if not self._actions and not may_be_empty:
            raise BadOutputError(
                f"the answer holds no action; {self._shown()}. "
                "Try another value of 'structured', or a larger model"
            )


class JsonActions(ActionDecoder):
    """Actions as JSON text, as tool calls, or both.

    Takes ``{"actions": [{"type", "value"}, …]}``, a bare list, a single action and a tool call
    written as text, each with anything around it. After the first value that holds a legal action,
    what follows is ignored; so is text once a tool call gave an action, and the other way round.

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
        self._done = False

    def _text(self, text: str) -> list[Action | Refusal]:
        if self._done or self._source == "calls":
            return []
        verdicts = self._scan(self._scanner, text)
        if self._actions:
            self._source = "text"
        return verdicts

    def _scan(self, scanner: Scanner, text: str, tool: str = "") -> list[Action | Refusal]:
        verdicts: list[Action | Refusal] = []
        for kind, value in scanner.feed(text):
            if kind == "item":
                verdicts.append(self._item(value))
            elif kind == "root":
                verdicts += self._root(value, tool)
            elif self._actions and scanner is self._scanner:
                self._done = True
                break
        return verdicts

    def _item(self, text: str) -> Action | Refusal:
        verdict = self._object(as_object(parse(text)))
        if verdict is not None:
            return verdict
        reason = 'this is not an action; one looks like {"type": "move", "value": "sit"}'
        return self._keep(Refusal("", text[:_SHOWN], reason))

    def _root(self, text: str, tool: str) -> list[Action | Refusal]:
        root = as_object(parse(text))
        if tool:
            if root is not None:
                return [self._decide(tool, _argument(root))]
            return [
                self._keep(Refusal(tool, text[:_SHOWN], f"the arguments of {tool} are not JSON"))
            ]
        verdict = self._object(root)
        return [] if verdict is None else [verdict]

    def _object(self, fields: Json | None) -> Action | Refusal | None:
        """Decide about an action, or a tool call written as text; Llama says ``parameters``."""
        match fields:
            case {"type": str(type_), "value": value}:
                return self._decide(type_, value)
            case {"name": str(name), "arguments": dict()}:
                return self._decide(name, _argument(fields["arguments"]))
            case {"name": str(name), "parameters": dict()}:
                return self._decide(name, _argument(fields["parameters"]))
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
        is_open = any(scanner.is_open for scanner in scanners)
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
            verdicts.append(self._keep(Refusal(call.name, text[:_SHOWN], reason)))
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


def _argument(arguments: dict[str, Any]) -> object:
    """The value of an action from a tool's arguments: ``action``, the only one, or all as JSON."""
    if "action" in arguments:
        return arguments["action"]
    if len(arguments) == 1:
        return next(iter(arguments.values()))
    return json.dumps(arguments, ensure_ascii=False) if arguments else ""


def fit(output_model: type[M], data: Json) -> M:
    """Make an answer of plain data.

    Parameters
    ----------
    output_model : type
        A pydantic model.
    data : dict
        Its fields.

    Returns
    -------
    pydantic.BaseModel
        An instance of `output_model`.

    Raises
    ------
    BadOutputError
        If the data does not fit.
    """
    try:
        return output_model.model_validate(data)
    except ValidationError as error:
        raise BadOutputError(
            f"the answer does not fit {output_model.__name__}: {mistake_in(error)}"
        ) from error


def mistake_in(error: ValidationError) -> str:
    """The first thing that pydantic finds wrong, in a few words.

    Parameters
    ----------
    error : pydantic.ValidationError
        What it raised.

    Returns
    -------
    str
        Place and mistake, never the value.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
