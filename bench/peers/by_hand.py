"""aiohttp with what somebody writes around it in half an hour: lines, JSON, a scan, pydantic."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench.peers import Ask, Given
from bench.peers.scan import Actions
from bench.task import KEY, MODEL, RESPONSE_FORMAT, Pair, messages


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """One session, no limit of connections, nothing for any fault but the status."""
    import aiohttp

    url = f"{servers[0]}/chat/completions"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers={"Authorization": f"Bearer {KEY}"}
    ) as session:

        async def ask(question: str, given: Given) -> list[Pair]:
            found = Actions(given)
            body = {
                "model": MODEL,
                "messages": messages(question),
                "response_format": RESPONSE_FORMAT,
                "stream": True,
            }
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        choices = json.loads(line[6:])["choices"]
                        if choices and (text := choices[0]["delta"].get("content")):
                            found.feed(text)
            return found.answer()

        yield ask
