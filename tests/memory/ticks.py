"""Ticks to remember."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from reflexarc.attempts import Attempt
from reflexarc.config import AgentAction, Sensed
from reflexarc.memory import Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.types import Action, Message, ToolCall, Usage

NOW = datetime.now(UTC)

ACTIONS = (
    AgentAction(name="move", llm_label="move", values=("sit", "run")),
    AgentAction(name="speak", llm_label="speak", description="Say it.", connector="tts"),
)

PROMPT = Prompt(
    system="You are Spot.\n\nLAWS:\nHarm nobody.",
    examples=(Sensed(sensed="sit!", actions=(Action(type="move", value="sit"),)),),
)

FULL = Tick(
    at=datetime(2026, 11, 1, 14, 3, 5, 123456, tzinfo=timezone(timedelta(hours=2))),
    prompt=PROMPT.at(
        'A person says: "Grüß dich" 👋\nand sits',
        (
            Message("system", "WHAT HAPPENED BEFORE:\nIt rained."),
            Message("user", "A person says: hello"),
            Message("assistant", "", (ToolCall("move", '{"action":"sit"}', "id0000001"),)),
            Message("tool", "ok", tool_call_id="id0000001"),
        ),
    ),
    deeds=(
        Deed("move", "sit", 0.123456789),
        Deed("move", "fly", 0.2, "refused", "it cannot fly"),
        Deed("speak", "Hello!", 0.3, "failed", "the loudspeaker is off"),
    ),
    text='{"actions":[{"type":"move","value":"sit"}]}',
    missed=("A dog barks.", ""),
    provider="LlamaLLM",
    model="llama3.2",
    attempts=(
        Attempt("MistralLLM", "m", "timeout", 1.25, "it was late"),
        Attempt("LlamaLLM", "llama3.2", "ok", 0.5),
    ),
    first_action_s=1.37,
    total_s=1.75,
    usage=Usage(100, 20, 90),
    reason="",
    error_kind="",
    error="",
)


def tick(sensed: str = "A person says: sit!", *, days: float = 0, **fields: Any) -> Tick:
    """A tick that began so many days ago, of a robot that sat down."""
    history = fields.pop("history", ())
    prompt = PROMPT.at(sensed, history)
    fields.setdefault("deeds", (Deed("move", "sit", 0.1),))
    return Tick(NOW - timedelta(days=days), prompt, **fields)


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """What SQLite itself says about a file that nobody has open."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def bytes_of(path: Path) -> bytes:
    """What is on the disk: the file, and what stands beside it."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))
