"""A replay as a picture."""

# pyright: reportUnknownMemberType=false
# matplotlib's own types have holes.

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from reflexarc.memory import Tick
from reflexarc.replay.pair import Pair, has_failed

_COLOURS = ("#9ca3af", "#2563eb")
_MARKERS = ("s", "o")
_FEW = 40  # ticks that a line joins; of more, it would hide the points
_WIDE = 500.0  # times between the shortest and the longest, where each decade is enough
_MOST_NUMBERS = 12
_BOTTOM = (0.03, 0.08)  # where a failure is drawn, as shares of the height


def draw(pairs: Sequence[Pair], names: tuple[str, str], path: Path) -> None:
    """Draw how fast both are in each tick: the first action, and the whole answer.

    Parameters
    ----------
    pairs : sequence of Pair
        At least one, oldest first.
    names : tuple of str
        Who answered before, and who answers now.
    path : Path
        The PNG file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    first, whole = figure.subplots(2, sharex=True)
    _panel(first, pairs, "first action", lambda tick: tick.first_action_s)
    _panel(whole, pairs, "whole answer", lambda tick: tick.total_s)
    whole.set_xlabel("tick, by its number in the memory")
    shown = range(0, len(pairs), ceil(len(pairs) / _MOST_NUMBERS))
    whole.set_xticks(shown, [str(pairs[at].before.id or at + 1) for at in shown])
    labels = [f"before: {names[0]}", f"now: {names[1]}"]
    handles = [each for each in first.lines if each.get_label() in ("before", "now")]
    if any(has_failed(tick) for pair in pairs for tick in (pair.before, pair.now)):
        [cross] = first.plot([], [], "x", color="#374151", label="failed")
        handles, labels = [*handles, cross], [*labels, "failed"]
    figure.legend(handles, labels, loc="outside upper left", frameon=False, ncols=1)
    figure.savefig(path, dpi=120)


def _panel(
    axes: Axes, pairs: Sequence[Pair], title: str, seconds: Callable[[Tick], float | None]
) -> None:
    is_few = len(pairs) <= _FEW
    sides = {"before": [each.before for each in pairs], "now": [each.now for each in pairs]}
    for index, (name, ticks) in enumerate(sides.items()):
        known = [None if has_failed(tick) else seconds(tick) for tick in ticks]
        axes.plot(
            range(len(ticks)),
            [float("nan") if each is None else each for each in known],
            marker=_MARKERS[index],
            color=_COLOURS[index],
            label=name,
            linewidth=1 if is_few else 0,
            markersize=5 if is_few else 2,
        )
        failed = [at for at, tick in enumerate(ticks) if has_failed(tick)]
        bottom = [_BOTTOM[index]] * len(failed)
        on_axis = axes.get_xaxis_transform()
        axes.plot(failed, bottom, "x", color=_COLOURS[index], transform=on_axis, label="_failed")
    axes.set_yscale("log")
    axes.margins(y=0.2)  # room for the failures
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _WIDE * low else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g} s"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(title)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
