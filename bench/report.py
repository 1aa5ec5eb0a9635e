"""What a comparison is written as: JSON, a Markdown table, and where others are ahead."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.machine import ROOT, is_busy
from bench.peers import HAND, LIMIT, OURS
from reflexarc.bench import Figure

SHOWN_IN = ("docs/performance.md", "README.md")
"""Pages that show the last whole comparison, between markers."""

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One measurement as the table shows it; less is better everywhere."""

    key: str
    title: str
    path: tuple[str, ...]
    form: str = "{:.1f}"

    def value(self, result: Result, name: str) -> float | None:
        """A peer's value, if it has one."""
        peer = result.get("peers", {}).get(name)
        if self.key == "c" and peer and not peer["streams"]:
            return None  # no token arrives
        found: Any = result
        for step in (self.path[0], name, *self.path[1:]):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    def shown(self, value: float | None) -> str:
        """The value as text."""
        return "-" if value is None else self.form.format(value)


COLUMNS = (
    Column("a", "first action, ms over the wire", ("first", "over_ms", "p50")),
    Column("g", "given too early", ("first", "early"), "{:.0f}"),
    Column("b", "call, wall ms", ("call", "wall_ms", "p50"), "{:.2f}"),
    Column("b", "call, CPU × aiohttp", ("call", "cpu_ms", "times"), "{:.2f}"),
    Column("c", "token at once, CPU µs", ("token", "cpu_us", "p50")),
    Column("c", "token alone, CPU µs", ("crowd 50", "cpu_us"), "{:.0f}"),
    Column("d", "50 streams, ms over the schedule, p95", ("crowd 50", "whole_ms", "p95")),
    Column("d", "200 streams, ms over the schedule, p95", ("crowd 200", "whole_ms", "p95")),
    Column("e", "import, ms", ("load", "import_ms", "p50"), "{:.0f}"),
    Column("e", "to first answer, ms", ("load", "answer_ms", "p50"), "{:.0f}"),
    Column("e", "memory, MB", ("load", "memory_mb", "p50"), "{:.0f}"),
)


IN_SHORT = {
    0: "first action, ms",
    1: "half actions",
    3: "CPU of a call, × aiohttp",
    5: "CPU of a token, µs",
    7: "200 streams, ms late",
    8: "import, ms",
}
"""Columns of the front page, by shorter titles."""

FRONT = (
    LIMIT, HAND, OURS, "openai", "om1", "mistralai-stream", "llama", "pydantic-ai", "instructor",
    "langchain", "livekit",
)  # fmt: skip
"""Rows of the front page."""


def write(result: Result, folder: Path) -> Path:
    """Write ``<when>.json``, ``<when>.md`` and the plots; returns the JSON file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['machine']['date'][:16].replace(':', '')}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(result) + "\n")
    if result.get("first") or result.get("call"):
        from bench.plot import plot  # noqa: PLC0415 - matplotlib is slow to load

        plot(result, path)
    if result.get("faults"):
        from bench import faults  # noqa: PLC0415 - it is heavy

        faults.plot(result["faults"], path.with_name(f"{path.stem}-faults.png"))
    return path


def publish(result: Result, path: Path, root: Path = ROOT) -> None:
    """Put a whole comparison's tables and plots into the pages that show them."""
    plots: list[str] = []
    for plot in sorted(path.parent.glob(f"{path.stem}-*.png")):
        plots.append(f"performance-{plot.stem.rpartition('-')[2]}.png")
        shutil.copyfile(plot, root / "docs" / plots[-1])
    for page in (root / name for name in SHOWN_IN):
        if page.is_file():
            up = "" if page.parent.name == "docs" else "docs/"
            shown = [f"![{_alt(name)}]({up}{name})" for name in plots]
            text = between(page.read_text(), "compare", "\n\n".join([markdown(result), *shown]))
            first = [each for each in shown if "latency" in each]
            page.write_text(between(text, "summary", "\n\n".join([summary(result), *first])))


def _alt(name: str) -> str:
    what = name.removeprefix("performance-").removesuffix(".png")
    return f"{what.capitalize()} of reflexarc and other clients, as bars"


