"""Where the extras are not installed: one sentence to who asks for them, and nothing else."""

from __future__ import annotations

import subprocess
import sys

# In an interpreter of its own, as if neither package were installed.
WITHOUT = """
import asyncio, sys
import reflexarc, reflexarc.telemetry.om1
from reflexarc.telemetry import Metrics, TickSpans, Traced
print(sorted({"opentelemetry", "prometheus_client"} & set(sys.modules)))
sys.modules["opentelemetry"] = sys.modules["prometheus_client"] = None
from reflexarc.errors import UnavailableError
from reflexarc.telemetry.om1 import Latency
from reflexarc.testing import ScriptedLLM
for make in (lambda: Metrics("dot"), lambda: Traced(ScriptedLLM()), lambda: TickSpans("dot")):
    try:
        make()
    except UnavailableError as error:
        print(error.message)
async def tell():
    Latency("m", "http://here/v1").observe(1.0)
asyncio.run(tell())
"""


def test_without_the_extras_who_asks_is_told_what_to_install() -> None:
    """Telemetry loads them on use only; each part names its extra; OM1's is left out in silence."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    loaded, metrics, traced, ticks = done.stdout.splitlines()
    assert loaded == "[]"
    assert metrics.startswith("metrics need prometheus-client; ")
    assert "[metrics]" in metrics
    assert traced == ticks
    assert "[otel]" in traced
