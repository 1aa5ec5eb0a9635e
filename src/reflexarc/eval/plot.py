"""Accuracies as a picture."""

# pyright: reportUnknownMemberType=false
# matplotlib's own types have holes.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from reflexarc.eval.score import Share

_COLOURS = ("#2563eb", "#9ca3af", "#d97706", "#059669")


def draw(by_name: Mapping[str, Mapping[str, Share]], path: Path) -> None:
    """Draw how often each is right in each category, with its 95 % intervals.

    Parameters
    ----------
    by_name : mapping of str to (mapping of str to Share)
        By who was asked, and by category.
    path : Path
        The PNG file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    categories = list(next(iter(by_name.values())))
    width = 0.8 / len(by_name)
    for index, (name, found) in enumerate(by_name.items()):
        at = [place + (index - (len(by_name) - 1) / 2) * width for place in range(len(categories))]
        accuracy = [found[category].accuracy for category in categories]
        ends = [found[category].interval for category in categories]
        spread = (
            [max(0.0, value - low) for value, (low, _) in zip(accuracy, ends, strict=True)],
            [max(0.0, high - value) for value, (_, high) in zip(accuracy, ends, strict=True)],
        )
        colour = _COLOURS[index % len(_COLOURS)]
        axes.bar(at, accuracy, width, label=name, color=colour, yerr=spread, ecolor="#374151")
    axes.set_xticks(range(len(categories)), categories)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("right, of all asked")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=len(by_name), frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(path, dpi=120)
