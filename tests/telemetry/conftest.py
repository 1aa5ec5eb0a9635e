"""Robots that are watched, and where their telemetry goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from reflexarc.attempts import Attempt
from reflexarc.llm import LLM
from reflexarc.memory import Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.inputs import Script
from reflexarc.runtime.loop import Loop
from reflexarc.runtime.witness import Witness
from reflexarc.types import Action, Message, Usage

SIT = Action(type="move", value="sit")
SAY = Action(type="speak", value="Hello, Ann.")
SECRET = "sk-a-secret-that-nobody-may-see"


class Lame(Actuator):
    """A motor that does not turn."""

    async def perform(self, action: Action) -> None:
        """Fail at moves."""
        if action.type == "move":
            raise OSError("the motor is stuck")


def tick(at: datetime | None = None, **changed: Any) -> Tick:
    """A tick in which much was said, and one brain failed before another one answered."""
    given: dict[str, Any] = {
        "deeds": (
            Deed("move", "sit", 0.1),
            Deed("speak", "Hello, Ann.", 0.4),
            Deed("fly", "to Ann", 0.5, "refused", "'fly to Ann' is no action"),
        ),
        "text": "I greet Ann.",
        "missed": ("Ann waves.",),
        "provider": "LlamaLLM",
        "model": "llama3.2",
        "attempts": (
            Attempt("MistralLLM", "small", "timeout", 0.05, "Ann was too much for it"),
            Attempt("LlamaLLM", "llama3.2", "ok", 0.45),
        ),
        "first_action_s": 0.1,
        "total_s": 0.5,
        "usage": Usage(100, 20, 80),
    }
    prompt = Prompt("You are Dot.", (Message("user", "Ann came."),), "Ann is here.")
    return Tick(at or datetime.now(UTC), prompt, **{**given, **changed})


async def run(
    llm: LLM[Any],
    *texts: str,
    hertz: float = 1000,
    actuator: Actuator | None = None,
    observers: Sequence[Any] = (),
    **parts: Any,
) -> Loop:
    """A robot that senses these texts, one a tick, with parts of telemetry told of it."""
    witness = Witness(hertz, **parts)

    def observe(event: Any) -> None:
        for each in (witness.observe, *observers):
            each(event)

    loop = Loop(
        llm,
        Prompt(system="You are Dot."),
        hertz=hertz,
        history_length=0,
        inputs=[Script(texts)],
        observe=observe,
        actuator=actuator,
    )
    async with asyncio.timeout(10):
        await loop.run()
    return loop
