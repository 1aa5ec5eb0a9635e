"""``reflexarc replay``: what another brain would have done, beside what was done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from reflexarc.cli.brain import Llm
from reflexarc.cli.memory import (
    LAST,
    Config,
    File,
    Last,
    Robot,
    opened,
    read_date,
)
from reflexarc.cli.outcome import WORLD_FAILED, failures, finish
from reflexarc.cli.picture import check_plot
from reflexarc.cli.report import AsJson, Report, shown
from reflexarc.config import LLMConfig, RobotConfig, parse_llm
from reflexarc.errors import ConfigError
from reflexarc.eval.score import percentiles
from reflexarc.llm import LLM
from reflexarc.memory import Store, Tick
from reflexarc.registry import load_llm
from reflexarc.replay.account import Account, Comparison, Price
from reflexarc.replay.pair import Pair, Recorded, asked, has_failed, is_illegal, play
from reflexarc.types import Usage
from reflexarc.vocabulary import Vocabulary

_VERDICTS = {
    True: "[green]same[/]",
    False: "[yellow]different[/]",
    None: "[dim]not compared[/]",
}
_LONGEST_DEED = 100  # characters
_WIDE = 64  # columns of a terminal that has room for the figures beside the actions
_NUMBER_WIDTH = 6
_FIGURES_BELOW = "\nfirst action · whole answer · tokens in/cached/out"
_FIGURES = (("first\naction", 8), ("whole\nanswer", 8), ("tokens in,\ncached, out", 14))


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which ticks."""

    last: int
    since: datetime | None
    containing: str | None


