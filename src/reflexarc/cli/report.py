"""How events are shown: to a person, or to a program as one JSON object a line."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

from reflexarc.errors import LLMError, ReflexarcError
from reflexarc.runtime.loop import Failed, TickEvent, TickStarted
from reflexarc.types import ActionReady, ActionRefused, Finished, TextDelta, Usage


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
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Tell a person something.

        Parameters
        ----------
        text : str
            Rich markup is understood.
        """
        self._console.print(text)

    def plain(self, text: str) -> None:
        """Tell a person something that is no markup.

        Parameters
        ----------
        text : str
            Written as it is.
        """
        self.say(escape(text))

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
            Pieces of text and token counts are not shown one by one.
        """
        if isinstance(event, TextDelta | Usage):
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
            self.data({"event": "error", **error.to_dict()})
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"[red]{error.kind}[/]: {escape(error.message)}"
        )


def _sentence(event: TickStarted | ActionReady | ActionRefused | Finished | Failed) -> str:
    match event:
        case TickStarted():
            return f"[bold]{escape(event.text)}[/]"
        case ActionReady(action=action):
            name = f"{action.type:<8}"
            return f"  [green]{name}[/] {escape(action.value)}  [dim]{event.at_s:.2f} s[/]"
        case ActionRefused():
            return f"  [yellow]refused[/]  {escape(event.reason)}"
        case Finished():
            first = "no action" if event.first_action_s is None else f"{event.first_action_s:.2f} s"
            return (
                f"  [dim]first action {first} · all {event.total_s:.2f} s · "
                f"{event.provider} {escape(event.model)}[/]"
            )
        case Failed(error=LLMError() as error):
            return f"  [red]{error.kind}[/]: {escape(error.message)}"
        case Failed():
            return f"  [red]{event.where} failed[/]: {escape(str(event.error))}"
