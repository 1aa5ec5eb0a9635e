"""A real llama.cpp server, spoken to as any server of one's own: it takes what we send."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import LLMConfig
from reflexarc.errors import AuthError, BadRequestError, ContextOverflowError, LLMError
from reflexarc.lines import LineForm
from reflexarc.llm import Request
from reflexarc.onboard.engine import Endpoint, Engine
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from reflexarc.providers.connection import Address
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.http import HttpTransport
from reflexarc.providers.llama import LlamaLLM
from reflexarc.providers.mistral import MistralLLM
from reflexarc.providers.provider import ProviderLLM
from reflexarc.specs import ActionSpec
from reflexarc.types import (
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    Json,
    Message,
    Stop,
    TextDelta,
    Usage,
)
from reflexarc.vocabulary import MOST_ACTIONS, Vocabulary

Brain = ProviderLLM[CortexOutputModel]

PATIENCE_S = 50.0  # a busy machine computes slowly
CLOSED = Vocabulary(
    [ActionSpec("move", ("sit", "walk", "walk back")), ActionSpec("face", ("joy",))]
)
PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "side": {"type": "string", "enum": ["left", "right"]},
        "speed": {"type": "number"},
        "why": {"type": "string"},
        "path": {"type": "array"},
    },
    "required": ["side", "speed", "why"],
    "additionalProperties": False,
}
SEVERAL = Vocabulary([ActionSpec("turn", None, "Turn.", PARAMETERS)])
ODD = Vocabulary(
    [
        ActionSpec("move", ('say "sit"', "back\\slash", "über Stock", "a|b", "$(x)", "[^a]")),
        ActionSpec("a-b_c", ("Ω", "🐕")),
        ActionSpec("speak", None),
    ]
)


@pytest.fixture(scope="module")
def model_path() -> Path:
    """The default model, from the store of whoever runs the tests; pulled where it is absent."""
    return ModelStore(default_root(os.environ)).pull(DEFAULT, print)


@pytest.fixture(scope="module")
async def endpoint(model_path: Path) -> AsyncIterator[Endpoint]:
    """One server for all tests here."""
    async with Engine(model_path, alias="smol", context_tokens=2048) as engine:
        async with asyncio.timeout(PATIENCE_S):
            found = await engine.ready()
        yield found


def config(endpoint: Endpoint, **settings: Any) -> LLMConfig:
    """A configuration for that server, with all the time it may need."""
    return LLMConfig.model_validate(
        {
            "type": "LlamaLLM",
            "model": "smol",
            "base_url": endpoint.base_url,
            "api_key": endpoint.api_key,
            "timeout": PATIENCE_S,
            "stall_timeout": PATIENCE_S,
            "max_tokens": 64,
            "temperature": 0,
        }
        | settings
    )


async def ask(llm: Brain, prompt: str = "You hear: sit!") -> list[Event]:
    """All events of one call, in which a small model may ramble, but nothing else may fail."""
    events: list[Event] = []
    try:
        async for event in llm.stream(prompt):
            events.append(event)  # noqa: PERF401 - what came before an error counts
    except LLMError as error:
        assert error.kind in ("truncated", "bad_output")  # noqa: PT017 - there may be none
    return events


def text_of(events: list[Event]) -> str:
    """The model's words."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("vocabulary", [CLOSED, ODD, SEVERAL])
@pytest.mark.parametrize("mode", ["auto", "schema", "grammar"])
async def test_holds_the_model_to_the_vocabulary(
    endpoint: Endpoint, vocabulary: Vocabulary, mode: str
) -> None:
    """Under a schema or a grammar even a raving model names legal actions only."""
    settings = config(
        endpoint, structured=mode, temperature=2, extra_params={"seed": 1, "min_p": 0}
    )
    async with LlamaLLM[CortexOutputModel](settings, vocabulary=vocabulary, environ={}) as llm:
        events = await ask(llm)
    assert text_of(events).startswith("{")
    assert not [event for event in events if isinstance(event, ActionRefused)]


@pytest.mark.parametrize("mode", ["schema", "grammar"])
async def test_the_robot_sits(endpoint: Endpoint, mode: str) -> None:
    """The answer of a real model becomes actions, the first while the answer still comes."""
    settings = config(endpoint, structured=mode)
    async with LlamaLLM[CortexOutputModel](settings, vocabulary=CLOSED, environ={}) as llm:
        events = await ask(llm)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.model == "smol"
    assert finished.first_action_s is not None
    assert finished.first_action_s < finished.total_s
    ready = [event.action for event in events if isinstance(event, ActionReady)]
    assert ready
    assert finished.answer == CortexOutputModel(actions=ready)


async def test_the_grammar_saves_space_and_ends(endpoint: Endpoint) -> None:
    """Under the grammar the answer has no white space to spare and no more actions than it may."""
    more = {"logit_bias": [[character, 50] for character in '"},']}  # where it may, it goes on
    settings = config(endpoint, structured="grammar", max_tokens=400, extra_params=more)
    async with LlamaLLM[CortexOutputModel](settings, vocabulary=CLOSED, environ={}) as llm:
        events = await ask(llm)
    assert isinstance(events[-1], Finished)
    answer = json.loads(text_of(events))
    assert len(answer["actions"]) == MOST_ACTIONS
    assert text_of(events) == json.dumps(answer, separators=(",", ":"))


@pytest.mark.parametrize("kind", [LlamaLLM, MistralLLM])
@pytest.mark.parametrize("mode", ["json", "tools"])
async def test_takes_what_both_providers_send(
    endpoint: Endpoint, kind: type[Brain], mode: str
) -> None:
    """A self-hosted model is asked plainly, whoever made it: no field is refused."""
    settings = config(endpoint, structured=mode, transport="http")
    async with kind(settings, vocabulary=CLOSED, environ={}) as llm:
        events = await ask(llm)
    assert text_of(events)
    assert (mode != "json") or text_of(events).lstrip().startswith("{")
    assert [event for event in events if isinstance(event, Usage)]


