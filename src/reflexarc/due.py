"""By when an answer is needed, as everybody below a `Deadline` can ask.

The moments are in the context of the running task, as those of anyio's and trio's scopes are, so
that no LLM in between has to hand them on.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Due(NamedTuple):
    """By when whoever asks needs an answer; the loop's time, infinite where nobody has said.

    Parameters
    ----------
    first_action : float, default math.inf
        The first action, or the end of an answer without any.
    whole : float, default math.inf
        All of it.
    """

    first_action: float = math.inf
    whole: float = math.inf


_NEVER = Due()
_due: ContextVar[Due] = ContextVar("due", default=_NEVER)


def due() -> Due:
    """By when the answer of the running call is needed.

    Returns
    -------
    Due
    """
    return _due.get()


@contextmanager
def due_by(moments: Due) -> Generator[None]:
    """Need the answer by these moments, or by those that hold already if they are earlier.

    Parameters
    ----------
    moments : Due
        For what is called in the block.

    Yields
    ------
    None
    """
    outer = _due.get()
    token = _due.set(Due(*map(min, outer, moments)))
    try:
        yield
    finally:
        _due.reset(token)
