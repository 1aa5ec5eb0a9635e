"""What a vendor's SDK costs beside our own client, against a scripted server on loopback.

Run it as ``python bench/sdk_transports.py``. Rounds are interleaved and medians shown. The server
runs in the same process, so only differences between rows mean something: CPU time per row holds
the same share of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from llama_api_client import AsyncLlamaAPIClient
from mistralai.client import Mistral

from reflexarc import LLMConfig, load_llm
from reflexarc.testing import Reply, Server

ROUNDS = 15
CHUNKS = 200
QUESTION: list[Any] = [{"role": "user", "content": "hello"}]


def chunk(text: str, finish: str | None = None) -> bytes:
    """One event as strictly as the SDKs' own readers want it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'x', 'model': 'm', 'choices': [choice]})}\n\n".encode()


def reply(words: int) -> Reply:
    """An answer of that many chunks, and its end."""
    head, tail = '{"actions":[{"type":"speak","value":"', '"}]}'
    body = [chunk(head), *[chunk("word ")] * words, chunk(tail), chunk("", "stop")]
    return Reply(200, {"Content-Type": "text/event-stream"}, (*body, b"data: [DONE]\n\n"))


async def cpu_ms(server: Server, rows: dict[str, Callable[[], Awaitable[Any]]]) -> dict[str, float]:
    """Median CPU time of one call, for each row."""
    spent: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(ROUNDS + 1):
        for name, ask in rows.items():
            began = time.process_time()
            await ask()
            if turn:  # the first one warms up
                spent[name].append(time.process_time() - began)
    server.requests.clear()
    return {name: statistics.median(times) * 1e3 for name, times in spent.items()}


async def main() -> None:
    """Print the table."""
    length = 1
    async with (
        Server(route=lambda _: reply(length)) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        rows: dict[str, Callable[[], Awaitable[Any]]] = {}
        for kind in ("MistralLLM", "LlamaLLM"):
            for transport in ("http", "sdk"):
                config = LLMConfig.model_validate(
                    {
                        "type": kind,
                        "model": "m",
                        "base_url": server.base_url,
                        "transport": transport,
                    }
                )
                llm = await stack.enter_async_context(load_llm(config))
                rows[f"{kind} {transport}"] = lambda llm=llm: llm.ask("hello")
        mistral = Mistral(api_key="k", server_url=server.base_url.removesuffix("/v1"))
        llama = AsyncLlamaAPIClient(api_key="k", base_url=server.base_url)

        async def mistral_typed() -> None:
            async with await mistral.chat.stream_async(model="m", messages=QUESTION) as events:
                async for _ in events:
                    pass

        async def llama_typed() -> None:
            with contextlib.suppress(ValueError):  # its reader fails on [DONE]
                async for _ in await llama.chat.completions.create(
                    model="m", messages=QUESTION, stream=True
                ):
                    pass

        rows |= {"mistralai, its own reader": mistral_typed, "llama-api, its own": llama_typed}
        async with mistral, llama:
            short = await cpu_ms(server, rows)
            length = CHUNKS
            long = await cpu_ms(server, rows)
    for name in rows:
        per_chunk = (long[name] - short[name]) / (CHUNKS - 1) * 1e3
        print(f"{name:27} {short[name]:6.1f} ms a call {per_chunk:7.0f} µs a chunk")


asyncio.run(main())
