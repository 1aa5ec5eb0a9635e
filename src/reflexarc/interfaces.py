"""OM1's interfaces: what an action of its configuration files can do, where they do not say it."""

from __future__ import annotations

from collections.abc import Mapping

_TEXT: tuple[str, ...] | None = None  # free text

INTERFACES: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "speak": ("Say a short sentence aloud.", _TEXT),
    "tweet": ("Post a short message.", _TEXT),
    "move": (
        "Move the body.",
        (
            "stand still",
            "sit",
            "dance",
            "shake paw",
            "walk",
            "walk back",
            "run",
            "jump",
            "wag tail",
        ),
    ),
    "face": ("Show a face.", ("cry", "smile", "frown", "think", "joy")),
    "emotion": ("Show a feeling.", ("happy", "sad", "mad", "curious")),
    "move_go2_autonomy": (
        "Move the body.",
        ("turn left", "turn right", "move forwards", "move back", "stand still"),
    ),
    "move_turtle": ("Drive the base.", ("turn left", "turn right", "move forwards", "stand still")),
    "move_go2_teleops": (
        "Move the body.",
        ("stand up", "sit", "shake paw", "dance", "stretch", "stand still"),
    ),
    "move_serial_arduino": (
        "Move the body.",
        ("be still", "small jump", "medium jump", "big jump"),
    ),
    "gps": ("Handle the robot's position.", ("share location", "idle")),
    "dimo": (
        "Control the car.",
        ("idle", "lock doors", "unlock doors", "open frunk", "open trunk"),
    ),
    "move_to_peer": ("Go to another robot.", ("idle", "navigate")),
}
"""Description and values by folder name under OM1's ``src/actions``, read at its snapshot of
2025-08-07; the description is ours, the values are the interface's enumeration."""
