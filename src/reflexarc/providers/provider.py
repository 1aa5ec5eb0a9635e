"""What providers share: their description as data, and an LLM over one transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from reflexarc.attempts import Attempt, AttemptFailed
from reflexarc.call import Call
from reflexarc.checks import Form, check_key
from reflexarc.clocks import Clocks
from reflexarc.config import LLMConfig
from reflexarc.decoder import Decoder
from reflexarc.errors import (
    ClosedError,
    ConfigError,
    ContextOverflowError,
    LLMError,
    LoadingError,
    quote,
)
from reflexarc.gate import Gate
from reflexarc.llm import LLM, Messages, R, Request, Transport
from reflexarc.messages import recent
from reflexarc.prompt import Prompt, build_messages, check_actions, read_prompt
from reflexarc.providers.aim import ActionsAim, Aim, ModelAim, TextAim, answer_form
from reflexarc.providers.chat import read_reply
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.endpoint import Endpoint
from reflexarc.providers.failure import read_error
from reflexarc.providers.greeting import WAITED_S
from reflexarc.providers.http import Address, HttpTransport
from reflexarc.providers.reply import Explain
from reflexarc.types import CortexOutputModel, Event, Wire
from reflexarc.vocabulary import Vocabulary

_log = logging.getLogger(__name__)


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
    retired : mapping of str to str, default {}
        Hosts that answer no more, and what to say of each.
    """

    name: str
    base_url: str | None
    key_variable: str | None
    model: str | None
    dialect: Dialect
    hosts: tuple[str, ...] = ()
    no_server: str = ""
    retired: Mapping[str, str] = field(default_factory=dict[str, str])


