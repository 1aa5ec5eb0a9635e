"""What a robot tells of itself, as it stands in its file; `reflexarc.telemetry` does it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from reflexarc.checks import BaseUrl, Frozen, NoBool
from reflexarc.remembering import MOST_DAYS, false_is_off, none_if_off

TRACES_MB = 50.0
"""Size of all traces of a robot whose file names none, in megabytes of a million bytes."""

TRACES_DAYS = 30.0
"""Days that a trace is kept where the robot's file names none."""


class Observing(Frozen):
    """What a robot tells of itself.

    Parameters
    ----------
    traces : bool, default True
        Whether there is a line for each tick in a file for each day.
    max_mb : float, default 50.0
        Size of these files in megabytes, above 0; the oldest go first.
    max_days : float, default 30.0
        Days that they are kept, above 0 and at most 36500.
    metrics : bool, default True
        Whether the page has ``/metrics`` for Prometheus, where prometheus-client is installed.
    otlp : str or None, default None
        Receiver of OpenTelemetry spans, such as ``http://127.0.0.1:4318``; None leaves that to
        OpenTelemetry's own variables, and without them none are made.
    content : bool, default False
        Whether traces and spans hold what was said: prompts, answers, and errors in their words.
    """

    traces: bool = True
    max_mb: Annotated[float, NoBool] = Field(default=TRACES_MB, gt=0, allow_inf_nan=False)
    max_days: Annotated[float, NoBool] = Field(default=TRACES_DAYS, gt=0, le=MOST_DAYS)
    metrics: bool = True
    otlp: BaseUrl | None = None
    content: bool = False


_REMEDY = "{ content: true }; leave the line out for the usual telemetry"

Observed = Annotated[
    Observing | None,
    BeforeValidator(none_if_off(Observing, _REMEDY)),
    Field(json_schema_extra=false_is_off),
]
"""As a file has it: an object, or false, which is None here."""
