"""How much a robot remembers and where, as it stands in its file; `reflexarc.memory` does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from reflexarc.checks import Frozen, NoBool
from reflexarc.types import as_object

MAX_MB = 100.0
"""Size of a memory where its robot's file names none, in megabytes of a million bytes."""

MAX_DAYS = 90.0
"""Days that a tick is kept where the robot's file names none."""

MOST_DAYS = 36_500.0
"""A hundred years; a date so long ago can still be told."""


def _check_path(path: Path | None) -> Path | None:
    if path is not None and (path == Path() or "\0" in str(path)):
        raise ValueError("is no name of a file; write one, or leave the line out")
    return path


class Remembering(Frozen):
    """Where the ticks of a robot are kept, and how many.

    Parameters
    ----------
    path : Path or None, default None
        The file; relative to the working directory, and ``~`` is the home directory. None is a
        file of this robot's name in the state directory; see `reflexarc.memory.place`.
    max_mb : float, default 100.0
        Its size in megabytes, above 0; the oldest ticks go first.
    max_days : float, default 90.0
        Days that a tick is kept, above 0 and at most 36500.
    """

    path: Annotated[Path | None, AfterValidator(_check_path)] = None
    max_mb: Annotated[float, NoBool] = Field(default=MAX_MB, gt=0, allow_inf_nan=False)
    max_days: Annotated[float, NoBool] = Field(default=MAX_DAYS, gt=0, le=MOST_DAYS)


def none_if_off(kind: type[Frozen], remedy: str) -> Callable[[Any], Any]:
    """Take ``false`` for None, and refuse what is neither that nor an object.

    Parameters
    ----------
    kind : type
        What the object becomes.
    remedy : str
        What to write instead.

    Returns
    -------
    callable
        For `pydantic.BeforeValidator`.
    """

    def check(value: Any) -> Any:
        if value is False:
            return None
        if value is None or isinstance(value, kind) or as_object(value) is not None:
            return value
        raise ValueError(f"is false, or an object as {remedy}")

    return check


def false_is_off(schema: dict[str, Any]) -> None:
    """Have a JSON Schema say ``false`` where our None is.

    Parameters
    ----------
    schema : dict
        Of the field; it is changed.
    """
    schema["anyOf"] = [
        {"const": False} if each == {"type": "null"} else each for each in schema["anyOf"]
    ]


_REMEDY = "{ max_days: 30 }; leave the line out for the usual memory"

Remembered = Annotated[
    Remembering | None,
    BeforeValidator(none_if_off(Remembering, _REMEDY)),
    Field(json_schema_extra=false_is_off),
]
"""As a file has it: an object, or false, which is None here."""