def transport_to(endpoint: Endpoint) -> HttpTransport:
    """Our client, without the decoder on top."""

    async def locate(_: Address | None) -> Address:
        return Address(endpoint.base_url, endpoint.api_key)

    return HttpTransport(locate, Dialect())


async def complete(endpoint: Endpoint, settings: Json, **held: Any) -> str:
    """The text that the model writes under some limits."""
    transport = transport_to(endpoint)
    message = Message("user", "Say what you do.")
    request = Request("smol", (message,), config(endpoint, **settings), **held)
    try:
        async with asyncio.timeout(PATIENCE_S), aclosing(transport.send(request)) as batches:
            pieces = [piece async for batch in batches for piece in batch]
    finally:
        await transport.aclose()
    assert [piece for piece in pieces if isinstance(piece, Stop)]
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))


@pytest.mark.parametrize("vocabulary", [CLOSED, ODD, SEVERAL])
async def test_takes_the_grammar_of_lines(endpoint: Endpoint, vocabulary: Vocabulary) -> None:
    """The line form's grammar is taken and leaves room for lines of this vocabulary only."""
    form = LineForm(vocabulary)
    settings: Json = {"temperature": 2, "extra_params": {"seed": 2, "min_p": 0}}
    text = await complete(endpoint, settings, grammar=form.grammar())
    *lines, _ = text.split("\n")
    for line in lines:
        type_, _, value = line.partition(" ")
        assert type(form.judge(type_, value)).__name__ == "Action", line
    assert len({line.partition(" ")[0] for line in lines}) == len(lines)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_schema_keeps_its_limits(endpoint: Endpoint, seed: int) -> None:
    """The server enforces the kinds of limit that our schemas are made of."""
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string", "enum": ["zig", "zag"]}},
        "required": ["word"],
        "additionalProperties": False,
    }
    settings: Json = {"temperature": 2, "extra_params": {"seed": seed, "min_p": 0}}
    text = await complete(endpoint, settings, schema=schema)
    assert re.fullmatch(r'\{\s*"word"\s*:\s*"(zig|zag)"\s*\}\s*', text)


async def test_a_grammar_that_is_none_is_refused(endpoint: Endpoint) -> None:
    """A grammar the server cannot read is a bad request, not a retry."""
    with pytest.raises(BadRequestError, match="grammar") as caught:
        await complete(endpoint, {}, grammar="root ::= (")
    assert (caught.value.status, caught.value.retryable) == (400, False)


async def test_another_key_is_refused(endpoint: Endpoint) -> None:
    """A wrong key is told from every other failure, and not shown."""
    settings = config(endpoint, api_key="sk-wrong")
    async with LlamaLLM[CortexOutputModel](settings, vocabulary=CLOSED, environ={}) as llm:
        with pytest.raises(AuthError, match="check api_key") as caught:
            await llm.ask("You hear: sit!")
    assert (caught.value.status, caught.value.retryable) == (401, False)
    assert "sk-wrong" not in str(caught.value)


async def test_a_prompt_too_long_is_told(endpoint: Endpoint) -> None:
    """A prompt beyond the context is refused before anything is generated, and says what to do."""
    async with LlamaLLM[CortexOutputModel](config(endpoint), vocabulary=CLOSED, environ={}) as llm:
        with pytest.raises(ContextOverflowError, match="shorten the prompt") as caught:
            await llm.ask("sit " * 3000)
    assert (caught.value.status, caught.value.retryable) == (400, False)


async def test_counts_what_was_cached(endpoint: Endpoint) -> None:
    """The same question again is read from the server's cache, and the counts say so."""
    async with LlamaLLM[CortexOutputModel](config(endpoint), vocabulary=CLOSED, environ={}) as llm:
        first, second = [await ask(llm, "You see a cat.") for _ in range(2)]
    usages = [event for events in (first, second) for event in events if isinstance(event, Usage)]
    assert usages[0].prompt_tokens == usages[1].prompt_tokens > 40
    assert usages[1].cached_tokens >= usages[1].prompt_tokens - 8
    assert all(usage.completion_tokens > 0 for usage in usages)


async def test_giving_up_frees_the_server(endpoint: Endpoint) -> None:
    """A cancelled call stops the generation, so the next one does not wait for its end."""
    loop = asyncio.get_running_loop()
    transport = transport_to(endpoint)
    endless = config(endpoint, max_tokens=100_000, extra_params={"logit_bias": [[2, False]]})
    message = Message("user", "Tell a long story.")
    began = asyncio.Event()

    async def listen() -> None:
        async with aclosing(transport.send(Request("smol", (message,), endless))) as batches:
            async for batch in batches:
                if any(isinstance(piece, TextDelta) for piece in batch):
                    began.set()

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(PATIENCE_S):
        await began.wait()
    listening.cancel()
    await asyncio.wait({listening})
    await transport.aclose()
    gave_up = loop.time()
    assert await complete(endpoint, {"max_tokens": 1})
    assert loop.time() - gave_up < 10  # the whole story is 2,000 tokens: 20 s and more


async def test_calls_follow_each_other(endpoint: Endpoint) -> None:
    """A server that closes its connections as it likes costs no call."""
    async with LlamaLLM[CortexOutputModel](
        config(endpoint, max_tokens=4, structured="json"), vocabulary=CLOSED, environ={}
    ) as llm:
        for _ in range(8):
            assert text_of(await ask(llm))
