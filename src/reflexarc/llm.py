"""A language model as a robot uses it: ask it, or act on its answer while it arrives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import BaseModel

from reflexarc.config import LLMConfig
from reflexarc.opened import Opened
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.types import Action, ActionReady, Event, Finished, Message, PlainText, Wire

R = TypeVar("R", bound=BaseModel)

Messages = Sequence[Message | Mapping[str, Any]] | None


State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One model behind an LLM, and whether it is asked.

    Parameters
    ----------
    name : str
        The provider.
    model : str, default ""
        The model, as configured.
    state : {"closed", "open", "half-open"}, default "closed"
        Of its breaker: it is asked; left alone, since it keeps failing; or asked once, to see.
    """

    name: str
    model: str = ""
    state: State = "closed"

    def to_dict(self) -> dict[str, Any]:
        """The standing as one JSON object."""
        return {"name": self.name, "model": self.model, "state": self.state}


class LLM(Opened, ABC, Generic[R]):
    """One brain: a model, or several behind one face.

    Constructing it opens nothing, and the first question opens what it needs. Use it inside ``async
    with``, or call `aclose` when done: every question that is under way ends with `ClosedError`,
    and so does each further one until it is opened again. It belongs to one event loop from its
    first question on until it is closed.

    Attributes
    ----------
    name : str
        The provider, as in ``LLMConfig.type``.
    is_on_board : bool
        Whether it computes on the robot itself, where one thing written makes the next one wait.
    is_paid : bool
        Whether a vendor is paid for each answer.
    """

    name: str
    is_on_board: bool = False
    is_paid: bool = False

    @abstractmethod
    def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens.

        Parameters
        ----------
        prompt : str or Prompt
            What is sensed now, or everything the model is told.
        messages : sequence of Message or mapping, or None, default None
            Past turns, oldest first; a mapping has ``role`` and ``content``.

        Yields
        ------
        TextDelta, ActionReady, ActionRefused, AttemptFailed, Usage or Finished
            `Finished` is the last one, unless an error is raised.

        Raises
        ------
        LLMError
            How the call failed; actions given out before stand.
        ConfigError
            If an argument has another type, or nothing is known of what the robot can do.
        """

    async def ask(self, prompt: str | Prompt, messages: Messages = None) -> R:
        """Ask, and wait for the whole answer.

        Parameters
        ----------
        prompt : str or Prompt
            What is sensed now, or everything the model is told.
        messages : sequence of Message or mapping, or None, default None
            Past turns, oldest first.

        Returns
        -------
        pydantic.BaseModel
            The answer, of the output model that the LLM was made with.

        Raises
        ------
        LLMError
            How the call failed.
        ConfigError
            If an argument has another type, or nothing is known of what the robot can do.
        """
        async with aclosing(self.stream(prompt, messages)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return cast("R", event.answer)
        raise AssertionError("a stream ends with Finished or an error")

    async def act(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Action, None]:
        """Ask, and give out each action once, as soon as it is complete and legal.

        Parameters
        ----------
        prompt : str or Prompt
            What is sensed now, or everything the model is told.
        messages : sequence of Message or mapping, or None, default None
            Past turns, oldest first.

        Yields
        ------
        Action
            As they are complete: the model's order, unless it writes tool calls side by side.

        Raises
        ------
        LLMError
            How the call failed; actions given out before stand.
        ConfigError
            If an argument has another type, or nothing is known of what the robot can do.
        """
        async with aclosing(self.stream(prompt, messages)) as events:
            async for event in events:
                if isinstance(event, ActionReady):
                    yield event.action

    async def write(self, prompt: str | Prompt, messages: Messages = None) -> str:
        """Ask for plain text, such as a summary of what happened: nothing that is acted on.

        Parameters
        ----------
        prompt : str or Prompt
            What to write.
        messages : sequence of Message or mapping, or None, default None
            Past turns, oldest first.

        Returns
        -------
        str
            Without white space around it; cut where the token limit cut it.

        Raises
        ------
        LLMError
            How the call failed.
        ConfigError
            If an argument has another type.
        """
        whole = replace(read_prompt(prompt, messages), is_plain=True)
        async with aclosing(self.stream(whole)) as events:
            async for event in events:
                if isinstance(event, Finished) and isinstance(event.answer, PlainText):
                    return event.answer.text
        raise NotImplementedError(f"{self.name} writes no plain text")

    def standings(self) -> tuple[Standing, ...]:
        """Each model behind this one face, best first; inside a running loop.

        Returns
        -------
        tuple of Standing
            This one alone, where it is no composition.
        """
        return (Standing(self.name, str(getattr(self, "model", ""))),)

    async def connect(self) -> None:
        """Have a connection open to each server, so that the next question need not wait for one.

        Optional. To be called again and again while nothing is asked, since servers close what
        idles; what need not be done is not done. It does not raise what the next question would
        meet as well, such as a server that is not there.
        """
        return

    async def warm(self, prompt: Prompt) -> None:
        """Have the stable part of a prompt read ahead, where that saves time; optional.

        Parameters
        ----------
        prompt : Prompt
            Its situation does not matter.

        Raises
        ------
        LLMError
            If the model cannot be reached; the next question will meet the same.
        """
        return


@dataclass(frozen=True, slots=True)
class Request:
    """What a transport sends, before it is put in a provider's words.

    Parameters
    ----------
    model : str
        Model name as the server knows it.
    messages : tuple of Message
        As `build_messages` makes them.
    config : LLMConfig
        Limits and sampling.
    schema : dict or None, default None
        JSON Schema of the answer, for strict structured output.
    tools : list of dict or None, default None
        Tool definitions; the model is to call them.
    grammar : str or None, default None
        GBNF grammar of the answer, for llama.cpp.
    json_object : bool, default False
        Whether to ask for JSON of any shape.
    form : str, default ""
        Which of these four holds the answer, or ``"text"`` for none.
    turns : int, default 0
        Turns of history among the messages.
    amended : mapping of str to object, default {}
        Fields set last of all; None leaves one out.
    """

    model: str
    messages: tuple[Message, ...]
    config: LLMConfig
    schema: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    grammar: str | None = None
    json_object: bool = False
    form: str = ""
    turns: int = 0
    amended: Mapping[str, object] = field(default_factory=dict[str, object])


class Transport(ABC):
    """How a request travels. It keeps no deadline; who calls it does.

    Attributes
    ----------
    sends_any_field : bool
        Whether it sends fields that it does not know.
    """

    sends_any_field: ClassVar[bool] = True

    @abstractmethod
    def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        """Send a request and give out what comes back, in batches as they are read.

        Closing the generator, or cancelling it, closes the connection, so that the server stops.

        Parameters
        ----------
        request : Request
            What to send.

        Yields
        ------
        sequence of Wire
            A stream that ends without a `Stop` was cut.

        Raises
        ------
        LLMError
            How it failed.
        """

    async def open(self) -> None:
        """Make ready what the first request would otherwise wait for; optional."""
        return

    async def connect(self) -> None:
        """Have a connection open to the server; optional, see `LLM.connect`."""
        return

    async def aclose(self) -> None:
        """Close what is open; may be called twice."""
        return
