"""``reflexarc memory``: look at what a robot remembers, take it elsewhere, or have it forgotten."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Annotated, Any

import typer

from reflexarc.cli import completion
from reflexarc.cli.outcome import WORLD_FAILED, failures
from reflexarc.cli.report import AsJson, Report, duration, first_action, passage, shown
from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.memory import Deed, Store, Tick
from reflexarc.memory.place import default_folder, default_memory, memory_of, newest_memory

LAST = 20
"""Ticks that are shown where nobody says how many."""

MOST = 2**62
"""The largest number that a tick can have, and then some."""


def _countable(number: int | None) -> int | None:
    """No more than the memory's file can hold, which is all there is."""
    return None if number is None else min(number, MOST)


memory = typer.Typer(no_args_is_help=True, help="What a robot remembers.")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Of the robot in this file.",
        autocompletion=completion.robot,
    ),
]
Robot = Annotated[
    str | None, typer.Option("--robot", metavar="NAME", help="Of the robot so named.")
]
File = Annotated[Path | None, typer.Option("--file", metavar="PATH", help="The memory itself.")]
Last = Annotated[
    int,
    typer.Option("--last", metavar="N", min=1, callback=_countable, help="So many, the newest."),
]

_AGE = re.compile(r"(\d+(?:\.\d+)?) ?([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@memory.command()
def show(
    last: Last = LAST,
    before: Annotated[
        int | None,
        typer.Option(
            "--before", metavar="ID", callback=_countable, help="Only ticks before this one."
        ),
    ] = None,
    config: Config = None,
    robot: Robot = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest ticks, oldest first."""
    report = Report(as_json=as_json)
    with failures(report), opened(config, robot, file, report) as store:
        past = store.past(0)
        if past.summary and not as_json:
            report.say(f"[dim]Noted of the ticks up to #{past.until}:[/] {shown(past.summary)}")
        _show(store.ticks(last=last, before=before), report)


@memory.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for; letter case does not count.")],
    last: Last = LAST,
    config: Config = None,
    robot: Robot = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show the ticks that hold a text, in what was sensed, answered, done or failed."""
    report = Report(as_json=as_json)
    with failures(report), opened(config, robot, file, report) as store:
        found = store.ticks(last=last, containing=text)
        _show(found, report)
        if not found:
            report.aside("no tick holds it")
        elif len(found) == last:
            report.aside(f"these are the newest {last}; --last N shows more")


@memory.command()
def forget(  # noqa: PLR0913 - one for each option
    *,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="DATE", help="What was before, as 2026-11-01."),
    ] = None,
    older: Annotated[
        str | None, typer.Option("--older", metavar="AGE", help="What is older, as 30d, 12h, 2w.")
    ] = None,
    containing: Annotated[
        str | None, typer.Option("--containing", metavar="TEXT", help="What holds this text.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
    robot: Robot = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Delete ticks, and what else tells of them, from the disk as well."""
    report = Report(as_json=as_json)
    with failures(report):
        moment = _moment(before, older)
        _check_choice(moment, containing, everything=everything)
        path = _path(config, robot, file, report)
        if not yes:
            _confirm(path, moment, containing)
        with Store(path) as store:
            count = store.forget(before=moment, containing=containing, everything=everything)
        if as_json:
            report.data({"event": "forgotten", "ticks": count, "path": str(path)})
        report.plain(f"Forgotten: {_ticks(count)} of {path}, and what else told of them.")
        report.aside("a robot that runs still has its last ticks in mind; start it again")


@memory.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; - is the output.")],
    config: Config = None,
    robot: Robot = None,
    file: File = None,
) -> None:
    """Write every tick as one JSON object a line."""
    report = Report(as_json=str(target) == "-")
    with failures(report), opened(config, robot, file, report) as store:
        count = _write(store, sys.stdout) if report.as_json else _export(store, target)
        report.aside(f"exported: {_ticks(count)}")


def opened(config: Path | None, robot: str | None, file: Path | None, report: Report) -> Store:
    """The memory that is meant, to be looked at; which one is told where nobody has named it.

    Parameters
    ----------
    config : Path or None
        A robot's file.
    robot : str or None
        A robot's name.
    file : Path or None
        The memory itself.
    report : Report
        Where it is told.

    Returns
    -------
    Store

    Raises
    ------
    ConfigError
        If several are given, or it is not there.
    StorageError
        If it cannot be read.
    """
    return Store(_path(config, robot, file, report), readonly=True)


def _path(config: Path | None, robot: str | None, file: Path | None, report: Report) -> Path:
    """The memory that is meant; which one is told where nobody has named it."""
    named = [each for each in (config, robot, file) if each is not None]
    if len(named) > 1:
        raise ConfigError("name the memory by one of --config, --robot and --file")
    if file is not None:
        path = file
    elif robot is not None:
        path = default_memory(os.environ, robot)
    elif config is not None:
        # Which brain it has does not matter, and that one's key may not be here.
        whose = RobotConfig.load(config, llm='{type: "OnboardLLM"}')
        found = memory_of(whose, os.environ)
        if found is None:
            raise ConfigError(f"{whose.name} keeps no memory: its file says memory: false")
        path = found
    else:
        path = newest_memory(os.environ)
        if path is None:
            raise ConfigError(
                f"there is no memory in {default_folder(os.environ)} yet; a robot that runs "
                "makes one. Name another by --file PATH"
            )
        report.aside(f"the memory used last: {path}")
    if not path.is_file():
        raise ConfigError(f"there is no memory {path} yet; a robot that runs makes one")
    return path


def _moment(before: str | None, older: str | None) -> datetime | None:
    if before is not None and older is not None:
        raise ConfigError("say --before DATE or --older AGE, not both")
    if before is not None:
        return read_date(before, "--before")
    if older is None:
        return None
    match = _AGE.fullmatch(older.strip())
    if match is None:
        raise ConfigError(f"--older is an age as 90m, 12h, 30d or 2w, not '{older}'")
    with suppress(OverflowError):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: float(match[1])})
    raise ConfigError(f"--older {older} is before there were dates")


def read_date(text: str, option: str) -> datetime:
    """Read a date as it is typed.

    Parameters
    ----------
    text : str
        Such as ``"2026-11-01"``; without a zone it is local time.
    option : str
        What it is called in messages.

    Returns
    -------
    datetime
        With its zone.

    Raises
    ------
    ConfigError
        If it is no date.
    """
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option} is a date as 2026-11-01 or 2026-11-01T15:30, not '{text}'"
        ) from None


def _check_choice(moment: datetime | None, containing: str | None, *, everything: bool) -> None:
    has_some = moment is not None or containing is not None
    if has_some and everything:
        raise ConfigError("--all is everything; leave out the other, or --all")
    if not (has_some or everything):
        raise ConfigError(
            "say what to forget: --before DATE, --older AGE, --containing TEXT or --all"
        )
    if containing is not None and not containing.strip():
        raise ConfigError("--containing needs a text; --all forgets everything")


def _confirm(path: Path, moment: datetime | None, containing: str | None) -> None:
    if sys.stdin is None or not sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison] - under `<&-`
        raise ConfigError("nobody is here to be asked; add --yes to forget")
    with Store(path, readonly=True) as store:
        count = len(store.find(before=moment, containing=containing))
    if not typer.confirm(f"Forget {_ticks(count)} of {path}, for good?", err=True):
        raise typer.Exit(WORLD_FAILED)


def _show(ticks: Iterable[Tick], report: Report) -> None:
    for tick in ticks:
        if report.as_json:
            report.data({"event": "tick", **tick.to_dict()})
        else:
            report.say(_sentences(tick))


def _sentences(tick: Tick) -> str:
    at = tick.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    lines = [f"[dim]#{tick.id}  {at}[/]  [bold]{passage(tick.prompt.situation)}[/]"]
    lines += [f"  [dim]too late for: {passage(text)}[/]" for text in tick.missed]
    lines += map(_deed, tick.deeds)
    if tick.error_kind:
        lines.append(f"  [red]{tick.error_kind}[/]: {shown(tick.error)}")
    if tick.reason:
        lines.append(f"  [yellow]idle[/]     {shown(tick.reason)}")
    who = shown(f"{tick.provider} {tick.model}".strip() or "nobody")
    lines.append(
        f"  [dim]{first_action(tick.first_action_s)} · all {duration(tick.total_s)} · {who}[/]"
    )
    return "\n".join(lines)


def _deed(deed: Deed) -> str:
    name = f"[green]{shown(f'{deed.type:<8}')}[/] {passage(deed.value)}"
    if deed.outcome == "done":
        return f"  {name}  [dim]{duration(deed.at_s)}[/]"
    return f"  [yellow]{deed.outcome}[/]  {name}: {passage(deed.reason)}"


def _export(store: Store, target: Path) -> int:
    if target.exists() and not target.is_file():
        raise ConfigError(f"{target} is no file; name one, or - for the output")
    try:
        # Beside it and renamed: whoever reads it finds all of it or none.
        with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as new:
            try:
                count = _write(store, new)
                new.flush()
                os.fsync(new.fileno())
                Path(new.name).replace(target)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    return count


def _write(store: Store, stream: IO[str]) -> int:
    count = 0
    for tick in store:
        stream.write(json.dumps(_whole(tick), ensure_ascii=False) + "\n")
        count += 1
    stream.flush()
    return count


def _whole(tick: Tick) -> dict[str, Any]:
    examples = [each.model_dump(mode="json") for each in tick.prompt.examples]
    return {**tick.to_dict(), "system": tick.prompt.system, "examples": examples}


def _ticks(count: int) -> str:
    return "1 tick" if count == 1 else f"{count} ticks"
