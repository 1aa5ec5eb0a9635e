"""A robot's own rules, as they stand in its file; `reflexarc.guard` keeps them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from reflexarc.checks import Frozen, NoBool, Seconds


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Never(Frozen):
    """What the robot does not do, whoever wants it to.

    Parameters
    ----------
    type : str
        The action.
    value : str or None, default None
        Its value; None is any.
    while_ : tuple of str, default ()
        ``while``: only while one of these words or phrases is sensed, and for `hold` seconds after
        it; a single one may stand for itself. Empty is always.
    hold : float, default 5.0
        Seconds, at least 0, for which what was sensed last counts as so: longer than the pauses of
        the slowest sensor. 0 is only in ticks in which it is sensed.
    """

    type: str
    value: str | None = None
    while_: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(default=(), alias="while")
    hold: Annotated[float, NoBool] = Field(default=5.0, ge=0, allow_inf_nan=False)


class Limit(Frozen):
    """How often the robot does something at most.

    Parameters
    ----------
    type : str
        The action.
    value : str or None, default None
        Its value; None counts all of them together.
    most : int, default 1
        So many times, at least 1.
    per : float
        In so many seconds, above 0.
    """

    type: str
    value: str | None = None
    most: Annotated[int, NoBool] = Field(default=1, ge=1)
    per: Seconds
