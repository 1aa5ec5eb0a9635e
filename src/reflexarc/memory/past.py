"""What a robot has in mind when it starts."""

from __future__ import annotations

from dataclasses import dataclass

from reflexarc.memory.tick import Tick


@dataclass(frozen=True, slots=True)
class Past:
    """What a robot has in mind when it starts.

    Parameters
    ----------
    summary : str
        What was written down of the ticks up to `until`; empty if nothing was.
    until : int
        The last tick that the summary tells of; 0 if there is none.
    ticks : tuple of Tick
        The newest that are turns, oldest first; some may be told of by the summary as well.
    """

    summary: str = ""
    until: int = 0
    ticks: tuple[Tick, ...] = ()
