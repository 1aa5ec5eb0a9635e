"""What an answer is to be: the robot's actions, an object of a model, or plain text.

An aim says how the answer is asked for in words, how it is held to in fields of the request, and
what decodes it. It is the same at every tick, so it is worked out once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from reflexarc.actions import JsonActions
from reflexarc.checks import Form
from reflexarc.decoder import Decoder, Ending, judge_any
from reflexarc.errors import BadOutputError, ConfigError, TruncatedError
from reflexarc.prompt import AnswerForm, instructions
from reflexarc.schema import WholeAnswer, answer_tool, model_instructions, strict_schema
from reflexarc.types import Action, Json, PlainText, ToolCallDelta
from reflexarc.vocabulary import Refusal, Vocabulary

Held = tuple[str, Mapping[str, Any]]
"""The closing words of the system message, and fields of `Request`."""


class Aim(ABC):
    """What one answer is to be.

    Parameters
    ----------
    output_model : type
        What the answer becomes.

    Attributes
    ----------
    acts : bool
        Whether the answer is actions, the first of which is waited for.
    form : Form or None
        The one form it can have; None leaves it to the server.
    """

    acts: ClassVar[bool] = False
    form: ClassVar[Form | None] = None

    def __init__(self, output_model: type[BaseModel]) -> None:
        self.output_model = output_model
        self._held: dict[Form, Held] = {}

    def held(self, form: Form) -> Held:
        """How the answer is asked for.

        Parameters
        ----------
        form : Form
            How it is to be held.

        Returns
        -------
        tuple of str and mapping
            In words, and in fields of `Request`.
        """
        if form not in self._held:
            self._held[form] = self._hold(form)
        return self._held[form]

    @abstractmethod
    def decoder(self) -> Decoder:
        """What decodes one answer.

        Returns
        -------
        Decoder
        """

    @abstractmethod
    def _hold(self, form: Form) -> Held: ...


class ModelAim(Aim):
    """One object of a pydantic model.

    Raises
    ------
    ConfigError
        If it is no object.
    """

    def __init__(self, output_model: type[BaseModel]) -> None:
        super().__init__(output_model)
        if "root" in output_model.model_fields:
            raise ConfigError(
                f"{output_model.__name__} is no object; put its value into a field of one"
            )

    def decoder(self) -> Decoder:
        """What decodes one answer; see `Aim.decoder`."""
        return WholeAnswer(self.output_model)

    def _hold(self, form: Form) -> Held:
        schema = strict_schema(self.output_model)
        return model_instructions(schema, answer_form(form)), _HOLDS_MODEL[form](schema)


class ActionsAim(Aim):
    """The robot's actions, in a model with the field ``actions``.

    Parameters
    ----------
    vocabulary : Vocabulary or None
        What the robot can do; None takes any action.
    output_model : type
        What the answer becomes.

    Raises
    ------
    ConfigError
        If `output_model` has no field for the actions, or needs more than them.
    """

    acts = True

    def __init__(self, vocabulary: Vocabulary | None, output_model: type[BaseModel]) -> None:
        super().__init__(output_model)
        self.vocabulary = vocabulary
        fields = output_model.model_fields
        if "actions" not in fields:
            raise ConfigError(
                f"{output_model.__name__} has no field 'actions' for the robot's actions; "
                "leave out the vocabulary, or add the field"
            )
        others = [
            name for name, field in fields.items() if field.is_required() and name != "actions"
        ]
        if vocabulary is not None and others:
            raise ConfigError(
                f"{output_model.__name__} needs {', '.join(others)}, and the robot's actions "
                "are all that is asked for; give defaults, or leave out the vocabulary"
            )

    def decoder(self) -> Decoder:
        """What decodes one answer; see `Aim.decoder`."""
        if self.vocabulary is None:
            return JsonActions(judge_any)
        return JsonActions(self.vocabulary.judge, self.vocabulary.specs)

    def _hold(self, form: Form) -> Held:
        if self.vocabulary is None:
            schema = strict_schema(self.output_model)
            return model_instructions(schema, answer_form(form)), _HOLDS_MODEL[form](schema)
        words = instructions(self.vocabulary, answer_form(form))
        return words, _HOLDS[form](self.vocabulary)


class TextAim(Aim):
    """Plain text, held to nothing."""

    form = "text"

    def __init__(self) -> None:
        super().__init__(PlainText)

    def decoder(self) -> Decoder:
        """What decodes one answer; see `Aim.decoder`."""
        return _Text()

    def _hold(self, form: Form) -> Held:
        return "", {}


class _Text(Decoder):
    """All of the text, however long: a token limit may cut it, a broken connection may not."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []

    def _text(self, text: str) -> list[Action | Refusal]:
        self._pieces.append(text)
        return []

    def _tool_call(self, delta: ToolCallDelta) -> list[Action | Refusal]:
        return []

    def close(self, ending: Ending) -> list[Action | Refusal]:
        if ending == "cut":
            raise TruncatedError("the connection ended before the text did; try again")
        if not "".join(self._pieces).strip():
            raise BadOutputError("the model wrote nothing; try again, or another model")
        return []

    def answer(self, output_model: type[BaseModel]) -> BaseModel:
        return output_model.model_validate({"text": "".join(self._pieces).strip()})


def answer_form(form: Form) -> AnswerForm:
    """How a form has the model write.

    Parameters
    ----------
    form : Form
        What holds the answer.

    Returns
    -------
    {"json", "tools"}
    """
    return "tools" if form == "tools" else "json"


_HOLDS: Mapping[Form, Callable[[Vocabulary], dict[str, Any]]] = {
    "grammar": lambda vocabulary: {"grammar": vocabulary.grammar()},
    "schema": lambda vocabulary: {"schema": vocabulary.schema()},
    "tools": lambda vocabulary: {"tools": vocabulary.tools()},
    "json": lambda _: {"json_object": True},
    "text": lambda _: {},
}
"""How each form holds an answer to a vocabulary: fields of `Request`."""

_HOLDS_MODEL: Mapping[Form, Callable[[Json], dict[str, Any]]] = {
    "grammar": lambda schema: {"schema": schema},  # llama.cpp makes its grammar of it
    "schema": lambda schema: {"schema": schema},
    "tools": lambda schema: {"tools": [answer_tool(schema)]},
    "json": lambda _: {"json_object": True},
    "text": lambda _: {},
}
"""The same for the schema of an output model."""
