"""``reflexarc trace``: how a robot's ticks went, from the lines that it writes."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from reflexarc.cli.memory import LAST, Config, Last, Robot
from reflexarc.cli.outcome import failures
from reflexarc.cli.report import AsJson, Report, shown
from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.eval.score import percentiles
from reflexarc.memory import STOPPED
from reflexarc.telemetry import Summary, Tail, newest_traces, read_traces, traces_of
from reflexarc.telemetry.place import day_of, parts_of
from reflexarc.telemetry.reading import failures_of, finite
from reflexarc.types import Json, as_object, objects_in

_LOOK_EVERY_S = 0.2
_COLUMNS = (("tick", 5), ("first\naction", 7), ("whole\nanswer", 7), ("tokens\nin/out", 8))


def trace(
    day: Annotated[
        str | None,
        typer.Option("--day", metavar="DATE", help="Of this day, by UTC; else the newest."),
    ] = None,
    slow: Annotated[
        float | None,
        typer.Option(
            "--slow",
            metavar="SECONDS",
            min=0.0,
            help="Only ticks whose first action, or whole answer without one, took longer.",
        ),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only ticks in which something failed.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show each tick as it ends, until Ctrl-C.")
    ] = False,
    last: Last = LAST,
    config: Config = None,
    robot: Robot = None,
    as_json: AsJson = False,
) -> None:
    """Show how a robot's ticks went: how fast, by whom, and what failed."""
    report = Report(as_json=as_json)
    with failures(report):
        folder = _folder(config, robot, report)

        def is_wanted(each: Json) -> bool:
            return (slow is None or _slowness(each) > slow) and (not failed or _has_failed(each))

        if follow:
            if day is not None:
                raise ConfigError("--follow shows what happens now; leave --day out")
            _show(filter(is_wanted, _followed(folder)), report)
            return
        parts = _parts(folder, day, report)
        everything = Summary()
        found = filter(
            is_wanted, _counted(chain.from_iterable(map(read_traces, parts)), everything)
        )
        newest = deque(found, last)
        _show(newest, report)
        if len(newest) == last:
            report.aside(f"these are the newest {last}; --last N shows more")
        if as_json:
            report.data({"event": "summary", **_figures(everything)})
        else:
            report.say("")
            report.table(_summary(everything))


def _folder(config: Path | None, robot: str | None, report: Report) -> Path:
    if config is not None and robot is not None:
        raise ConfigError("name the robot by one of --config and --robot")
    if config is not None:
        robot = RobotConfig.load(config, llm='{type: "OnboardLLM"}').name
    if robot is not None:
        return traces_of(os.environ, robot)
    folder = newest_traces(os.environ)
    if folder is None:
        raise ConfigError("there are no traces yet; they are written by: reflexarc run")
    report.aside(f"the traces written last: {folder}")
    return folder


def _parts(folder: Path, day: str | None, report: Report) -> list[Path]:
    try:
        wanted = None if day is None else date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"--day {day} is no date; write it as 2026-11-01") from None
    if wanted is not None and (parts := parts_of(folder, wanted)):
        return parts
    days = [day_of(each) for each in parts_of(folder)]
    if not days:
        raise ConfigError(f"there are no traces in {folder}; they are written by: reflexarc run")
    if wanted is not None:
        raise ConfigError(f"there are no traces of {wanted}; there are of {days[0]} to {days[-1]}")
    if days[-1] != datetime.now(UTC).date():
        report.aside(f"the newest day with traces: {days[-1]}")
    return parts_of(folder, days[-1])


def _counted(traces: Iterable[Json], summary: Summary) -> Iterator[Json]:
    for each in traces:
        summary.add(each)
        yield each


def _followed(folder: Path) -> Iterator[Json]:
    with Tail(folder) as tail:
        while True:
            yield from tail.read()
            time.sleep(_LOOK_EVERY_S)


def _slowness(each: Json) -> float:
    first = finite(each.get("first_action_s"))
    return (finite(each.get("total_s")) or 0.0) if first is None else first


def _has_failed(each: Json) -> bool:
    done = any(action.get("outcome") == "failed" for action in objects_in(each.get("actions")))
    return each.get("outcome") not in ("ok", STOPPED) or bool(failures_of(each)) or done


