"""A small Llama-architecture model on the robot itself: no key, no network.

The engine is llama.cpp in a child process, spoken to like any other server. A model of 135 million
parameters acts best when it continues a text: a heading, the robot's examples, what is sensed now,
each answered in the line form, ``move sit``, under a grammar of the robot's vocabulary. The
examples never change, so the server has them in its prefix cache (see docs/decisions/0020).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache

from reflexarc.actions import JsonActions
from reflexarc.checks import Form
from reflexarc.clocks import Clocks
from reflexarc.config import Sensed
from reflexarc.decoder import Decoder, judge_any
from reflexarc.errors import ConfigError
from reflexarc.lines import LineActions, LineForm
from reflexarc.llm import R, Request, Transport
from reflexarc.messages import unmarked
from reflexarc.onboard.decision import derived_examples, is_decidable
from reflexarc.onboard.engine import Endpoint, Engine
from reflexarc.onboard.minds import Minds, default_vectors
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root, find, is_path
from reflexarc.onboard.prefix import PrefixCache, default_prefixes
from reflexarc.prompt import Prompt, build_messages
from reflexarc.providers.aim import ActionsAim, Aim
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.http import Address, HttpTransport
from reflexarc.providers.provider import Provider, ProviderLLM
from reflexarc.providers.spoken import SentenceAim, Spoken
from reflexarc.types import Action, Event, Message, TextDelta
from reflexarc.vocabulary import Vocabulary

_INSTRUCTION = "For each situation, write what you do, one action a line."

CONTEXT_TOKENS = 4096
"""Tokens of prompt and answer together."""


class OnboardLLM(ProviderLLM[R]):
    """A GGUF model in a child process of ours; opening it starts the child."""

    is_on_board = True
    provider = Provider(
        name="OnboardLLM",
        base_url=None,
        key_variable=None,
        model=DEFAULT,
        dialect=Dialect(),
    )

    async def open(self) -> None:
        """Find the model and start its engine; does nothing if it runs.

        Raises
        ------
        ConfigError
            If the model is neither known nor a GGUF file.
        UnavailableError
            If the model has not been fetched, or the engine is not installed or does not start.
        """
        self._gate.open()
        await asyncio.gather(self._serving(), self._minds.open(self.model))

    async def connect(self) -> None:
        """Do nothing: on this machine a connection costs nothing."""
        return

    async def warm(self, prompt: Prompt) -> None:
        """Read the prompt's stable part ahead, or take it from disk; see `LLM.warm`."""
        await self._gate.during(lambda: self._read_ahead(prompt))

    async def _read_ahead(self, prompt: Prompt) -> None:
        loop = asyncio.get_running_loop()
        whole = prompt.at("")
        aim = self._aim_of(whole)
        await self._minds.open(self.model)
        if (lines := self._lines_of(aim)) is not None:
            whole = self._with_examples(whole, lines)
            await self._minds.decider(self.model, lines.vocabulary, whole.examples)
        request = self._request(whole, aim)
        config = request.config.model_copy(update={"max_tokens": 1})
        endpoint = await self._serving()
        name = await asyncio.to_thread(self._prefixes.name, self._local, request.messages)
        kept = await self._prefixes.restore(endpoint, name)
        if not kept:
            sending = self._transport.send(replace(request, config=config))
            with Clocks(config, loop.time()) as clocks:
                async with aclosing(sending) as batches:
                    while await clocks.next(batches) is not None:
                        pass
            kept = await self._prefixes.save(endpoint, name)
        if kept:
            await asyncio.to_thread(self._prefixes.used, name)
            self._warm = (name, endpoint.pid)

    def _events(self, whole: Prompt, aim: Aim) -> AsyncGenerator[Event, None]:
        if whole.is_plain:
            return self._written(self._answer(whole, aim))
        return self._acting(whole, aim)

    async def _acting(self, whole: Prompt, aim: Aim) -> AsyncGenerator[Event, None]:
        """Decide and then speak, where there is a decider; else all is the model's."""
        await self._minds.open(self.model)
        mind, lines = None, self._lines_of(aim)
        if lines is not None:
            whole = self._with_examples(whole, lines)
            mind = await self._minds.decider(self.model, lines.vocabulary, whole.examples)
        if mind is None or lines is None or not isinstance(aim, ActionsAim):
            events = self._answer(whole, aim)
        else:
            spoken = Spoken(mind, aim, lines, self.name, self.model)
            events = spoken.events(whole, lambda sentence: self._answer(whole, sentence))
        async with aclosing(events):
            async for event in events:
                yield event

    def _with_examples(self, prompt: Prompt, lines: LineForm) -> Prompt:
        if prompt.examples or not is_decidable(lines.vocabulary):
            return prompt
        return replace(prompt, examples=_derived(lines.vocabulary))

    async def _written(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        finally:
            if self._warm:  # the text has taken its place in the cache: it is due from disk again
                self._warm = (self._warm[0], 0)

    async def aclose(self) -> None:
        """End all questions, close the connections and end the child; may be called twice."""
        try:
            await super().aclose()
        finally:
            async with self._starting:
                engine, self._engine = self._engine, None
            if engine is not None:
                await engine.aclose()

    def _make_transport(self, environ: Mapping[str, str]) -> Transport:
        for name in ("base_url", "api_key"):
            if getattr(self.config, name) is not None:
                raise ConfigError(
                    f"OnboardLLM runs its own server and takes no {name}; "
                    "LlamaLLM is for a server that runs already"
                )
        if self.config.transport == "sdk":
            raise ConfigError("OnboardLLM has no SDK transport; leave transport out")
        self._store = ModelStore(default_root(environ))
        if self.config.model and not is_path(self.config.model):
            self._store.entry(self.config.model)  # a misspelled name is told now
        self._prefixes = PrefixCache(default_prefixes(environ))
        self._minds = Minds(self._store, default_vectors(environ))
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()
        self._warm: tuple[str, int] | None = None  # the prefix read ahead, and by which child
        return HttpTransport(self._locate, Dialect())

    async def _started(self) -> Engine:
        """The engine; started the first time."""
        async with self._starting:
            if self._engine is None:
                # In a thread: it reads files.
                self._local = await asyncio.to_thread(find, self.model, self._store)
                keeps = await asyncio.to_thread(self._prefixes.prepare)
                engine = Engine(
                    self._local.path,
                    alias=self._local.name,
                    context_tokens=min(
                        CONTEXT_TOKENS, self._local.context_tokens or CONTEXT_TOKENS
                    ),
                    prefixes=self._prefixes.root if keeps else None,
                )
                self._gate.check()  # closed meanwhile, it would be closed by nobody
                self._engine = await engine.__aenter__()
            return self._engine

    async def _serving(self, refused: Address | None = None) -> Endpoint:
        """Where the engine serves; another child than one that refused a connection."""
        engine = await self._started()
        return await engine.ready(other_than=refused.api_key if refused else None)

    async def _locate(self, refused: Address | None) -> Address:
        endpoint = await self._serving(refused)
        if self._warm and self._warm[1] != endpoint.pid:  # a new child has read nothing yet
            name, self._warm = self._warm[0], (self._warm[0], endpoint.pid)
            await self._prefixes.restore(endpoint, name)
        return Address(endpoint.base_url, endpoint.api_key)

    def _composed(self, prompt: Prompt, aim: Aim, form: Form) -> Request:
        config = self.config
        if config.temperature is None:
            config = config.model_copy(update={"temperature": 0.0})
        shown = prompt.examples[: self._minds.treatment.shown]
        prompt = replace(prompt, examples=shown)
        if (lines := self._lines_of(aim)) is None:
            return replace(super()._composed(prompt, aim, form), config=config)
        if not isinstance(aim, SentenceAim):
            messages = line_messages(prompt, lines)
            return Request(self.model, messages, config, grammar=lines.grammar())
        heading, text = line_messages(prompt, lines)
        text = replace(text, content=text.content + aim.text)
        return Request(self.model, (heading, text), config, grammar=aim.grammar)

    def _decoder(self, aim: Aim) -> Decoder:
        if isinstance(aim, SentenceAim):
            return aim.decoder()
        lines = self._lines_of(aim)
        return super()._decoder(aim) if lines is None else LineActions(lines.judge)

    def _lines_of(self, aim: Aim) -> LineForm | None:
        """The line form, unless another is asked for or suits the model, or nothing can be done."""
        vocabulary = aim.vocabulary if isinstance(aim, ActionsAim) else None
        is_small = self._minds.treatment.form == "lines"
        if vocabulary is None or self.config.structured != "auto" or not is_small:
            return None
        return _line_form(vocabulary)


@lru_cache(maxsize=8)  # the same at every tick
def _derived(vocabulary: Vocabulary) -> tuple[Sensed, ...]:
    return derived_examples(vocabulary)


@lru_cache(maxsize=8)  # the same at every tick
def _line_form(vocabulary: Vocabulary) -> LineForm:
    return LineForm(vocabulary)


def line_messages(prompt: Prompt, lines: LineForm) -> tuple[Message, Message]:
    """The prompt as a text to be continued in the line form.

    Parameters
    ----------
    prompt : Prompt
        What to say.
    lines : LineForm
        The robot's actions.

    Returns
    -------
    tuple of Message
        The heading as the user's turn, and the beginning of the assistant's, which llama.cpp
        continues.
    """
    system, turns = "", build_messages(replace(prompt, examples=()))
    if turns[0].role == "system":
        system, turns = turns[0].content, turns[1:]
    heading = [system, _INSTRUCTION, lines.describe()]
    blocks = [_block(example.sensed, lines.write(example.actions)) for example in prompt.examples]
    for sensed, answer in zip(turns[:-1:2], turns[1::2], strict=True):
        done = unmarked(lines.write(_actions(answer.content)))  # JSON's escapes hide a mark
        blocks.append(_block(sensed.content, done))
    blocks.append(_block(turns[-1].content, ""))
    return (
        Message("user", "\n".join(part.strip() for part in heading if part.strip())),
        Message("assistant", "\n".join(blocks)),
    )


def _block(sensed: str, lines: str) -> str:
    return f"> {' '.join(sensed.split())}\n{lines}"


def _actions(answer: str) -> list[Action]:
    """The actions in a past answer, which history keeps as JSON."""
    verdicts = JsonActions(judge_any).feed(TextDelta(answer))
    return [verdict for verdict in verdicts if isinstance(verdict, Action)]
