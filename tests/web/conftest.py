"""A page over scripted brains, served on a port of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from reflexarc import Action, Prompt, Vocabulary
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.inputs import Inbox
from reflexarc.runtime.loop import Loop
from reflexarc.runtime.switch import Switch
from reflexarc.specs import ActionSpec
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import TextDelta
from reflexarc.web import Page, PageServer

DOT = Vocabulary([ActionSpec("move", ("sit", "walk")), ActionSpec("speak", None)])
SIT = Action(type="move", value="sit")
WALK = Action(type="move", value="walk")


@dataclass
class Stage:
    """A robot with a page."""

    page: Page
    server: PageServer
    inbox: Inbox
    switch: Switch[Any]
    heard: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the page is, without a token."""
        return self.server.url.partition("/?")[0]


@asynccontextmanager
async def staged(*, host: str = "127.0.0.1", **llms: ScriptedLLM[Any]) -> AsyncIterator[Stage]:
    """A page that is served, over these brains."""
    brains = llms or {"one": ScriptedLLM(Turn((TextDelta("sit"), SIT))), "two": ScriptedLLM()}
    switch = Switch[Any](brains)
    inbox = Inbox()
    page = Page("dot", DOT, switch)
    heard: list[str] = []

    def say(text: str) -> None:
        heard.append(text)
        inbox.say(text)

    async with PageServer(page, say, host=host, port=0) as server, switch:
        yield Stage(page, server, inbox, switch, heard)


@asynccontextmanager
async def acting(stage: Stage, actuator: Actuator | None = None) -> AsyncIterator[Loop]:
    """Its robot runs."""
    loop = Loop(
        stage.switch,
        Prompt(system="You are Dot."),
        hertz=1000,
        history_length=2,
        inputs=[stage.inbox],
        observe=stage.page.observe,
        actuator=actuator,
    )
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A page over two brains."""
    async with staged() as made:
        yield made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as session:
        yield session


async def shown(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """What a watcher is told, one object after the other."""
    async for line in response.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


async def until(events: AsyncIterator[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """What is told up to the next event of a kind."""
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        async for event in events:
            told.append(event)
            if event["event"] == kind:
                return told
    raise AssertionError(f"it ended without {kind}: {told}")
