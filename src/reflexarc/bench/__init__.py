"""What ``reflexarc bench`` measures, each by a function that gives figures.

Times on a shared machine are noisy: compare figures of one run with each other, not runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from reflexarc.bench.client import bench_chain, bench_decoder, bench_import
from reflexarc.bench.figure import Figure
from reflexarc.bench.memory import bench_memory
from reflexarc.bench.onboard import bench_onboard
from reflexarc.bench.page import bench_page
from reflexarc.bench.telemetry import bench_telemetry
from reflexarc.config import RobotConfig

__all__ = [
    "NAMES",
    "Figure",
    "bench_chain",
    "bench_decoder",
    "bench_import",
    "bench_memory",
    "bench_onboard",
    "bench_page",
    "bench_telemetry",
    "measure",
]

NAMES = ("import", "decoder", "chain", "memory", "page", "telemetry", "onboard")
"""What can be measured."""


def measure(what: Iterable[str], robot: RobotConfig | None = None) -> Iterator[Figure]:
    """Run benches, and give each figure when it is known.

    Parameters
    ----------
    what : iterable of str
        Some of `NAMES`.
    robot : RobotConfig or None, default None
        The robot of the on-board bench; None is a dog with a short prompt.

    Yields
    ------
    Figure
    """
    benches: Mapping[str, Callable[[], Iterator[Figure]]] = {
        "import": bench_import,
        "decoder": bench_decoder,
        "chain": bench_chain,
        "memory": bench_memory,
        "page": bench_page,
        "telemetry": bench_telemetry,
        "onboard": partial(bench_onboard, robot),
    }
    for name in what:
        yield from benches[name]()
