"""What providers share: their description as data, and an LLM over one transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from reflexarc.call import Call, Clocks
from reflexarc.config import LLMConfig, check_key
from reflexarc.decoder import Decoder, JsonActions, judge_any
from reflexarc.errors import ConfigError, LLMError
from reflexarc.llm import LLM, Messages, R, Request, Transport
from reflexarc.prompt import Prompt, build_messages, instructions, read_prompt
from reflexarc.providers.chat import Dialect
from reflexarc.providers.http import Address, HttpTransport
from reflexarc.schema import WholeAnswer, answer_tool, model_instructions, strict_schema
from reflexarc.types import CortexOutputModel, Event, Json
from reflexarc.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Provider:
    """Who answers: facts, no behaviour.

    Parameters
    ----------
    name : str
        OM1's class name.
    base_url : str or None
        The vendor's own server; None where the user has to name one.
    key_variable : str or None
        Environment variable that holds the vendor's key.
    model : str or None
        Model taken where the configuration names none.
    dialect : Dialect
        How the vendor's own servers spell a request; others are spoken to plainly.
    hosts : tuple of str, default ()
        The vendor's own hosts: there the key is needed, and ``auto`` takes the SDK.
    no_server : str, default ""
        What to say where a `base_url` is needed and missing.
    """

    name: str
    base_url: str | None
    key_variable: str | None
    model: str | None
    dialect: Dialect
    hosts: tuple[str, ...] = ()
    no_server: str = ""


class ProviderLLM(LLM[R]):
    """One provider, reached by one transport.

    Parameters
    ----------
    config : LLMConfig
        Server, model and limits.
    vocabulary : Vocabulary or None, default None
        What the robot can do; None accepts any action.
    output_model : type or None, default None
        What `ask` returns; None is `CortexOutputModel`.
    environ : mapping of str to str
        Where the provider's key is looked up.

    Raises
    ------
    ConfigError
        If the server, the model or the key is missing, or the settings contradict each other.
    """

    provider: ClassVar[Provider]
    sdk: ClassVar[Callable[[Address], Transport] | None] = None
    _key: SecretStr | None = None

    def __init__(
        self,
        config: LLMConfig,
        *,
        vocabulary: Vocabulary | None = None,
        output_model: type[BaseModel] | None = None,
        environ: Mapping[str, str],
    ) -> None:
        self.name = self.provider.name
        self.config = config
        self.vocabulary = vocabulary
        self.output_model: type[BaseModel] = output_model or CortexOutputModel
        self._gives_actions = vocabulary is not None or self.output_model is CortexOutputModel
        if self._gives_actions and "actions" not in self.output_model.model_fields:
            raise ConfigError(
                f"{self.output_model.__name__} has no field 'actions' for the robot's actions; "
                "leave out the vocabulary, or add the field"
            )
        if vocabulary is None and config.structured == "grammar":
            raise ConfigError("a grammar is made of the robot's actions; hand them to load_llm")
        self._transport = self._make_transport(environ)
        self.model = self._model()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        request = self._request(read_prompt(prompt, messages))
        clocks = Clocks(self.config, started)
        if not self._gives_actions:
            clocks.acted()  # there will be no first action to wait for
        call = Call(self.name, self.model, self._decoder(), clocks, started)
        try:
            async with aclosing(self._transport.send(request)) as batches:
                while (batch := await clocks.next(batches)) is not None:
                    for event in call.take(batch, loop.time()):
                        yield event
            for event in call.finish(self.output_model, loop.time()):
                yield event
        except LLMError as error:
            call.complete(error, loop.time())
            if self._key is not None:
                error.hide(self._key.get_secret_value())
            raise

    async def open(self) -> None:
        """Make the transport ready, so that the first question does not pay for it."""
        await self._transport.open()

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._transport.aclose()

    def _model(self) -> str:
        model = self.config.model or self.provider.model
        if model is None:
            raise ConfigError(f"{self.name} needs a model; write the name your server knows it by")
        return model

    def _make_transport(self, environ: Mapping[str, str]) -> Transport:
        address, is_vendor = self._address(environ)
        self._key = SecretStr(address.api_key) if address.api_key else None
        choice = self.config.transport
        if choice == "sdk" and self.sdk is None:
            raise ConfigError(f"{self.name} has no SDK transport; write transport: 'http'")
        if self.sdk is not None and (choice == "sdk" or (choice == "auto" and is_vendor)):
            return type(self).sdk(address)  # pyright: ignore[reportOptionalCall] - checked above

        async def locate(_: Address | None) -> Address:
            return address

        return HttpTransport(locate, self.provider.dialect if is_vendor else Dialect())

    def _address(self, environ: Mapping[str, str]) -> tuple[Address, bool]:
        """The server with its key, and whether it is the vendor's own."""
        provider, config = self.provider, self.config
        base_url = config.base_url or provider.base_url
        if base_url is None:
            raise ConfigError(provider.no_server or f"{self.name} needs a base_url")
        parts = urlsplit(base_url)
        is_vendor = parts.hostname in provider.hosts
        key = config.api_key.get_secret_value() if config.api_key else None
        if key is None and is_vendor and provider.key_variable:
            # Only there: the vendor's key is nobody else's business.
            key = environ.get(provider.key_variable) or None
            if key is None:
                raise ConfigError(
                    f"{self.name} needs a key: set {provider.key_variable}, write api_key, "
                    "or name a server of your own as base_url"
                )
            try:
                check_key(SecretStr(key))
            except ValueError as error:
                raise ConfigError(f"{provider.key_variable} {error}") from None
        return Address(base_url if parts.path else f"{base_url}/v1", key), is_vendor

    def _request(self, prompt: Prompt) -> Request:
        closing, held = self._asked_for
        return Request(self.model, build_messages(prompt, closing), self.config, **held)

    @cached_property
    def _asked_for(self) -> tuple[str, dict[str, Any]]:
        """How the answer is asked for in words, and held to in fields: the same at every tick."""
        mode = self.config.structured
        if self.vocabulary is None:
            schema = strict_schema(self.output_model)
            return model_instructions(schema), _HOLDS_MODEL[mode](schema)
        form = "tools" if mode == "tools" else "json"
        return instructions(self.vocabulary, form), _HOLDS[mode](self.vocabulary)

    def _decoder(self) -> Decoder:
        if not self._gives_actions:
            return WholeAnswer(self.output_model)
        return JsonActions(self.vocabulary.judge if self.vocabulary else judge_any)


_HOLDS: Mapping[str, Callable[[Vocabulary], dict[str, Any]]] = {
    "auto": lambda vocabulary: {"schema": vocabulary.schema()},
    "schema": lambda vocabulary: {"schema": vocabulary.schema()},
    "tools": lambda vocabulary: {"tools": vocabulary.tools()},
    "json": lambda _: {"json_object": True},
    "grammar": lambda vocabulary: {"grammar": vocabulary.grammar()},
}
"""How `structured` holds an answer to a vocabulary: fields of `Request`."""

_HOLDS_MODEL: Mapping[str, Callable[[Json], dict[str, Any]]] = {
    "auto": lambda schema: {"schema": schema},
    "schema": lambda schema: {"schema": schema},
    "tools": lambda schema: {"tools": [answer_tool(schema)]},
    "json": lambda _: {"json_object": True},
}
"""The same for the schema of an output model."""
