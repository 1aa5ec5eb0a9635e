"""The plots of a comparison: bars on a logarithmic axis, a file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.peers import OURS
from bench.report import COLUMNS, EARLY, Column

_PLOTS = {"latency": (COLUMNS[0], COLUMNS[7]), "cost": (COLUMNS[2], COLUMNS[5]),
          "load": (COLUMNS[8], COLUMNS[10])}  # fmt: skip
_OURS, _OTHERS, _EARLY = "#c2410c", "#64748b", "#e2e8f0"


def plot(result: Mapping[str, Any], path: Path) -> list[Path]:
    """Draw what was measured, beside the results; returns the files."""
    written: list[Path] = []
    for name, columns in _PLOTS.items():
        shown = [each for each in columns if any(_values(result, each).values())]
        if not shown:
            continue
        figure = Figure(figsize=(6.4 * len(shown), 5.2), layout="tight")
        axes = figure.subplots(1, len(shown), squeeze=False)
        for axis, column in zip(axes[0], shown, strict=True):
            _bars(axis, result, column)
        written.append(path.with_name(f"{path.stem}-{name}.png"))
        figure.savefig(written[-1], dpi=110)
    return written


def _values(result: Mapping[str, Any], column: Column) -> dict[str, float]:
    found = {name: column.value(result, name) for name in result.get("peers", {})}
    return {name: value for name, value in found.items() if value is not None}


def _bars(axis: Any, result: Mapping[str, Any], column: Column) -> None:
    values = _values(result, column)
    names = sorted(values, key=lambda name: values[name], reverse=True)
    early = {name for name in names if column.key == "a" and EARLY.value(result, name)}
    # What is given out before it is whole has no place on this axis; its bar is pale.
    least = min((value for value in values.values() if value > 0), default=1)
    colours = [
        _EARLY if name in early else _OURS if name.startswith(OURS) else _OTHERS for name in names
    ]
    axis.barh(
        [result["peers"][name]["label"].replace("`", "") for name in names],
        [max(values[name], least) for name in names],
        color=colours,
    )
    for at, name in enumerate(names):
        text = "half actions" if name in early else column.shown(values[name])
        axis.text(max(values[name], least), at, f" {text}", va="center", fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.set_title(column.title, fontsize=11)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