def replay(  # noqa: PLR0913, PLR0917 - the options of a command
    llm: Llm = None,
    last: Last = LAST,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only from then on, as 2026-11-01T15:30.")
    ] = None,
    containing: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only ticks that hold this text.")
    ] = None,
    config: Config = None,
    robot: Robot = None,
    file: File = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw how fast both are.")
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            metavar="IN,OUT[,CACHED]", help="Dollars for a million tokens read and written."
        ),
    ] = None,
    price_before: Annotated[
        str | None,
        typer.Option(
            metavar="IN,OUT[,CACHED]", help="The same of the recorded brain, if it is another."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask another brain what a robot was asked before, and compare what each does.

    Each recorded tick is asked once more, with all that the model was told then.
    Nothing is acted on, nothing is remembered, and the robot's rules are not applied.
    The brain is that of --llm, else that of --config, else the one on board.
    """
    report = Report(as_json=as_json)
    with failures(report):
        if plot is not None:
            check_plot(plot)
        now = None if price is None else Price.parse(price)
        before = now if price_before is None else Price.parse(price_before)
        brain = _brain(config, llm)
        choice = _Choice(last, None if since is None else read_date(since, "--since"), containing)
        with opened(config, robot, file, report) as store:
            recorded = _recorded(store, choice, report)
        pairs: list[Pair] = []
        try:
            finish(_replay(recorded, brain, report, pairs))
        finally:  # also where Ctrl-C has ended it: what was answered may have cost money
            if pairs:
                whole = Comparison.of(pairs, price_before=before, price=now)
                _end(whole, report)
                if plot is not None:
                    _draw(pairs, whole, plot, report)
    if all(has_failed(pair.now) for pair in pairs):
        raise typer.Exit(WORLD_FAILED)


async def _replay(
    recorded: Sequence[Recorded], brain: LLMConfig, report: Report, pairs: list[Pair]
) -> None:
    """Append each pair as soon as it is there, so that what has been answered is never lost."""

    def make(vocabulary: Vocabulary) -> LLM[Any]:
        return load_llm(brain, actions=vocabulary)

    report.aside(f"asking {brain.type} {brain.model or ''}".rstrip() + f": {len(recorded)} ticks")
    async with aclosing(play(recorded, make)) as answered:
        async for pair in answered:
            if report.as_json:
                report.data(pair.to_dict())
            else:
                report.table(_rows(pair, pairs[-1] if pairs else None))
            pairs.append(pair)


def _recorded(store: Store, choice: _Choice, report: Report) -> list[Recorded]:
    more = choice.last + 1  # tells whether there are any
    ticks = store.ticks(last=more, since=choice.since, containing=choice.containing)
    if not ticks:
        if choice.since is not None or choice.containing is not None:
            raise ConfigError(f"the memory {store.path} has no tick that fits; ask for others")
        raise ConfigError(
            f"the memory {store.path} has no tick yet; it is filled by: reflexarc run"
        )
    if len(ticks) > choice.last:
        report.aside(f"only the last {choice.last} ticks; --last N takes more")
    return [
        Recorded(tick, Vocabulary.from_actions(store.actions_of(tick.id)))
        for tick in ticks[-choice.last :]
        if tick.id is not None
    ]


def _end(whole: Comparison, report: Report) -> None:
    if report.as_json:
        report.data(whole.to_dict())
        return
    report.say("")
    report.table(_summary(whole))
    report.plain(_verdict(whole))


def _draw(pairs: Sequence[Pair], whole: Comparison, path: Path, report: Report) -> None:
    from reflexarc.replay.plot import draw

    try:
        draw(pairs, (whole.before.name, whole.now.name), path)
    except OSError as error:
        raise ConfigError(f"--plot cannot write {path}: {error.strerror}") from error
    report.aside(f"drawn: {path}")


def _brain(config: Path | None, llm: str | None) -> LLMConfig:
    if config is not None:
        return RobotConfig.load(config, llm=llm).cortex_llm
    if llm is not None:
        return parse_llm(llm, os.environ, name="--llm")
    return LLMConfig(type="OnboardLLM")


def _rows(pair: Pair, last: Pair | None) -> Table:
    """One tick: what was sensed, and each brain's account below; all ticks have the same widths.

    A brain is named where it is another than in the last one.
    """
    is_wide = Console().width >= _WIDE
    table = Table(
        box=None,
        expand=True,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_header=last is None,
        header_style="dim",
    )
    table.add_column("tick", width=_NUMBER_WIDTH, overflow="fold")
    text = "sensed, and what was done" + ("" if is_wide else _FIGURES_BELOW)
    table.add_column(text, ratio=1, overflow="fold")
    for head, width in _FIGURES if is_wide else ():
        table.add_column(head, width=width, justify="right")
    sensed, verdict = shown(pair.before.prompt.situation.strip()), _VERDICTS[pair.same]
    rows = [(f"[bold]{pair.before.id}[/]", f"[bold]{sensed}[/]", ("", "", verdict))]
    for name, tick, former in (
        ("before", pair.before, last and last.before),
        ("now", pair.now, last and last.now),
    ):
        who = asked(tick)
        is_known = former is not None and who == asked(former)
        named = "" if is_known or not any(who) else f"[dim]{shown(' '.join(who).strip())}[/]\n"
        figures = (_seconds(tick.first_action_s), _seconds(tick.total_s), _tokens(tick.usage))
        rows.append((name, f"{named}{_deeds(tick, pair.vocabulary)}", figures))
    for name, text, figures in rows:
        if is_wide:
            table.add_row(name, text, *figures)
        else:
            table.add_row(name, f"{text}\n[dim]{' · '.join(filter(None, figures))}[/]")
    return table


def _deeds(tick: Tick, vocabulary: Vocabulary) -> str:
    told: list[str] = []
    for deed in tick.deeds:
        line = " ".join(f"{deed.type} {deed.value}".split())
        name = shown(line if len(line) <= _LONGEST_DEED else f"{line[: _LONGEST_DEED - 1]}…")
        outcome = "illegal" if is_illegal(deed, vocabulary) else deed.outcome
        told.append(name if outcome == "done" else f"[yellow]{outcome}:[/] {name}")
    if tick.error_kind:
        told.append(f"[red]{tick.error_kind}[/]: {shown(tick.error)}")
    elif tick.reason:
        told.append(f"[red]idle[/]: {shown(tick.reason)}")
    return ", ".join(told) or "nothing"


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "-"
    return f"{usage.prompt_tokens}/{usage.cached_tokens}/{usage.completion_tokens}"


def _summary(whole: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("before", justify="right", overflow="fold")
    table.add_column("now", justify="right", overflow="fold")
    rows: list[tuple[str, Callable[[Account], str]]] = [
        ("brain", lambda side: shown(side.name)),
        ("first action, p50", lambda side: _seconds(percentiles(side.first_action_s)["p50"])),
        ("first action, p95", lambda side: _seconds(percentiles(side.first_action_s)["p95"])),
        ("whole answer, p50", lambda side: _seconds(percentiles(side.total_s)["p50"])),
        ("whole answer, p95", lambda side: _seconds(percentiles(side.total_s)["p95"])),
        ("failed", lambda side: str(side.failed)),
        ("illegal actions", lambda side: str(side.illegal)),
        ("tokens in", lambda side: _counted(side, side.usage.prompt_tokens)),
        ("cached of them", lambda side: _counted(side, side.usage.cached_tokens)),
        ("tokens out", lambda side: _counted(side, side.usage.completion_tokens)),
    ]
    if whole.before.ruled_out:
        rows.insert(7, ("refused by a rule", lambda side: str(side.ruled_out)))
    if any(0 < side.counted < whole.ticks for side in (whole.before, whole.now)):
        rows.append(("ticks with counts", lambda side: str(side.counted)))
    if any(side.cost is not None for side in (whole.before, whole.now)):
        rows.append(("cost", lambda side: "-" if side.cost is None else f"${side.cost:.6f}"))
    for name, cell in rows:
        table.add_row(name, cell(whole.before), cell(whole.now))
    return table


def _counted(side: Account, tokens: int) -> str:
    return str(tokens) if side.counted else "-"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def _verdict(whole: Comparison) -> str:
    left = whole.ticks - whole.compared
    told = f"the same in {whole.same} of {whole.compared} ticks, speech aside"
    return f"{told}; {left} not compared, since one of the two failed" if left else told
