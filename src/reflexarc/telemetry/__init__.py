"""What a robot tells of itself: spans, metrics, and a line for each tick.

All of it is off where nobody asks for it, and costs nothing then; the packages it needs are loaded
on use.
"""

from reflexarc.telemetry.exporting import Exporting, exporter_of, wants_content
from reflexarc.telemetry.journal import Entry, Journal
from reflexarc.telemetry.metrics import Measured, Metrics, has_prometheus
from reflexarc.telemetry.names import METRICS, Metric
from reflexarc.telemetry.place import newest_traces, traces_of
from reflexarc.telemetry.reading import Summary, Tail, read_traces
from reflexarc.telemetry.spans import TickSpans, Traced

__all__ = [
    "METRICS",
    "Entry",
    "Exporting",
    "Journal",
    "Measured",
    "Metric",
    "Metrics",
    "Summary",
    "Tail",
    "TickSpans",
    "Traced",
    "exporter_of",
    "has_prometheus",
    "newest_traces",
    "read_traces",
    "traces_of",
    "wants_content",
]
