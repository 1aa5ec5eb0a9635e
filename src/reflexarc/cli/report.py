"""How events are shown: to a person, or to a program as one JSON object a line."""

from __future__ import annotations

import json
import os
import re
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reflexarc.attempts import AttemptFailed
from reflexarc.errors import LLMError, ReflexarcError
from reflexarc.resilience.deadline import IDLE
from reflexarc.runtime.events import (
    Failed,
    Remembered,
    TickEnded,
    TickEvent,
    TickStarted,
)
from reflexarc.types import ActionReady, ActionRefused, Finished, TextDelta, Usage

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]

# Also what has a terminal write from right to left: it shows other words than are there.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Report:
    """Writes what happens, as it happens.

    Parameters
    ----------
    as_json : bool
        JSON lines on standard output and people's text on standard error; if not, all of it for
        people on standard output.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # JSON is UTF-8, whatever the locale
                stream.reconfigure(encoding="utf-8" if as_json else None, errors="replace")
        self._console = _console(to_stderr=as_json)

    def say(self, text: str) -> None:
        """Tell a person something.

        Parameters
        ----------
        text : str
            Rich markup is understood.
        """
        self._console.print(text)

    def aside(self, text: str) -> None:
        """Tell a person something that is not part of what was asked for.

        Parameters
        ----------
        text : str
            Goes to standard error, dimmed.
        """
        _console(to_stderr=True).print(f"[dim]{shown(text)}[/]")

    def plain(self, text: str) -> None:
        """Tell a person something that is no markup.

        Parameters
        ----------
        text : str
            Written as it is.
        """
        self.say(shown(text))

    def table(self, table: Table) -> None:
        """Show a person a table, as narrow as the terminal is.

        Parameters
        ----------
        table : Table
            Rich markup is understood in its cells.
        """
        self._console.print(table, soft_wrap=False)

    def data(self, value: dict[str, Any]) -> None:
        """Write one JSON object to standard output, at once.

        Parameters
        ----------
        value : dict
            Plain data.
        """
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def event(self, event: TickEvent) -> None:
        """Show an event.

        Parameters
        ----------
        event : TickEvent
            Pieces of text, token counts and that a tick is over are not shown.
        """
        if isinstance(event, TextDelta | Usage | TickEnded | Remembered):
            return
        if self.as_json:
            self.data(event.to_dict())
        else:
            self.say(_sentence(event))

    def error(self, error: ReflexarcError) -> None:
        """Show why a command failed.

        Parameters
        ----------
        error : ReflexarcError
            Its message says what to do.
        """
        if self.as_json:
            self.event(Failed(error))
        _console(to_stderr=True).print(f"[red]{error.kind}[/]: {shown(error.message)}")


def _console(*, to_stderr: bool) -> Console:
    plain = bool(os.environ.get("NO_COLOR"))  # rich alone drops the colours, not bold and dim
    return Console(
        stderr=to_stderr,
        color_system=None if plain else "auto",
        highlight=False,
        soft_wrap=True,
        emoji=False,
    )


def shown(text: str) -> str:
    """Text that others wrote, without markup, and without codes that would move the cursor.

    Parameters
    ----------
    text : str
        Any.

    Returns
    -------
    str
        For `Report.say`, or a cell of a table.
    """
    return escape(_CONTROL.sub("�", text))


def duration(seconds: float) -> str:
    """A time as people read it: what is quick in milliseconds, so that none is 0.00 s.

    Parameters
    ----------
    seconds : float
        At least 0.

    Returns
    -------
    str
        ``"13 ms"``, ``"1.22 s"``.
    """
    if seconds < 0.001:
        return "<1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


def first_action(seconds: float | None) -> str:
    """When the first action came.

    Parameters
    ----------
    seconds : float or None
        After the question; None where none came.

    Returns
    -------
    str
    """
    return "no action" if seconds is None else f"first action {duration(seconds)}"


def passage(text: str) -> str:
    """The same among lines of ours, for which none of its own can be taken.

    Parameters
    ----------
    text : str
        Any.

    Returns
    -------
    str
        Each line after the first begins with ``| ``.
    """
    return shown(text).replace("\n", "\n| ")


def _sentence(
    event: TickStarted | ActionReady | ActionRefused | AttemptFailed | Finished | Failed,
) -> str:
    match event:
        case TickStarted():
            missed = "".join(f"[dim]too late for: {passage(text)}[/]\n" for text in event.missed)
            return f"{missed}[bold]{passage(event.text)}[/]"
        case ActionReady(action=action):
            name = passage(action.type)
            return f"  [green]{name:<8}[/] {passage(action.value)}  [dim]{duration(event.at_s)}[/]"
        case ActionRefused():
            return f"  [yellow]refused[/]  {passage(event.reason)}"
        case AttemptFailed(attempt=attempt, next=asked):
            again = " again" if asked == attempt.provider else ""
            then = "the robot idles" if asked == IDLE else f"{asked} is asked{again}"
            return (
                f"  [yellow]{attempt.outcome}[/]  {attempt.provider}: {passage(attempt.message)}; "
                f"[bold]{then}[/]  [dim]{duration(event.at_s)}[/]"
            )
        case Finished(reason=reason) if reason:
            return f"  [dim]no brain has answered · all {duration(event.total_s)}[/]"
        case Finished(attempts=attempts):
            late = [each.provider for each in attempts if each.outcome == "overtaken"]
            overtaken = f", overtaking {', '.join(late)}" if late else ""
            return (
                f"  [dim]{first_action(event.first_action_s)} · all {duration(event.total_s)} · "
                f"{event.provider} {passage(event.model)}{overtaken}[/]"
            )
        case Failed(error=LLMError() as error):
            return f"  [red]{error.kind}[/]: {shown(error.message)}"
        case Failed():
            return f"  [red]{event.where} failed[/]: {shown(str(event.error))}"
