"""Command lines as the documentation has them: what there is to object to them."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

from reflexarc.cli.app import app
from reflexarc.config import parse_llm
from reflexarc.errors import ConfigError
from tests.docs.markdown import INDENTED, ROOT, Block

VERBS = frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FOLDERS = frozenset(path.name for path in ROOT.iterdir() if path.is_dir())
OURS = frozenset({"reflexarc", "make", "python"})
# Programs of others, whose arguments nobody here can check.
THEIRS = frozenset(
    {
        "apt",
        "apt-get",
        "cd",
        "cp",
        "curl",
        "docker",
        "export",
        "git",
        "llama-server",
        "lms",
        "ollama",
        "pip",
        "uv",
        "vllm",
    }
)
_USAGE_ERROR: Any = typer.BadParameter.__base__
ENDS = frozenset({"&&", "||", ";", "|", "&"})


def lines_of(block: Block) -> Iterator[str]:
    """The command lines of a block, each whole.

    With a ``$`` before some lines the others are output. An indented block without any is output
    if its first line is no command, as a program's output is shown so as well.
    """
    lines = block.text.splitlines()
    if any(line.startswith("$ ") for line in lines):
        yield from (line.removeprefix("$ ") for line in _joined(lines) if line.startswith("$ "))
    elif block.language != INDENTED or is_command(lines[0]):
        yield from filter(None, _joined(lines))


def is_command(line: str) -> bool:
    """Whether a line begins with a program that is known here, or sets a variable."""
    words = line.removeprefix("$ ").split(maxsplit=1)
    program = words[0].rpartition("/")[2] if words else ""
    return program in OURS | THEIRS or bool(re.match(r"[A-Z_]+=", program))


def complaints(line: str, *, whole: bool = True) -> Iterator[str]:
    """What is wrong with a command line; with `whole` nothing may be missing, either."""
    words: list[str] = []
    for word in [*_split(line), ";"]:
        if word not in ENDS:
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words:
            yield from _of_program(words[0].rpartition("/")[2], words[1:], whole=whole)
        words = []


def _joined(lines: list[str]) -> Iterator[str]:
    """Lines that a backslash, or an open quote, joins."""
    line = ""
    for each in lines:
        line = f"{line}{each}"
        if each.endswith("\\"):
            line = line[:-1]
            continue
        try:
            _split(line)
        except ValueError:
            line += "\n"
        else:
            yield line
            line = ""
    if line:
        yield line


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    return list(lexer)


def _of_program(program: str, words: list[str], *, whole: bool) -> Iterator[str]:
    if program == "reflexarc":
        yield from _of_reflexarc(words, whole=whole)
    elif program == "make":
        verbs = {word for word in words if "=" not in word and not word.startswith("-")}
        yield from (f"there is no `make {verb}`" for verb in sorted(verbs - VERBS))
    elif program == "python":
        if "-c" in words:
            ast.parse(words[words.index("-c") + 1])
    elif program not in THEIRS:
        yield f"{program} is not known; if it is right, add it to THEIRS"
    for word in words if program in OURS else ():
        place = Path(word.partition("::")[0])
        is_ours = len(place.parts) > 1 and place.parts[0] in FOLDERS - {"build", ".venv"}
        if is_ours and not (ROOT / place).exists():
            yield f"there is no {word}"


@cache
def _root() -> Any:
    return typer.main.get_command(app)


def _of_reflexarc(words: list[str], *, whole: bool) -> Iterator[str]:
    """Parse as the command does, and run nothing."""
    command, path, left = _root(), "reflexarc", list(words)
    while commands := getattr(command, "commands", None):
        if not left or left[0][0] in "-…":
            break
        if left[0] not in commands:
            yield f"there is no `{path} {left[0]}`"
            return
        path, command = f"{path} {left[0]}", commands[left.pop(0)]
    if commands and (not left or left == ["…"]):
        return  # it shows its help
    try:
        given = command.make_context(path, left).params.get("llm") or ()
        for brain in [given] if isinstance(given, str) else given:
            if "…" not in brain:
                parse_llm(brain, {}, name="--llm")
    except typer.Exit:  # of --version and --help
        pass
    except _USAGE_ERROR as error:
        if whole or type(error).__name__ != "MissingParameter":
            yield f"{path}: {error.format_message()}"
    except ConfigError as error:
        yield f"{path}: {error.message}"
