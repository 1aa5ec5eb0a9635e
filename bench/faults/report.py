"""What the faults came to: a Markdown table, and a picture of every case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.faults.fault import FAULTS, LATER
from bench.faults.outcome import OUTCOMES
from bench.peers import OURS

Row = Mapping[str, Any]

_LATER = {fault.name for fault in LATER}
_COLOURS = {
    "valid": "#15803d", "late": "#cbd5e1", "error": "#94a3b8", "wrong": "#b91c1c",
    "doubled": "#7e22ce",
}  # fmt: skip


def played(row: Row) -> dict[str, Mapping[str, Any]]:
    """The cases that count, without those in which an action was out before."""
    return {name: found for name, found in row["faults"].items() if name not in _LATER}


def best_first(rows: Sequence[Row]) -> list[Row]:
    """By valid answers, then by how few acted wrongly, then by the time to act."""

    def key(row: Row) -> tuple[int, int, float]:
        found = Counter(each["outcome"] for each in played(row).values())
        slow = _slowest(row)
        return -found["valid"], found["wrong"] + found["doubled"], 99 if slow is None else slow

    return sorted(rows, key=key)


def _slowest(row: Row) -> float | None:
    """Seconds to the first action of the slowest valid answer."""
    times = [each["first_s"] for each in played(row).values() if each["outcome"] == "valid"]
    return max((each for each in times if each is not None), default=None)


def table(rows: Sequence[Row]) -> str:
    """A line for each client, the best first, and what the columns mean."""
    count = max((len(played(row)) for row in rows), default=0)
    later = [fault.name for fault in LATER if any(fault.name in row["faults"] for row in rows)]
    titles = ["told of 3 s", f"valid of {count}", "late", "error", "wrong", "doubled",
              "slowest first action, s", "half actions", *later]  # fmt: skip
    lines = [f"| with a healthy second server | {' | '.join(titles)} |"]
    lines.append(f"|---|{'--:|' * len(titles)}")
    for row in best_first([row for row in rows if row["faults"]]):
        found = Counter(each["outcome"] for each in played(row).values())
        slow = _slowest(row)
        cells = [
            "yes" if row["told"] else "",
            f"**{found['valid']}**" if found["valid"] == count else found["valid"],
            *(found[name] or "" for name in ("late", "error", "wrong", "doubled")),
            "-" if slow is None else f"{slow:.2f}",
            sum(each["halves"] for each in played(row).values()) or "",
            *(_in_short(row["faults"][name]) for name in later),
        ]
        lines.append(f"| {row['label']} | {' | '.join(map(str, cells))} |")
    out = [f"Left out: {row['label']}, {row['left_out']}." for row in rows if not row["faults"]]
    return "\n".join([*lines, "", *out, *_legend()])


def ahead(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each column: our value at our defaults, and every other client's that is better.

    The slowest first action is told of all who have one, with how many answers they are of.
    """
    mine = next((row for row in rows if row["client"] == OURS and row["faults"]), None)
    if mine is None:
        return
    others = [row for row in rows if row["faults"] and not row["client"].startswith(OURS)]

    def valid(row: Row) -> int:
        return sum(each["outcome"] == "valid" for each in played(row).values())

    def line(title: str, shown: Iterator[str]) -> str:
        return f"{title}: {', '.join(shown) or 'nobody'}"

    yield line(
        f"faults, valid answers, {valid(mine)}",
        (f"{row['label']} {valid(row)}" for row in others if valid(row) > valid(mine)),
    )
    if (slow := _slowest(mine)) is not None:
        yield line(
            f"faults, slowest first action, {slow:.2f} s of {valid(mine)}",
            (
                f"{row['label']} {its:.2f} of {valid(row)}"
                for row in best_first(others)
                if (its := _slowest(row)) is not None and its < slow
            ),
        )
    for name in (name for name in mine["faults"] if name in _LATER):
        if mine["faults"][name]["outcome"] != "valid":
            yield line(
                f"{name}, {_in_short(mine['faults'][name])}",
                (
                    f"{row['label']} valid"
                    for row in others
                    if row["faults"].get(name, {}).get("outcome") == "valid"
                ),
            )


def _in_short(found: Mapping[str, Any]) -> str:
    more = f" after {found['given']}" if found["outcome"] in ("late", "error") else ""
    return f"{found['outcome']}{more}"


def _legend() -> Iterator[str]:
    """The faults, and what an outcome means."""
    yield "Outcomes: " + "; ".join(f"*{name}*: {text}" for name, text in OUTCOMES.items()) + "."
    yield ""
    yield "Faults of the first server: " + "; ".join(
        f"*{fault.name}* ({fault.why})" for fault in FAULTS
    ) + "."  # fmt: skip


def plot(rows: Sequence[Row], path: Path) -> None:
    """A square for each case, in the colour of its outcome, with the time to the first action."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to load
    from matplotlib.patches import Patch, Rectangle  # noqa: PLC0415

    rows = best_first([row for row in rows if row["faults"]])
    faults = list(rows[0]["faults"]) if rows else []
    figure = Figure(figsize=(2.6 + 0.55 * len(faults), 2.2 + 0.32 * len(rows)), layout="tight")
    axis = figure.subplots()
    for y, row in enumerate(rows):
        for x, name in enumerate(faults):
            found = row["faults"][name]
            colour = _COLOURS[found["outcome"]]
            axis.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, color=colour))
            if found["outcome"] == "valid" and found["first_s"] is not None:
                text = f"{found['first_s']:.1f}"
                axis.text(x, y, text, ha="center", va="center", fontsize=7, color="white")
    axis.set_xlim(-0.6, len(faults) - 0.4)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xticks(range(len(faults)), faults, rotation=40, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), [row["label"].replace("`", "") for row in rows], fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in _COLOURS.items()],
        loc="upper right", ncols=len(_COLOURS), fontsize=8, frameon=False,
    )  # fmt: skip
    axis.set_title("in green: seconds to the first action", fontsize=9, loc="left")
    figure.savefig(path, dpi=110)
