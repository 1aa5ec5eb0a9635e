"""By when an answer is needed, as everybody below a `Deadline` can ask.

The moments are in the context of the running task, as those of anyio's and trio's scopes are, so
that no LLM in between has to hand them on.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from reflexarc.errors import Phase


@dataclass(slots=True)
class Due:
    """By when whoever asks needs an answer; the loop's time, infinite where nobody has said.

    Parameters
    ----------
    first_action : float, default math.inf
        The first action, or the end of an answer without any; may be put off while one is asked.
    whole : float, default math.inf
        All of it.
    stall_s : float, default math.inf
        Longest silence in seconds between two useful pieces of an answer.
    """

    first_action: float = math.inf
    whole: float = math.inf
    stall_s: float = math.inf

    def within(self, outer: Due) -> Due:
        """The nearer of these moments and those of another one.

        Parameters
        ----------
        outer : Due
            What holds already; nobody inside can put it off.

        Returns
        -------
        Due
        """
        return Due(
            min(self.first_action, outer.first_action),
            min(self.whole, outer.whole),
            min(self.stall_s, outer.stall_s),
        )

    def limit(self, heard_at: float | None, *, is_served: bool) -> tuple[float, Phase]:
        """When the wait for the next useful piece ends, and by which limit.

        Parameters
        ----------
        heard_at : float or None
            When the last one came; the loop's time. None where none did.
        is_served : bool
            Whether the first action is out.

        Returns
        -------
        float
            The loop's time.
        str
            ``"first_action"``, ``"stall"`` or ``"total"``.
        """
        until, phase = self.whole, "total"
        if not is_served and self.first_action < until:
            until, phase = self.first_action, "first_action"
        if heard_at is not None and heard_at + self.stall_s < until:
            until, phase = heard_at + self.stall_s, "stall"
        return until, phase


_due: ContextVar[Due] = ContextVar("due", default=Due())  # noqa: B039 - nobody changes this one


def due() -> Due:
    """By when the answer of the running call is needed.

    Returns
    -------
    Due
    """
    return _due.get()


@contextmanager
def due_by(moments: Due) -> Generator[None]:
    """Need the answer by these moments.

    Parameters
    ----------
    moments : Due
        For what is called in the block; `Due.within` those that hold already.

    Yields
    ------
    None
    """
    token = _due.set(moments)
    try:
        yield
    finally:
        _due.reset(token)