class ProviderLLM(LLM[R]):
    """One provider, reached by one transport.

    Parameters
    ----------
    config : LLMConfig
        Server, model and limits.
    vocabulary : Vocabulary or None, default None
        What the robot can do; see `reflexarc.registry.load_llm`.
    output_model : type or None, default None
        What `ask` returns; None is `CortexOutputModel`, and needs a vocabulary.
    environ : mapping of str to str
        Where the provider's key is looked up.

    Attributes
    ----------
    provider : Provider
        Who answers.
    sdk : callable or None
        Makes the transport of the vendor's SDK from an address; None where there is none.
    understand : callable
        Reads one parsed event, or one whole reply, that our own client has received.
    explain : callable
        Makes an error of a failure that it has received: of its status, headers and body.

    Raises
    ------
    ConfigError
        If the server, the model or the key is missing, or the settings contradict each other.
    """

    provider: ClassVar[Provider]
    sdk: ClassVar[Callable[[Address], Transport] | None] = None
    understand: ClassVar[Callable[[object], list[Wire]]] = read_reply
    explain: ClassVar[Explain] = read_error
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
        self._gate = Gate(self.name)
        self.config = config
        self.vocabulary = vocabulary
        self.output_model: type[BaseModel] = output_model or CortexOutputModel
        self._is_aimed = not (vocabulary is None and output_model is None)
        if config.llms:
            raise ConfigError(f"{self.name} is one brain and takes no llms; FailoverLLM does")
        if vocabulary is None and config.structured == "grammar":
            raise ConfigError("a grammar is made of the robot's actions; hand them to load_llm")
        if vocabulary is not None or self.output_model is CortexOutputModel:
            self._aim: Aim = ActionsAim(vocabulary, self.output_model)
        else:
            self._aim = ModelAim(self.output_model)
        self._aims: dict[Vocabulary, Aim] = {}
        self._served_by: set[str] = set()
        self._has_thought_aloud = False
        self._dialect = Dialect()
        self._transport = self._make_transport(environ)
        if config.structured == "grammar" and not self._transport.sends_any_field:
            raise ConfigError(
                f"{self.name}'s SDK cannot send a grammar; write structured: 'schema', "
                "or transport: 'http' for a llama.cpp server"
            )
        self.model = self._model()
        self._endpoint = Endpoint(
            self._dialect, self._forms(), renames=self._transport.sends_any_field
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"

    def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`.

        What the server refuses or ignores is asked for in another way, once and within the same
        deadline, as long as no action is out. Actions of a robot of which nothing is known, or a
        key that would travel unencrypted, are a `ConfigError`, and nothing is sent.
        """
        whole = read_prompt(prompt, messages)
        return self._gate.through(self._events(whole, self._aim_of(whole)))

    def _events(self, whole: Prompt, aim: Aim) -> AsyncGenerator[Event, None]:
        return self._answer(whole, aim)

    async def _answer(self, whole: Prompt, aim: Aim) -> AsyncGenerator[Event, None]:
        self.config.check_route()
        request = partial(self._request, whole, aim)
        loop = asyncio.get_running_loop()
        started = loop.time()
        with Clocks(self.config, started) as clocks:
            if not aim.acts:
                clocks.acted()  # there will be no first action to wait for
            asked = [request()]
            tries: tuple[Attempt, ...] = ()
            while True:
                call = Call(self.name, self.model, self._decoder(aim), clocks, started, tries)
                try:
                    async with aclosing(self._transport.send(asked[-1])) as batches:
                        while not call.over and (batch := await clocks.next(batches)) is not None:
                            for event in call.take(batch, loop.time()):
                                yield event
                    last = call.finish(aim.output_model, loop.time())
                    self._note(call, asked[-1], aim)  # now: who has the answer asks for no more
                    for event in last:
                        yield event
                    return
                except LLMError as error:
                    if self._key is not None:  # first: the record has the message as well
                        error.hide(self._key.get_secret_value())
                    call.complete(error, loop.time())
                    if not await self._may_go_better(error, call, request, asked):
                        raise
                    tries = error.attempts
                if call.has_told:  # who reads along learns that it begins anew
                    yield AttemptFailed(tries[-1], self.name, loop.time() - started)

    async def open(self) -> None:
        """Make the transport ready, so that the first question does not pay for it.

        Raises
        ------
        ConfigError
            If the key would travel unencrypted; see `LLMConfig.check_route`.
        ClosedError
            If it is open in another event loop.
        """
        self._gate.open()
        self.config.check_route()
        await self._transport.open()

    async def connect(self) -> None:
        """Have a connection open to the server; see `LLM.connect`."""
        with suppress(ClosedError, ConfigError):  # the question will meet the same, and tell
            self.config.check_route()
            await self._gate.during(self._transport.connect)

    async def warm(self, prompt: Prompt) -> None:
        """Have a connection open, so that the first question need not wait for one.

        A server that is out of reach holds nobody up for long.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WAITED_S):
                await self.connect()

    async def aclose(self) -> None:
        """End all questions, and close the connections; may be called twice."""
        try:
            await self._gate.close()
        finally:
            await self._transport.aclose()

    def _model(self) -> str:
        model = self.config.model or self.provider.model
        if model is None:
            raise ConfigError(f"{self.name} needs a model; write the name your server knows it by")
        return model

    async def _may_go_better(
        self, error: LLMError, call: Call, request: Callable[[], Request], asked: list[Request]
    ) -> bool:
        """Learn from a failure; whether to try again, by the last of what was `asked`."""
        if call.acted:
            return False
        call.clocks.again()
        if isinstance(error, LoadingError):
            return await call.clocks.pause(_LOADING_S)
        learned = self._endpoint.learn(error, asked[-1], is_formless=call.is_formless)
        before = [attempt.outcome for attempt in error.attempts[:-1]]
        if not learned or (error.kind == ContextOverflowError.kind and error.kind in before):
            return False
        again = request()
        if again in asked or len(asked) >= _MOST_TRIES:
            return False
        asked.append(again)
        return True

    def _note(self, call: Call, request: Request, aim: Aim) -> None:
        """Learn from an answer."""
        if call.model != self.model and call.model not in self._served_by:
            self._served_by.add(call.model)
            _log.info("%s was asked for %s; %s answers.", self.name, self.model, quote(call.model))
        if call.thinks_aloud and not self._has_thought_aloud:
            self._has_thought_aloud = True
            _log.warning(
                "%s answers with the end of a thought whose beginning is left out, so what it "
                "merely thinks of may be done; start the server with its reasoning parser, or "
                "switch thinking off.",
                self.name,
            )
        has_choice = isinstance(self.config.structured, tuple) or self.config.structured == "auto"
        has_grammar = isinstance(aim, ActionsAim) and aim.vocabulary is not None
        may_prefer = has_choice and has_grammar and self._transport.sends_any_field
        if call.server == "llama.cpp" and may_prefer:
            self._endpoint.prefer("grammar")
        self._endpoint.answered(request, call.usage.prompt_tokens if call.usage else 0)

    def _make_transport(self, environ: Mapping[str, str]) -> Transport:
        address, is_vendor = self._address(environ)
        self._key = SecretStr(address.api_key) if address.api_key else None
        self.is_paid = is_vendor
        if is_vendor:
            self._dialect = self.provider.dialect
        choice = self.config.transport
        if choice == "sdk" and self.sdk is None:
            raise ConfigError(f"{self.name} has no SDK transport; write transport: 'http'")
        if self.sdk is not None and (choice == "sdk" or (choice == "auto" and is_vendor)):
            return type(self).sdk(address)  # pyright: ignore[reportOptionalCall] - checked above

        async def locate(_: Address | None) -> Address:
            return address

        kind = type(self)
        return HttpTransport(locate, self._dialect, kind.understand, kind.explain)

    def _address(self, environ: Mapping[str, str]) -> tuple[Address, bool]:
        """The server with its key, and whether it is the vendor's own."""
        provider, config = self.provider, self.config
        base_url = config.base_url or provider.base_url
        if base_url is None:
            raise ConfigError(provider.no_server or f"{self.name} needs a base_url")
        parts = urlsplit(base_url)
        if retired := provider.retired.get(parts.hostname or ""):
            raise ConfigError(f"{parts.hostname} answers no more: {retired}")
        is_vendor = parts.hostname in provider.hosts
        if is_vendor and parts.scheme == "http" and parts.hostname != "127.0.0.1":
            raise ConfigError(f"a key must not travel unencrypted; write https://{parts.hostname}")
        key = config.api_key.get_secret_value() if config.api_key else None
        if key is None and is_vendor and provider.key_variable:
            # Only there: the vendor's key is nobody else's business.
            key = environ.get(provider.key_variable) or None
            if key is None:
                raise ConfigError(
                    f"{self.name} needs a key: set {provider.key_variable}, write api_key, "
                    "or name a server of your own as base_url",
                    variable=provider.key_variable,
                )
            try:
                check_key(SecretStr(key))
            except ValueError as error:
                raise ConfigError(f"{provider.key_variable} {error}") from None
        path = urlsplit(provider.base_url or "").path if is_vendor else "/v1"
        return Address(base_url if parts.path else f"{base_url}{path}", key), is_vendor

    def _aim_of(self, prompt: Prompt) -> Aim:
        """What the answer is to be, by the prompt's own actions where it has some."""
        check_actions(prompt, are_known=self._is_aimed)
        if prompt.is_plain:
            return _TEXT
        if prompt.actions is None:
            return self._aim
        if prompt.actions not in self._aims:
            if len(self._aims) == _MOST_AIMS:
                self._aims.clear()
            self._aims[prompt.actions] = ActionsAim(prompt.actions, self.output_model)
        return self._aims[prompt.actions]

    def _forms(self) -> Sequence[Form]:
        mode = self.config.structured
        if isinstance(mode, tuple):
            return mode
        return self._dialect.forms if mode == "auto" else [mode]

    def _request(self, prompt: Prompt, aim: Aim) -> Request:
        """What to send, by all that is known of the server."""
        endpoint = self._endpoint
        history = recent(prompt.history, endpoint.most_turns)
        shown = prompt if history is prompt.history else replace(prompt, history=history)
        form = aim.form or endpoint.form
        return replace(
            self._composed(shown, aim, form),
            form=form,
            turns=len(history),
            amended=dict(endpoint.amended),
        )

    def _composed(self, prompt: Prompt, aim: Aim, form: Form) -> Request:
        closing, held = aim.held(form)
        past = answer_form(form) if self._dialect.shows_calls else "json"
        messages = build_messages(prompt, closing, past)
        return Request(self.model, messages, self.config, **held)

    def _decoder(self, aim: Aim) -> Decoder:
        return aim.decoder()


_MOST_TRIES = 12
"""Requests one question may become while the server is being learned."""

_LOADING_S = 0.5
"""Seconds between two requests to a server that is still loading its model."""

_MOST_AIMS = 8
"""Vocabularies kept: a robot has few, and what is made of them is cheap."""

_TEXT = TextAim()
