"""Who is compared, and what an adapter is.

An adapter is an async context manager that takes the servers' base URLs (up to and with ``/v1``)
and gives a function to ask with::

    @asynccontextmanager
    async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]: ...

    async with streamed([url]) as ask:
        pairs = await ask("A person says: hello!", given)

``ask(question, given)`` asks once, as the library's documentation recommends where structured
results are wanted early, and with the library's defaults. It calls ``given((type, value))`` when
an action is handed over, that is when the library shows it as a validated object, and returns the
whole validated answer as a list of such pairs. It raises whatever the library raises.

Where a library's stream is text, a scan reads it, `bench.peers.scan`, the same for all: their rows
say "by hand". Where a library shows an action that is unfinished, and later shows it again with
more text, the adapter hands over both: who acts on what the library shows would have acted twice.

With more than one server, a peer whose `falls_back` is True asks the next one by the library's own
means; the others ask the first only. An adapter imports its library inside, so that this package
loads in every environment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module

from bench.task import Pair

Given = Callable[[Pair], None]
Ask = Callable[[str, Given], Awaitable[list[Pair]]]
Adapter = Callable[[Sequence[str]], AbstractAsyncContextManager[Ask]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the tables.

    `adapter` is ``module:function`` within this package, `environment` names its lock file under
    requirements/bench, `package` is the distribution whose version is told, `imports` are the
    modules that a program imports at its top. `streams` is False where an answer comes in one
    piece. `varies` marks another way to use a library that is in the table already: only when its
    actions come is measured.
    """

    label: str
    adapter: str
    environment: str
    package: str
    imports: str
    streams: bool = True
    falls_back: bool = False
    varies: bool = False

    def load(self) -> Adapter:
        """The adapter itself; its library must be installed."""
        module, _, function = self.adapter.partition(":")
        return getattr(import_module(f"bench.peers.{module}"), function)


LIMIT = "socket"
HAND = "aiohttp"
OURS = "ours"

PEERS: Mapping[str, Peer] = {
    LIMIT: Peer("bare socket (the limit)", "sockets:streamed", "aiohttp", "pydantic", "pydantic"),
    HAND: Peer("aiohttp, by hand", "by_hand:streamed", "aiohttp", "aiohttp", "aiohttp pydantic"),
    OURS: Peer(
        "reflexarc", "ours:http", "reflexarc", "reflexarc", "reflexarc", falls_back=True
    ),
    "ours-mistral-sdk": Peer(
        "reflexarc over mistralai", "ours:mistral_sdk", "reflexarc", "mistralai", "reflexarc",
        falls_back=True,
    ),
    "ours-llama-sdk": Peer(
        "reflexarc over llama-api-client", "ours:llama_sdk", "reflexarc", "llama-api-client",
        "reflexarc", falls_back=True,
    ),
    "openai": Peer(
        "openai `create(stream=True)`, by hand", "openai_sdk:scanned", "openai", "openai", "openai"
    ),
    "openai-aiohttp": Peer(
        "openai over aiohttp, by hand", "openai_sdk:scanned_over_aiohttp", "openai", "openai",
        "openai aiohttp",
    ),
    "openai-helper": Peer(
        "openai `.stream()`", "openai_sdk:streamed", "openai", "openai", "openai"
    ),
    "om1": Peer(
        "OM1's pattern (openai `parse`)", "openai_sdk:om1", "openai", "openai", "openai",
        streams=False,
    ),
    "mistralai": Peer(
        "mistralai `parse_async`", "mistral_sdk:whole", "mistralai", "mistralai",
        "mistralai.client", streams=False,
    ),
    "mistralai-stream": Peer(
        "mistralai `parse_stream_async`, by hand", "mistral_sdk:streamed", "mistralai",
        "mistralai", "mistralai.client",
    ),
    "llama": Peer(
        "llama-api-client, by hand", "llama_sdk:streamed", "llama-api-client",
        "llama-api-client", "llama_api_client",
    ),
    "pydantic-ai": Peer(
        "pydantic-ai `run_stream`", "pydantic_agents:streamed", "pydantic-ai", "pydantic-ai-slim",
        "pydantic_ai pydantic_ai.models.openai", falls_back=True,
    ),
    "pydantic-ai-held": Peer(
        "pydantic-ai, last held back", "pydantic_agents:held_back", "pydantic-ai",
        "pydantic-ai-slim", "pydantic_ai pydantic_ai.models.openai", falls_back=True, varies=True,
    ),
    "instructor": Peer(
        "instructor `create_iterable`", "instructors:iterable", "instructor", "instructor",
        "instructor openai",
    ),
    "instructor-partial": Peer(
        "instructor `create_partial`", "instructors:partial", "instructor", "instructor",
        "instructor openai",
    ),
    "langchain": Peer(
        "langchain-mistralai", "langchain:streamed", "langchain-mistralai", "langchain-mistralai",
        "langchain_mistralai", falls_back=True,
    ),
    "langchain-held": Peer(
        "langchain, last held back", "langchain:held_back", "langchain-mistralai",
        "langchain-mistralai", "langchain_mistralai", falls_back=True, varies=True,
    ),
    "any-llm": Peer(
        "any-llm, by hand", "anyllm:streamed", "any-llm", "any-llm-sdk", "any_llm"
    ),
    "livekit": Peer(
        "LiveKit `FallbackAdapter`, by hand", "livekit_agents:streamed", "livekit",
        "livekit-agents", "livekit.agents livekit.plugins.openai", falls_back=True,
    ),
}  # fmt: skip
