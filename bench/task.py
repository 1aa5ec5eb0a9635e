"""What every peer is asked for: a question in, a few actions out, validated.

Only pydantic is imported, since this runs in every peer's environment.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

MODEL = "mistral-small-latest"
KEY = "no-secret"
SYSTEM = (
    "You are Spot, a friendly robot dog. Answer with one JSON object and nothing else, for example "
    '{"actions":[{"type":"move","value":"sit"},{"type":"speak","value":"Hello!"}]}. '
    "move: one of stand still, sit, walk, run, dance. emotion: one of happy, sad, curious. "
    "speak: a short sentence."
)
QUESTION = "A person says: good morning Spot, let us go to the park! (#%d)"

Pair = tuple[str, str]
"""The type and the value of one action."""


class Action(BaseModel):
    """One thing the robot does."""

    type: Literal["speak", "move", "emotion"]
    value: str


class Answer(BaseModel):
    """What is asked for."""

    actions: list[Action]


SCHEMA = Answer.model_json_schema()
RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
}
"""For who writes the request by hand."""

_SPEECH = (
    "It is a sunny day, so let us walk to the park together, and I will carry the ball for you. "
    "When we are there you can throw it as far as you like, and I will bring it back every single "
    "time, I promise. And if we meet another dog on our way, I shall stop, wag my tail and wait "
    "until you say go."
)
_WRITTEN: Sequence[Pair] = (
    ("speak", "Good morning! I am ready to go."),
    ("move", "walk"),
    ("speak", _SPEECH),
    ("emotion", "happy"),
)


def actions(count: int = 4) -> list[Pair]:
    """What the model answers; `count` actions, 4 of which are some 120 tokens."""
    return [_WRITTEN[at % len(_WRITTEN)] for at in range(count)]


def written(pairs: Sequence[Pair], field: str = "actions") -> str:
    """An answer as the model writes it."""
    items = [{"type": type_, "value": value} for type_, value in pairs]
    return json.dumps({field: items}, separators=(",", ":"))


def messages(question: str) -> list[dict[str, str]]:
    """What is sent by who writes the request by hand."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def pairs_of(answer: Answer) -> list[Pair]:
    """An answer as plain values."""
    return [(action.type, action.value) for action in answer.actions]