def _show(traces: Iterable[Json], report: Report) -> None:
    """One after the other, each as soon as it is there."""
    before: Json | None = None
    for each in traces:
        if report.as_json:
            report.data({"event": "trace", **each})
        else:
            report.table(_row(each, before))
        before = each
    if before is None and not report.as_json:
        report.say("No tick is like that.")


def _row(each: Json, before: Json | None) -> Table:
    """One tick; all have the same widths. Who answers is named where it is another than before."""
    table = Table(
        box=None,
        expand=True,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_header=before is None,
        header_style="dim",
    )
    table.add_column("time\n(UTC)", width=8)
    for head, width in _COLUMNS:
        table.add_column(head, width=width, justify="right")
    table.add_column("by whom, and what", ratio=1, overflow="fold")
    usage = as_object(each.get("usage"))
    counts = (usage or {}).get("prompt_tokens"), (usage or {}).get("completion_tokens")
    table.add_row(
        shown(str(each["at"])[11:19]),
        shown(str(each.get("tick", ""))),
        _seconds(each.get("first_action_s")),
        _seconds(each.get("total_s")),
        "-" if usage is None else shown(f"{counts[0]}/{counts[1]}"),
        _account(each, is_known=before is not None and _answered(before) == _answered(each)),
    )
    return table


def _answered(each: Json) -> tuple[object, object]:
    return each.get("provider"), each.get("model")


def _account(each: Json, *, is_known: bool) -> str:
    """Who was asked, what went wrong, and what was done."""
    told: list[str] = []
    tries = objects_in(each.get("attempts"))
    is_told = bool(tries) and tries[-1].get("outcome") == each.get("error_type")
    for attempt in tries:
        outcome = str(attempt.get("outcome"))
        color = "red" if is_told and attempt is tries[-1] else "yellow"
        if outcome != "ok":
            told.append(f"{shown(str(attempt.get('provider')))} [{color}]{shown(outcome)}[/]")
    match each.get("outcome"):
        case "ok":
            name = shown(f"{each.get('provider')} {each.get('model')}".strip())
            told.append(shown(str(each.get("provider"))) if is_known else name)
        case "stopped":
            told.append("[yellow]stopped[/]")
        case "idle":
            told.append("[red]idle[/]")
        case _ if is_told:
            pass  # by its last try
        case _:
            told.append(f"[red]{shown(str(each.get('error_type')))}[/]")
    who = " → ".join(told)
    deeds = ", ".join(map(_deed, objects_in(each.get("actions"))))
    marks = "".join(
        f" [yellow]{mark}[/]"
        for mark in (
            "overran" if each.get("overran") is True else "",
            f"missed {each['missed']}" if isinstance(each.get("missed"), int) else "",
        )
        if mark and mark != "missed 0"
    )
    return f"{who}{': ' if deeds else ''}{deeds}{marks}"


def _deed(deed: Json) -> str:
    name = shown(" ".join(str(deed.get(each, "")) for each in ("type", "value")).strip())
    outcome = str(deed.get("outcome"))
    return name if outcome == "done" else f"[yellow]{shown(f'{outcome} {name}'.strip())}[/]"


def _seconds(value: object) -> str:
    number = finite(value)
    return "-" if number is None else f"{number:.3f} s"


def _figures(summary: Summary) -> dict[str, Any]:
    return {
        "ticks": summary.ticks,
        "outcomes": dict(summary.outcomes),
        "answered": dict(summary.answered),
        "first_action_s": percentiles(summary.first_action_s),
        "total_s": percentiles(summary.total_s),
        "failovers": summary.failovers,
        "errors": dict(summary.errors),
        "overran": summary.overran,
        "missed": summary.missed,
    }


def _summary(summary: Summary) -> Table:
    first, whole = percentiles(summary.first_action_s), percentiles(summary.total_s)
    rows = [
        ("ticks", _counts(summary.outcomes) if summary.ticks else "0"),
        ("answered by", _counts(summary.answered)),
        ("first action, p50 · p95", f"{_seconds(first['p50'])} · {_seconds(first['p95'])}"),
        ("whole answer, p50 · p95", f"{_seconds(whole['p50'])} · {_seconds(whole['p95'])}"),
        ("failovers", str(summary.failovers)),
        ("errors", _counts(summary.errors)),
        ("ticks that overran", str(summary.overran)),
        ("missed", str(summary.missed)),
    ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {shown(name)}" for name, count in counter.most_common()) or "none"
