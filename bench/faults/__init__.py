"""(f): fourteen faults of the first of two servers, and a limit of 3 s.

Each client is opened afresh for each fault, with two servers: one that fails as told, and one that
is healthy. Fallbacks of a library's own are used where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


async def measure(peers: Sequence[str], quick: bool = False) -> list[dict[str, Any]]:
    """Play the faults to some peers, and to those of them that are tuned; a row each."""
    from bench.faults import play  # noqa: PLC0415 - clients load this package as well

    return await play.measure(peers, quick)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    from bench.faults import report  # noqa: PLC0415 - clients load this package as well

    return report.table(rows)


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The rows as a picture: a line each, a column for each fault."""
    from bench.faults import report  # noqa: PLC0415 - clients load this package as well

    report.plot(rows, path)