def between(text: str, name: str, new: str) -> str:
    """A page's text with what is between two markers replaced, where it has them."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{new}\n{end}", text)


def markdown(result: Result) -> str:
    """All of it: the machine, the table, targets, where others are ahead, what failed."""
    parts = [_machine(result), table(result, COLUMNS)]
    if result.get("faults"):
        from bench import faults  # noqa: PLC0415 - it is heavy

        parts.append(faults.table(result["faults"]))
    if lines := list(targets(result)):
        parts += ["Targets:", *_bullets(lines)]
    if lines := list(ahead(result)):
        parts += ["Where others are ahead of reflexarc:", *_bullets(lines)]
    if lines := list(_failed(result)):
        parts += ["What could not be measured:", *_bullets(lines)]
    if result.get("figures"):
        parts += ["Our own code and the model on board, by `reflexarc bench`:", own(result)]
    return "\n\n".join(part for part in parts if part)


def summary(result: Result) -> str:
    """A short table for the front page: one way to use each library."""
    columns = [replace(COLUMNS[at], title=title) for at, title in IN_SHORT.items()]
    peers = {name: peer for name, peer in result.get("peers", {}).items() if name in FRONT}
    return f"{table({**result, 'peers': peers}, columns)}\n\n{_machine(result)}"


def own(result: Result) -> str:
    """The figures of our own code and the model on board, as they were printed."""
    keys = ("name", "value", "unit", "note")
    figures = [Figure(*(each[key] for key in keys)) for each in result.get("figures", ())]
    return "\n".join(["```text", *map(str, figures), "```"])


def _bullets(lines: Sequence[str] | Iterator[str]) -> list[str]:
    return ["\n".join(f"* {line}" for line in lines)]


def table(result: Result, columns: Sequence[Column]) -> str:
    """A row a peer; the best of each column is bold, apart from the limit's."""
    peers: Mapping[str, Any] = result.get("peers", {})
    columns = [
        each for each in columns if any(each.value(result, name) is not None for name in peers)
    ]
    if not columns:
        return ""
    best = {each: winner(result, each) for each in columns}
    lines = [
        f"| | {' | '.join(each.title for each in columns)} |",
        f"|---|{'--:|' * len(columns)}",
    ]
    for name, peer in peers.items():
        cells = [
            f"**{text}**" if best[each] == name else text
            for each in columns
            for text in [each.shown(each.value(result, name))]
        ]
        version = "" if name in (LIMIT, OURS) else f" {peer['version']}".rstrip()
        label = f"**{peer['label']}**" if name == OURS else f"{peer['label']}{version}"
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def winner(result: Result, column: Column) -> str | None:
    """Who is best in a column: not the limit, nor who hands over what is no action."""
    found = {
        name: value
        for name in result.get("peers", {})
        if name != LIMIT and (value := column.value(result, name)) is not None
        and not (column.key == "a" and EARLY.value(result, name))
    }  # fmt: skip
    return min(found, key=lambda name: found[name], default=None)


EARLY = COLUMNS[1]


def ahead(result: Result) -> Iterator[str]:
    """A line for each column: our value, and everybody else's that is better."""
    for column in COLUMNS:
        ours = column.value(result, OURS)
        if ours is None:
            continue
        better = {
            name: value
            for name in result["peers"]
            if name != LIMIT and not name.startswith(OURS)
            and (value := column.value(result, name)) is not None and value < ours
            and not (column.key == "a" and EARLY.value(result, name))
        }  # fmt: skip
        shown = (
            f"{result['peers'][name]['label']} {column.shown(better[name])}"
            for name in sorted(better, key=lambda name: better[name])
        )
        yield f"{column.title}, {column.shown(ours)}: {', '.join(shown) or 'nobody'}"
    if result.get("faults"):
        from bench.faults.report import ahead as ahead_in_faults  # noqa: PLC0415 - it is heavy

        yield from ahead_in_faults(result["faults"])


def targets(result: Result) -> Iterator[str]:
    """Each target, what was measured, and whether it is met."""
    for text, value, most in _targets(result):
        if value is not None:
            yield f"{text}: {value:.2f}, {'met' if value <= most else 'MISSED'}"


def _targets(result: Result) -> Iterator[tuple[str, float | None, float]]:
    def over(path: tuple[str, ...], than: str, by: Callable[[float, float], float]) -> float | None:
        column = Column("", "", path)
        ours, its = column.value(result, OURS), column.value(result, than)
        return None if ours is None or its is None else by(ours, its)

    def minus(mine: float, its: float) -> float:
        return mine - its

    def times(mine: float, its: float) -> float:
        return mine / its

    yield ("(a) first action at most 2 ms over the bare socket's, p50",
           over(("first", "over_ms", "p50"), LIMIT, minus), 2)  # fmt: skip
    for what in ("wall_ms", "cpu_ms"):
        yield (f"(b) {what.partition('_')[0]} of a call at most 1.6 times aiohttp's",
               Column("", "", ("call", what, "times")).value(result, OURS), 1.6)  # fmt: skip
    yield ("(c) CPU of a token that arrives with others at most 1.5 times aiohttp's",
           Column("", "", ("token", "cpu_us", "times")).value(result, OURS), 1.5)  # fmt: skip
    yield ("(c) CPU of a token that arrives alone at most 1.5 times aiohttp's",
           over(("crowd 50", "cpu_us"), HAND, times), 1.5)  # fmt: skip
    yield ("(d) 200 streams, at most 10 ms added to the bare socket's p95, of the best round",
           over(("crowd 200", "whole_ms", "least_p95"), LIMIT, minus), 10)  # fmt: skip
    yield ("(e) import in at most 150 ms, the fastest of several",
           Column("", "", ("load", "import_ms", "least")).value(result, OURS), 150)  # fmt: skip
    yield "(f) faults without a right answer within 3 s", _unanswered(result), 0
    yield "(g) given too early", EARLY.value(result, OURS), 0


def _unanswered(result: Result) -> int | None:
    """Of the fourteen faults, with default settings."""
    from bench.faults.report import played  # noqa: PLC0415 - it is heavy

    for row in result.get("faults", ()):
        if row["client"] == OURS and row["faults"]:
            return sum(each["outcome"] != "valid" for each in played(row).values())
    return None


def _machine(result: Result) -> str:
    facts = result["machine"]
    return (
        f"{facts['date'][:10]}, commit {facts['commit']}, {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['system']}, Python {facts['python']}, load {facts['load'][0]} before."
        + (" A quick run: few rounds." if result.get("quick") else "")
        + (" **Measured on a busy machine: its times are too long.**" if is_busy(facts) else "")
    )


def _failed(result: Result) -> Iterator[str]:
    peers = result.get("peers", {})
    for peer in peers.values():
        if peer["left_out"]:
            yield f"{peer['label']}: {peer['left_out']}"
    for column, names in result.get("failures", {}).items():
        for name, why in names.items():
            yield f"{peers[name]['label'] if name in peers else name}, {column}: {why}"
