"""What a model answers, in pieces, becomes complete and legal actions. No I/O, no clock.

A decoder is fed the pieces of one answer in order and gives back each action, or the refusal of it,
with the piece that completes it. The same answer gives the same actions however it is cut. `close`
says how the answer ended and raises if the robot cannot rely on it; actions given out before stand.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from reflexarc.errors import BadOutputError, TruncatedError, in_line
from reflexarc.messages import Arguments
from reflexarc.types import Action, Json, TextDelta, ToolCallDelta
from reflexarc.vocabulary import Refusal

Judge = Callable[[str, object], Action | Refusal]
"""Decides about one action; `Vocabulary.judge`, or `judge_any`."""

Piece = TextDelta | ToolCallDelta

M = TypeVar("M", bound=BaseModel)

Ending = Literal["finished", "unmarked", "length", "cut"]
"""How an answer ended: the server said it was finished; it ended the stream without saying so; the
token limit cut it; or the connection just ended."""

SHOWN = 200
"""Characters of an answer that a message quotes."""


def judge_any(type_: str, value: object) -> Action | Refusal:
    """Accept any action whose value is text: the judge where there is no vocabulary.

    Parameters
    ----------
    type_ : str
        Name of the action.
    value : object
        Its value, or the `Arguments` of a tool call.

    Returns
    -------
    Action or Refusal
    """
    if isinstance(value, Arguments):
        value = value.value
    if isinstance(value, str):
        return Action(type=type_, value=value)
    shown = json.dumps(value, ensure_ascii=False)
    return Refusal(type_, shown, f"the value of {type_} must be text, not {shown}")


class Decoder(ABC):
    """One answer, decoded while it arrives.

    Attributes
    ----------
    is_empty : bool
        Whether nothing has arrived.
    """

    def __init__(self) -> None:
        self._beginning = ""
        self.is_empty = True

    @property
    def is_complete(self) -> bool:
        """Whether nothing that may still come can change the answer."""
        return False

    @property
    def is_formless(self) -> bool:
        """Whether there is an answer, and nothing in it has the form that is looked for."""
        return False

    @property
    def thinks_aloud(self) -> bool:
        """Whether a thought ends that has not begun, so what was thought is read as an answer."""
        return False

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
            self.is_empty = False
            return self._tool_call(piece)
        if piece.text:
            self.is_empty = False
        if len(self._beginning) < SHOWN:
            self._beginning += piece.text[: SHOWN - len(self._beginning)]
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
        text = in_line(self._beginning)[:SHOWN]
        if text:
            return f"it begins: {text}"
        return "it is empty" if self.is_empty or self._beginning else "it has no text"


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
        if not whole and self.is_empty:
            raise TruncatedError("the server ended its reply before any answer; try again")
        if not whole:
            raise TruncatedError(
                f"the answer ended early, after {len(self._actions)} complete actions; "
                "ask again, and raise max_tokens if it happens often"
            )
        if not self._actions and self._refusals:
            reasons = "; ".join(refusal.reason for refusal in self._refusals[:3])
            raise BadOutputError(
                f"the model asked only for what the robot may not do: {reasons}. "
                "Try again, or a larger model"
            )
        if not self._actions and not may_be_empty:
            raise BadOutputError(
                f"the answer holds no action; {self._shown()}. "
                "Try another value of 'structured', or a larger model"
            )


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
