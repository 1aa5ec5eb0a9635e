"""The program on the page about streaming runs as it stands, and prints what the page says."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from reflexarc.testing import EMULATORS, Received, Reply, Server
from reflexarc.testing.conformance import PATIENCE_S
from reflexarc.types import ToolCallDelta

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "streaming.md").read_text()
PROGRAM = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
SHOWN = re.findall(r"^    (\S.*)$", PROSE, re.MULTILINE)

SIT = '{"actions":[{"type":"move","value":"sit"}'
HELLO = ',{"type":"speak","value":"Hello."}]}'
# What the server says to whom; an event is never set, so that the rest never comes.
ANSWERS: dict[str, tuple[str | ToolCallDelta | asyncio.Event, ...]] = {
    "say hello": (SIT, HELLO),
    "fly away": (SIT, ',{"type":"move","value":"fly"}]}'),
    "kitchen, and hurry": ('{"room":"kitchen",', '"quickly":true}'),
    "make the kitchen red": (
        ToolCallDelta("set_light", '{"room":"kitchen","colour":"red"}', 0, "a1B2c3D4e"),
    ),
    "what is my name": ('{"actions":[{"type":"speak","value":"You are Ann."}]}',),
    "dance": ('{"actions":[{"type":"move","value":"dance"}', asyncio.Event()),
}


async def test_the_program_prints_what_the_page_shows() -> None:
    """Every part of it, against a server that speaks as llama.cpp does."""
    llamacpp = EMULATORS["llamacpp"]
    seen: list[str] = []
    held: list[Received] = []

    def route(request: Received) -> Reply:
        if refusal := llamacpp.refusal(request):
            return refusal
        heard = str(request.json["messages"][-1]["content"])
        [answer] = [answer for said, answer in ANSWERS.items() if said in heard]
        if "say hello" in heard and heard in seen:
            answer = (SIT, asyncio.Event(), HELLO)  # the second time it is slow
        seen.append(heard)
        if any(isinstance(step, asyncio.Event) for step in answer):
            held.append(request)
        return llamacpp.answer(*answer)

    async with Server(route=route) as server:
        program = PROGRAM.replace("http://127.0.0.1:8080", server.base_url)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert not err.decode()
        assert out.decode().splitlines() == SHOWN
        async with asyncio.timeout(PATIENCE_S):
            for request in held:
                await request.left.wait()  # the connection was closed
        assert len(held) == 3, "one was left, one was cancelled, one was late"
