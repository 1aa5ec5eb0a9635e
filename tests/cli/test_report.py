"""What people and programs are shown, event by event."""

from __future__ import annotations

import json

import pytest

from reflexarc.attempts import Attempt, AttemptFailed
from reflexarc.cli.report import Report, duration
from reflexarc.errors import ConfigError, ReflexarcError, ServerError
from reflexarc.runtime.events import Failed, TickEvent, TickStarted
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Finished,
    TextDelta,
    Usage,
)

SIT = Action(type="move", value="sit")
NOTHING = CortexOutputModel(actions=[])

EVENTS: list[tuple[TickEvent, str, str]] = [
    (
        AttemptFailed(Attempt("LlamaLLM", "m", "server", 0.5, "it is [down]"), "LlamaLLM", 0.5),
        "attempt",
        "  server  LlamaLLM: it is [down]; LlamaLLM is asked again  500 ms\n",
    ),
    (
        AttemptFailed(Attempt("LlamaLLM", "m", "timeout", 2.0, "it is late"), "idle", 2.9),
        "attempt",
        "  timeout  LlamaLLM: it is late; the robot idles  2.90 s\n",
    ),
    (
        Finished(NOTHING, "idle", "", 2.9, 2.9, None, (), "timeout: late"),
        "done",
        "  no brain has answered · all 2.90 s\n",
    ),
    (TickStarted(1, "sit!"), "sensed", "sit!\n"),
    (ActionReady(SIT, 0, 0.126), "action", "  move     sit  126 ms\n"),
    (ActionRefused("move", "fly", "it has no wings", 1), "refused", "  refused  it has no wings\n"),
    (
        Finished(NOTHING, "LlamaLLM", "m", None, 2.0, None),
        "done",
        "  no action · all 2.00 s · LlamaLLM m\n",
    ),
    (
        Finished(NOTHING, "B", "m", None, 2.0, None, (Attempt("A", "", "overtaken", 1.0),)),
        "done",
        "  no action · all 2.00 s · B m, overtaking A\n",
    ),
    (Failed(ServerError("it is down")), "error", "  server: it is down\n"),
    (Failed(OSError("unplugged"), "input"), "error", "  input failed: unplugged\n"),
]


@pytest.mark.parametrize(
    ("event", "name", "sentence"), EVENTS, ids=[f"{at}-{each[1]}" for at, each in enumerate(EVENTS)]
)
def test_each_event_is_shown(
    event: TickEvent, name: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event is one line of JSON for a program, or one sentence for a person."""
    Report(as_json=True).event(event)
    shown = capsys.readouterr()
    assert json.loads(shown.out)["event"] == name
    assert (shown.out.count("\n"), shown.err) == (1, "")
    Report(as_json=False).event(event)
    assert capsys.readouterr() == (sentence, "")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "<1 ms"), (0.0134, "13 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (61.5, "61.50 s")],
)
def test_what_is_quick_is_told_in_milliseconds(seconds: float, told: str) -> None:
    """No time is 0.00 s, and none is 1000 ms."""
    assert duration(seconds) == told


@pytest.mark.parametrize("event", [TextDelta("{"), Usage(1, 2)])
def test_pieces_are_not_shown(event: TickEvent, capsys: pytest.CaptureFixture[str]) -> None:
    """Pieces of the answer and token counts are not lines of their own."""
    for as_json in (True, False):
        Report(as_json=as_json).event(event)
    assert capsys.readouterr() == ("", "")


def failed_call() -> ServerError:
    """A failure with its record."""
    error = ServerError("it is down", status=503)
    error.attempts = (Attempt("LlamaLLM", "m", "server", 0.5),)
    return error


def test_a_failed_call_looks_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads one shape of error, whether the command goes on or ends with it."""
    report = Report(as_json=True)
    report.event(Failed(failed_call()))
    report.error(failed_call())
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert first == {
        "event": "error", "kind": "server", "message": "it is down", "status": 503,
        "retryable": True,
        "attempts": [{"provider": "LlamaLLM", "model": "m", "outcome": "server", "elapsed_s": 0.5}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"), [(failed_call(), "server"), (ConfigError("no such file"), "config")]
)
def test_people_read_errors_on_stderr(
    error: ReflexarcError, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence is on standard error, beside the JSON line where one is asked for."""
    for as_json in (True, False):
        Report(as_json=as_json).error(error)
        shown = capsys.readouterr()
        assert shown.err == f"{kind}: {error.message}\n"
        assert bool(shown.out) == as_json


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a [red]b[/] [link=x]c[/link]", "a [red]b[/] [link=x]c[/link]"),
        (":dog: :warning:", ":dog: :warning:"),
        ("a\x1b[2Jb\x07\rc\x9b31m\td", "a�[2Jb��c�31m�d"),
        ("two\nlines", "two\nlines"),
        ("été 🐕", "été 🐕"),
        ("word " * 60, "word " * 60),
    ],
    ids=["markup", "emoji names", "control codes", "line break", "unicode", "long"],
)
def test_what_others_wrote_is_shown_as_it_is(
    said: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No text of a model, server or person changes how the terminal looks."""
    report = Report(as_json=False)
    report.plain(said)
    assert capsys.readouterr().out == f"{shown}\n"
    report.event(ActionReady(Action(type="speak", value=said), 0, 1.0))
    held = shown.replace("\n", "\n| ")  # so that no line of it passes for another action
    assert capsys.readouterr().out == f"  speak    {held}  1.00 s\n"
    report.error(ConfigError(said))
    assert capsys.readouterr().err == f"config: {shown}\n"
