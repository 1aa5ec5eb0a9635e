"""From what a loop tells to what telemetry keeps of its ticks."""

from __future__ import annotations

import asyncio

from reflexarc.runtime.events import Failed, TickEnded, TickEvent, TickStarted
from reflexarc.telemetry import Entry, Journal, Metrics, TickSpans


class Witness:
    """Tells telemetry of each tick; what is None is not told.

    Questions and answers are not its business: `Measured` and `Traced` are around the LLM.

    Parameters
    ----------
    hertz : float
        Most ticks a second; one that takes longer than that has overrun.
    metrics : Metrics or None, default None
        Where ticks and failures are counted.
    journal : Journal or None, default None
        Where each tick becomes a line.
    spans : TickSpans or None, default None
        Where each tick becomes a span.
    """

    def __init__(
        self,
        hertz: float,
        *,
        metrics: Metrics | None = None,
        journal: Journal | None = None,
        spans: TickSpans | None = None,
    ) -> None:
        self._period_s = 1 / hertz
        self._metrics = metrics
        self._journal = journal
        self._spans = spans
        self._started = 0.0

    def observe(self, event: TickEvent) -> None:
        """Take note; an `Observer`.

        Parameters
        ----------
        event : TickEvent
            As the loop tells it.
        """
        match event:
            case TickStarted(tick=number):
                self._started = asyncio.get_running_loop().time()
                if self._spans is not None:
                    self._spans.begin(number)
            case TickEnded():
                self._end(event)
            case Failed(where=where, action=action) if self._metrics is not None:
                self._metrics.failed(where)
                if action is not None:
                    self._metrics.action(action.type, "failed")
            case _:
                pass

    def _end(self, event: TickEnded) -> None:
        took_s = asyncio.get_running_loop().time() - self._started
        overran = took_s > self._period_s
        record = event.record
        trace_id = "" if self._spans is None else self._spans.end(record)
        if self._metrics is not None:
            self._metrics.ticked(took_s, overran=overran, missed=len(record.missed))
        if self._journal is not None:
            self._journal.write(Entry(event.tick, record, took_s, overran, trace_id))
