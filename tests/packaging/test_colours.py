"""Escape sequences: on a terminal that wants them, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from reflexarc.cli.app import app
from reflexarc.cli.report import Report

ROOT = Path(__file__).parents[2]
ESCAPE = "\x1b"
MAIN = "from reflexarc.cli import main; main()"
SAID = "from reflexarc.cli.report import Report; Report(as_json=False).say('[bold red]no[/]')"
DECIDES = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "GITHUB_ACTIONS", "PY_COLORS")


def environ(**given: str) -> dict[str, str]:
    """An environment in which nothing but this speaks of colours."""
    kept = {name: value for name, value in os.environ.items() if name not in DECIDES}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color", **given}


def on_terminal(program: str, *arguments: str, **given: str) -> str:
    """What a person sees on a terminal."""
    here, there = pty.openpty()
    command = [sys.executable, "-c", program, *arguments]
    with os.fdopen(here, "rb", buffering=0) as terminal:
        streams = {"stdin": there, "stdout": there, "stderr": there}
        subprocess.run(command, env=environ(**given), check=False, **streams)
        os.close(there)
        told = b""
        try:
            while piece := terminal.read(65536):
                told += piece
        except OSError:  # Linux says so that nobody writes any more
            pass
    return told.decode()


def piped(program: str, *arguments: str, **given: str) -> str:
    """What another program reads."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, env=environ(**given), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def commands() -> list[tuple[str, ...]]:
    """Every command, by its words."""

    def below(command: object, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(command, "commands", {})
        return [words, *(each for name in inner for each in below(inner[name], (*words, name)))]

    return below(get_command(app), ())


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_in_a_pipe_is_plain(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command's help has no escape sequence where nobody's terminal reads it."""
    for name in DECIDES:
        monkeypatch.delenv(name, raising=False)
    told = CliRunner().invoke(app, [*words, "--help"])
    assert told.exit_code == 0
    assert "Usage: " in told.output
    assert ESCAPE not in told.output


@pytest.mark.parametrize("program", [MAIN, SAID], ids=["help", "run"])
def test_a_terminal_has_colours_unless_told_otherwise(program: str) -> None:
    """NO_COLOR and TERM=dumb turn off bold and dim as well; empty, NO_COLOR says nothing."""
    arguments = ["--help"] if program is MAIN else []
    assert ESCAPE in on_terminal(program, *arguments, NO_COLOR="")
    assert ESCAPE not in on_terminal(program, *arguments, NO_COLOR="1")
    assert ESCAPE not in on_terminal(program, *arguments, TERM="dumb")


def test_a_pipe_has_colours_where_they_are_forced() -> None:
    """FORCE_COLOR is for logs that show them; NO_COLOR is stronger."""
    assert ESCAPE not in piped(SAID)
    assert ESCAPE in piped(SAID, FORCE_COLOR="1")
    assert ESCAPE not in piped(SAID, FORCE_COLOR="1", NO_COLOR="1")


def test_a_mistake_in_a_pipe_is_plain() -> None:
    """What typer says of a wrong option, and what we say of a wrong file."""
    for arguments in (["run", "--nope"], ["run", "no-such-file.json5"]):
        told = piped(MAIN, *arguments)
        assert told
        assert ESCAPE not in told


def test_json_is_never_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is forced, a program reads JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        Report(as_json=True).data({"event": "done"})
    assert capsys.readouterr().out == '{"event": "done"}\n'
