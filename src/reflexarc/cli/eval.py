"""``reflexarc eval``: how well a robot acts, beside what no brain at all would do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.table import Table

from reflexarc.cli import completion
from reflexarc.cli.brain import Llm, brain_of, vocabulary_of
from reflexarc.cli.outcome import failures, finish
from reflexarc.cli.picture import check_plot
from reflexarc.cli.report import AsJson, Report
from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError, LLMError
from reflexarc.eval.judges import Idle, Nearest
from reflexarc.eval.score import Result, Share, play, shares, summary
from reflexarc.eval.situations import Half, Situation, load_situations
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.vocabulary import Vocabulary

Results = dict[str, list[Result]]


def evaluate(
    situations: Annotated[
        Path, typer.Argument(metavar="SITUATIONS", help="One JSON object a line.")
    ],
    config: Annotated[
        list[Path],
        typer.Option(
            "--config",
            metavar="FILE",
            help="The robot; repeatable.",
            autocompletion=completion.robot,
        ),
    ],
    llm: Llm = None,
    half: Annotated[
        str | None,
        typer.Option(
            metavar="tune|held",
            help="Only one half of the situations.",
            autocompletion=completion.half,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the accuracies.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a robot's brain about situations, and tell how often it is right."""
    report = Report(as_json=as_json)
    with failures(report):
        if half not in (None, "tune", "held"):
            raise ConfigError(f"--half is tune or held, not '{half}'")
        if plot is not None:
            check_plot(plot)
        robots = [RobotConfig.load(each, llm=llm) for each in config]
        known = load_situations(situations)
        played = [_Played.of(robot, _for(robot, known, half)) for robot in robots]
        results = finish(_evaluate(played, report))
        brain = next(iter(results))
        _show(results, report)
        if plot is not None:
            from reflexarc.eval.plot import draw

            draw({name: shares(each) for name, each in results.items()}, plot)
            report.aside(f"drawn: {plot}")
        if as_json:
            baselines = {
                name: {"right": _whole(each).right, "of": len(each)}
                for name, each in results.items()
                if name != brain
            }
            report.data({**summary(results[brain]), "baselines": baselines})


def _for(robot: RobotConfig, situations: Sequence[Situation], half: Half | None) -> list[Situation]:
    found = [
        each
        for each in situations
        if each.robot in (None, robot.name) and half in (None, each.half)
    ]
    if not found:
        raise ConfigError(f"there is no situation for the robot '{robot.name}'")
    return found


@dataclass(frozen=True, slots=True)
class _Played:
    """A robot, those that are compared, and what they are asked."""

    robot: RobotConfig
    vocabulary: Vocabulary
    baselines: tuple[LLM[Any], ...]
    situations: list[Situation]

    @classmethod
    def of(cls, robot: RobotConfig, situations: list[Situation]) -> Self:
        vocabulary = vocabulary_of(robot)
        nearest = Nearest(Prompt.for_robot(robot).examples)
        return cls(robot, vocabulary, (Idle(vocabulary), nearest), situations)


async def _evaluate(played: Sequence[_Played], report: Report) -> Results:
    results: Results = {}
    for each in played:
        prompt = Prompt.for_robot(each.robot)
        async with brain_of(each.robot) as brain:
            with suppress(LLMError):  # the first question will meet the same
                await brain.warm(prompt)
            for llm in (brain, *each.baselines):
                kept = results.setdefault(llm.name, [])
                async for result in play(llm, prompt, each.vocabulary, each.situations):
                    kept.append(result)
                    if llm is brain:
                        _tell(result, report)
    return results


def _tell(result: Result, report: Report) -> None:
    if report.as_json:
        report.data(result.to_dict())
    elif result.mistake:
        done = ", ".join(f"{each.type} {each.value}" for each in result.actions) or "nothing"
        report.plain(
            f"{result.situation.id}: {result.situation.text}\n    {done}: {result.mistake}"
        )


def _show(results: Results, report: Report) -> None:
    if report.as_json:
        return
    brain = next(iter(results))
    table = Table(box=None, header_style="bold")
    table.add_column("category", no_wrap=True)
    for name in results:
        table.add_column(name, justify="right", no_wrap=True)
    by_name = {name: shares(each) for name, each in results.items()}
    for category in by_name[brain]:
        table.add_row(category, *(_cell(each[category]) for each in by_name.values()))
    table.add_row("all", *(_cell(_whole(each)) for each in results.values()), style="bold")
    report.table(table)
    figures = summary(results[brain])
    first, total = figures["first_action_s"], figures["total_s"]
    report.plain(
        f"first action p50 {_seconds(first['p50'])}, p95 {_seconds(first['p95'])}; "
        f"whole answer p50 {_seconds(total['p50'])}, p95 {_seconds(total['p95'])}; "
        f"illegal actions {figures['illegal']}"
    )


def _whole(results: Sequence[Result]) -> Share:
    return Share(sum(not result.mistake for result in results), len(results))


def _cell(share: Share) -> str:
    low, high = (f"{100 * each:.0f}" for each in share.interval)
    return f"{share.right}/{share.of} {100 * share.accuracy:3.0f} % ({low}-{high})"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
