"""The command that tells what works here, what is missing, and what mends it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from reflexarc.cli import completion
from reflexarc.cli.brain import Llm, vocabulary_of
from reflexarc.cli.outcome import WORLD_FAILED, failures, finish
from reflexarc.cli.report import AsJson, Report, shown
from reflexarc.config import RobotConfig
from reflexarc.doctor import QUESTION, Answer, Brain, ask, label, line_up, verdict
from reflexarc.errors import ConfigError
from reflexarc.machine import Check, State, examine
from reflexarc.prompt import Prompt

_COLOURS: Mapping[State, str] = {"ok": "green", "missing": "yellow", "wrong": "red"}
_LONGEST_ACTION = 40
_WIDEST_BRAIN = 21  # "smollm2-135m-instruct"; longer names are folded


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Ask the brains of this robot instead.",
            autocompletion=completion.robot,
        ),
    ] = None,
    llm: Llm = None,
    as_json: AsJson = False,
) -> None:
    """Say what works here, what is missing, and the command that mends it.

    Without --config it looks at this machine. The exit code is 1 only where
    something is wrong that nothing works without: extras, the model on board
    and keys that are missing are told, but few robots need all of them.

    With --config it asks each brain of the robot for one action, one after the
    other. The exit code is 0 if all of them answer, 1 if one does not, and 2 if
    the file is wrong.
    """
    report = Report(as_json=as_json)
    with failures(report):
        if config is not None:
            is_well = _ask_brains(config, llm, report)
        elif llm is not None:
            raise ConfigError("--llm is asked as the brain of a robot; add --config FILE")
        else:
            is_well = _look_around(report)
    if not is_well:
        raise typer.Exit(WORLD_FAILED)


def _look_around(report: Report) -> bool:
    lacks: list[Check] = []
    for check in examine(os.environ):
        if check.state != "ok":
            lacks.append(check)
        if report.as_json:
            report.data(check.to_dict())
            continue
        state = f"[{_COLOURS[check.state]}]{check.state:<8}[/]"
        report.say(f"{state} {shown(f'{check.name:<19} {check.message}')}")
        if check.remedy:
            report.say(f"{'':<28} {shown(check.remedy)}")
    is_well = not any(check.is_needed for check in lacks)
    if not is_well:
        report.plain("Something that reflexarc needs is not right; what is indented mends it.")
    elif lacks:
        report.plain("Everything that reflexarc needs is here; the rest is for those who use it.")
    else:
        report.plain("Everything is here.")
    return is_well


def _ask_brains(file: Path, llm: str | None, report: Report) -> bool:
    robot = RobotConfig.load(file, llm=llm)
    brains = line_up(robot, vocabulary_of(robot), os.environ)
    answers = finish(_answers(brains, Prompt.for_robot(robot).at(QUESTION), report))
    if not report.as_json:
        report.table(_table(answers))
        for answer in answers:
            if answer.message is not None:
                name = f"{label(answer, answers)} ({answer.kind})"
                report.say(f"\n{shown(name)}: {shown(answer.message)}")
        report.say("")
    report.plain(verdict(answers))
    return all(answer.ok for answer in answers)


async def _answers(brains: Sequence[Brain], prompt: Prompt, report: Report) -> list[Answer]:
    answers: list[Answer] = []
    for brain in brains:
        if not report.as_json:
            report.aside(f"asking {brain.config.type} …")
        answers.append(await ask(brain, prompt))
        if report.as_json:
            report.data(answers[-1].to_dict())
    return answers


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    names = [name for each in answers for name in (each.provider, each.model or "")]
    width = min(_WIDEST_BRAIN, max(map(len, names)))
    table.add_column("brain", overflow="fold", min_width=width)
    table.add_column("server", overflow="fold")
    for head in ("ready\nafter", "first\naction", "whole\nanswer"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for each in answers:
        table.add_row(
            shown(each.provider) + (f"\n[dim]{shown(each.model)}[/]" if each.model else ""),
            shown(each.server or ""),
            *map(_seconds, (each.ready_s, each.first_action_s, each.total_s)),
            _outcome(each),
        )
    return table


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"


def _outcome(answer: Answer) -> str:
    action = answer.action
    told = ["no action"] if answer.ok and action is None else []
    if action is not None:
        line = " ".join(f"{action.type} {action.value}".split())
        cut = line if len(line) <= _LONGEST_ACTION else f"{line[: _LONGEST_ACTION - 1]}…"
        told.append(f"[green]{shown(cut)}[/]")
    if answer.kind is not None:
        told.append(f"[red]{answer.kind}[/]")
    return "\n".join(told)
