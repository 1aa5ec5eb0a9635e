"""What is made of measured values: medians, percentiles, ratios within one round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence


def p95(values: Sequence[float]) -> float:
    """The value that at most one in twenty goes beyond."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def summary(values: Sequence[float]) -> dict[str, float]:
    """The median, the 95th percentile, the least, and how many there are."""
    return {
        "least": round(min(values), 4),
        "p50": round(statistics.median(values), 4),
        "p95": round(p95(values), 4),
        "count": len(values),
    }


def ratios(rounds: Mapping[str, Sequence[float | None]], reference: str) -> dict[str, float]:
    """Each one's median ratio to the reference, taken round by round, so that noise cancels."""
    its = rounds.get(reference, ())
    found: dict[str, float] = {}
    for name, values in rounds.items():
        pairs = [(mine, ref) for mine, ref in zip(values, its, strict=False) if mine and ref]
        if pairs:
            found[name] = round(statistics.median(mine / ref for mine, ref in pairs), 3)
    return found
