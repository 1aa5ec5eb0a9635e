"""What became of a fault: one row of the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from .judge import Verdict
from .pulse import LONGEST_S


@dataclass(slots=True)
class Row:
    """What became of a fault.

    Parameters
    ----------
    name : str
        Of the fault.
    endings : Counter, default Counter()
        Ticks by who answered.
    why : list of str, default []
        Reasons for which it idled, or an answer broke off; each once.
    late, wrong, duplicate, unhandled, leaked, missed : list of str, default []
        What must not be, in words.
    worst_first_s, worst_end_s : float, default 0.0
        Seconds since the tick began.
    worst_gap_s, worst_own_s : float, default 0.0
        By which the event loop was late, and for how much of it by itself.
    took_s : float, default 0.0
        Seconds to play it.
    """

    name: str
    endings: Counter[str] = field(default_factory=Counter[str])
    why: list[str] = field(default_factory=list[str])
    late: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    duplicate: list[str] = field(default_factory=list[str])
    unhandled: list[str] = field(default_factory=list[str])
    leaked: list[str] = field(default_factory=list[str])
    missed: list[str] = field(default_factory=list[str])
    worst_first_s: float = 0.0
    worst_end_s: float = 0.0
    worst_gap_s: float = 0.0
    worst_own_s: float = 0.0
    took_s: float = 0.0

    @property
    def ticks(self) -> int:
        """How many there were."""
        return self.endings.total()

    @property
    def stalls(self) -> list[str]:
        """That the event loop was held up, if it was."""
        held_up = self.worst_own_s > LONGEST_S
        return [f"the event loop stood for {self.worst_own_s:.3f} s"] if held_up else []

    @property
    def silent(self) -> list[str]:
        """Ticks with neither an action nor a reason."""
        return ["neither an action nor a reason"] * self.endings["silent"]

    def to_dict(self) -> dict[str, Any]:
        """The fields, as plain data."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def add(self, verdict: Verdict, where: str) -> None:
        """Count a tick."""
        self.endings[verdict.ending] += 1
        for what in ("late", "wrong", "duplicate", "unhandled"):
            getattr(self, what).extend(f"{where}: {each}" for each in getattr(verdict, what))
        if verdict.why and verdict.why not in self.why:
            self.why.append(verdict.why)
        self.worst_first_s = max(self.worst_first_s, verdict.first_s or 0.0)
        self.worst_end_s = max(self.worst_end_s, verdict.ended_s)
