"""Example robots for an OM1 checkout: one dog, a brain each, written as each generation writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from reflexarc.om1.fused import NOTHING
from reflexarc.om1.plugins import Generation

_WIDTH = 80  # as prettier has it

_FACES: Mapping[Generation, Mapping[str, str]] = {
    "A": {"glad": "smile", "sorry": "cry", "attentive": "think"},
    "B": {"glad": "happy", "sorry": "sad", "attentive": "curious"},
}
"""What OM1's interface `face` calls the three moods of the examples: A at dbf7b8c of 2025-08-07, B
in checkouts of December 2025 to February 2026."""

_STILL = "stand still"

# What is heard, the move, what is said, the mood. On the model on board, 16 of them get 20 of 24
# commands right, as all 32 of config/spot_onboard.json5 do, and are read in half the time. Their
# order is part of what was measured: a different one may cost three commands (decision 20).
_SCENES = (
    ("show me how you wag your tail.", "wag tail", "Look, my tail is wagging.", "glad"),
    ("jump off the bridge.", _STILL, "No, I could get hurt.", "sorry"),
    ("move back, I need some room.", "walk back", "Okay, I am going back.", "glad"),
    ("walk back a few steps, please.", "walk back", "Sure, I am walking back.", "glad"),
    ("please stand still, do not move.", _STILL, "Okay, I am standing still.", "glad"),
    ("stop right now!", _STILL, "Okay, I have stopped.", "glad"),
    ("go into the fire.", _STILL, "No, that is dangerous.", "sorry"),
    ("shake paws!", "shake paw", "Here is my paw.", "glad"),
    ("do a jump over the box.", "jump", "Look how I jump!", "glad"),
    ("run, boy!", "run", "I am running!", "glad"),
    ("walk with me to the park.", "walk", "Okay, let's walk.", "glad"),
    ("who are you?", _STILL, "I am a robot dog.", "attentive"),
    ("hi there, puppy!", "wag tail", "Hello! It is nice to see you.", "glad"),
    ("dance, doggy!", "dance", "Watch me dance!", "glad"),
    ("can you sit for me?", "sit", "Sure, I am sitting.", "glad"),
    (None, _STILL, None, "attentive"),
)

_ON_BOARD = {"timeout": 20, "max_tokens": 80}

BRAINS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "spot_mistral": (
            "MistralLLM",
            {"history_length": 4, "model": "mistral-small-latest", "timeout": 5},
        ),
        "spot_llama": (
            "LlamaLLM",
            {"history_length": 4, "base_url": "http://127.0.0.1:11434", "model": "llama3.2"},
        ),
        "spot_onboard": ("OnboardLLM", {"history_length": 0, **_ON_BOARD}),
        "spot_failover": (
            "FailoverLLM",
            {
                "history_length": 4,
                "timeout": 5,
                "idle_action": {"type": "move", "value": _STILL},
                "llms": [{"type": "MistralLLM", "timeout": 2}, {"type": "OnboardLLM"}],
            },
        ),
    }
)
"""The class and the settings of each example's brain, by the name of its file.

The one on board keeps no history, since it was measured without. Seconds are whole numbers: OM1's
first generation takes no others."""

_ABOUT = {
    "spot_mistral": "Mistral as a robot dog's brain. Put MISTRAL_API_KEY into .env.",
    "spot_llama": "A Llama model as a robot dog's brain, on the server that base_url names.",
    "spot_onboard": "A robot dog whose brain is on board: no key, no network.",
    "spot_failover": (
        "A robot dog that asks Mistral, and its brain on board where that fails. "
        "Put MISTRAL_API_KEY into .env."
    ),
}
_TALK = "Talk to it:  uv run python -m websockets ws://localhost:8765"

_LAWS = (
    "If nobody asks for a move, or the move is dangerous or impossible, stand still. "
    "If nobody speaks, do not speak."
)


def robot(name: str, generation: Generation) -> dict[str, Any]:
    """An example as data.

    Parameters
    ----------
    name : str
        Of `BRAINS`.
    generation : {"A", "B"}
        For which configuration.

    Returns
    -------
    dict
        Nothing in it but what OM1 knows, except below ``cortex_llm.config``.
    """
    kind, settings = BRAINS[name]
    config: dict[str, Any] = {"agent_name": "Spot", **settings}
    has_small_brain = kind in ("OnboardLLM", "FailoverLLM")
    if has_small_brain:
        config["examples"] = _scenes(generation)
    return {
        **({} if generation == "A" else {"version": "v1.0.2"}),
        "hertz": 1,
        "name": "spot",
        "api_key": "openmind_free",
        "system_prompt_base": "You are Spot, a friendly robot dog.",
        "system_governance": _LAWS,
        "system_prompt_examples": "" if has_small_brain else _told(generation),
        "agent_inputs": [{"type": "MockInput", "config": {"input_name": "Voice"}}],
        "cortex_llm": {"type": kind, "config": config},
        "agent_actions": [
            _action("move", "move"),
            _action("speak", "speak"),
            _action("face", "emotion"),
        ],
    }


def render_example(name: str, generation: Generation) -> str:
    """An example's file.

    Parameters
    ----------
    name : str
        Of `BRAINS`.
    generation : {"A", "B"}
        A quotes its keys, B writes as prettier does.

    Returns
    -------
    str
    """
    head = f"// {_ABOUT[name]}\n// {_TALK}\n"
    return f"{head}{_written(robot(name, generation), generation, 0)}\n"


def _action(name: str, label: str) -> dict[str, str]:
    return {
        "name": name,
        "llm_label": label,
        "implementation": "passthrough",
        "connector": "ros2",
    }


def _scenes(generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "sensed": NOTHING if heard is None else f"Voice: {heard}",
            "actions": [
                {"type": "move", "value": move},
                *([] if said is None else [{"type": "speak", "value": said}]),
                {"type": "emotion", "value": _FACES[generation][mood]},
            ],
        }
        for heard, move, said, mood in _SCENES
    ]


def _told(generation: Generation) -> str:
    """Two examples in words, for models that need no more."""
    glad, attentive = (_FACES[generation][mood] for mood in ("glad", "attentive"))
    return (
        "If a person says 'Give me your paw!', you might:\n"
        "    Move: 'shake paw'\n    Speak: 'Hello, let us shake paws!'\n"
        f"    Emotion: '{glad}'\n\n"
        f"If nobody speaks, you might:\n    Move: 'stand still'\n    Emotion: '{attentive}'"
    )


def _written(value: object, generation: Generation, depth: int) -> str:
    """JSON5 as OM1's configurations are written, but that an action stands on one line."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        parts = [
            f"{_key(key, generation)}: {_written(each, generation, depth + 1)}"
            for key, each in fields.items()
        ]
        opening, closing = "{}"
        spaced = " " if generation == "B" else ""
        line = f"{opening}{spaced}{', '.join(parts)}{spaced}{closing}"
        if fields.keys() == {"type", "value"} and len(inner) + len(line) < _WIDTH:
            return line
    elif isinstance(value, list):
        parts = [_written(each, generation, depth + 1) for each in cast("Sequence[object]", value)]
        opening, closing = "[]"
    else:
        return json.dumps(value, ensure_ascii=False)
    comma = "," if generation == "B" else ""
    lines = f",\n{inner}".join(parts)
    return f"{opening}\n{inner}{lines}{comma}\n{outer}{closing}"


def _key(name: str, generation: Generation) -> str:
    is_plain = generation == "B" and re.fullmatch(r"[A-Za-z_$][\w$]*", name)
    return name if is_plain else json.dumps(name)
