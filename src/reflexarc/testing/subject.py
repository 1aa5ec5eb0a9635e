"""A provider before an emulated server: what the promises of `conformance` are tried on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from reflexarc.config import LLMConfig
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.providers.provider import ProviderLLM
from reflexarc.specs import ActionSpec
from reflexarc.testing.emulator import Emulator
from reflexarc.testing.server import Received, Server
from reflexarc.types import Action, ToolCallDelta
from reflexarc.vocabulary import Vocabulary

PATIENCE_S = 5.0
"""Seconds after which something that ought to happen at once is taken not to happen."""

VOCABULARY = Vocabulary(
    [
        ActionSpec("move", ("sit", "walk", "shake paw"), "Move the body."),
        ActionSpec("speak", None, "Say something."),
    ]
)
SIT = Action(type="move", value="sit")
GREET = Action(type="speak", value="Grüße, 你好 🐾!")
TEXTS = ('{"actions":[{"type":"mo', 've","value":"sit"}', ',{"type":"speak","value":"Grüße, ')
REST = ("你好 🐾", '!"}]}')
CALLS = (
    ToolCallDelta("move", '{"action":"sit"}', 0, "a1B2c3D4e"),
    ToolCallDelta("speak", '{"action":"Grüße, 你好 🐾!"}', 1, "f5G6h7J8k"),
)
KEY = "conformance-key-1234567890"
SITUATION = "A person says: sit!"


class Plan(BaseModel):
    """Where to go: an answer that is no list of actions.

    Parameters
    ----------
    goal : str
        The place.
    meters : float
        How far it is.
    """

    goal: str
    meters: float


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider, a transport, and the kind of server before which they are tried.

    Parameters
    ----------
    kind : type
        The provider.
    transport : str
        ``"http"`` or ``"sdk"``.
    emulator : Emulator
        How the server behaves.
    is_vendor : bool, default True
        Whether it is the vendor's own, or a server of the user's that speaks the plain dialect.
    """

    kind: type[ProviderLLM[Any]]
    transport: str
    emulator: Emulator
    is_vendor: bool = True

    def __str__(self) -> str:
        return f"{self.kind.__name__}-{self.transport}-{self.emulator.name}"

    def llm(
        self, server: Server, output_model: type[BaseModel] | None = None, **settings: Any
    ) -> LLM[Any]:
        """The provider, asking `server`.

        Parameters
        ----------
        server : Server
            It listens.
        output_model : type or None, default None
            Answered with; None asks for the actions of `VOCABULARY`.
        **settings : object
            Of `LLMConfig`.

        Returns
        -------
        LLM
        """
        row = self.kind.provider
        if self.is_vendor:
            row = replace(row, base_url=server.base_url, hosts=("127.0.0.1",))
        kind = type(self.kind.__name__, (self.kind,), {"provider": row})
        fields = {
            "type": row.name,
            "model": row.model or "some-model",
            "base_url": server.base_url,
            "api_key": KEY,
            "transport": self.transport,
            "timeout": PATIENCE_S,
        }
        return kind(
            LLMConfig.model_validate(fields | settings),
            vocabulary=None if output_model else VOCABULARY,
            output_model=output_model,
            environ={},
        )

    async def asked(
        self, *pieces: Any, prompt: str | Prompt = SITUATION, messages: Any = None, **settings: Any
    ) -> tuple[BaseModel, Received]:
        """Ask once, and be answered.

        Parameters
        ----------
        *pieces : str or ToolCallDelta
            The answer.
        prompt : str or Prompt, default SITUATION
            What is asked.
        messages : sequence or None, default None
            Past turns.
        **settings : object
            Of `LLMConfig`, and ``output_model``.

        Returns
        -------
        tuple of BaseModel and Received
            The answer, and the request.
        """
        replies = [self.emulator.answer(*pieces)]
        async with self.emulator.serve(*replies) as server:
            async with self.llm(server, **settings) as llm:
                answer = await llm.ask(prompt, messages)
            assert len(server.requests) == 1, "one question is one request"
            return answer, server.requests[0]
