"""The checks of the documentation see what they are there for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.docs.markdown import INDENTED, PAGES, ROOT, Block
from tests.docs.shell import complaints, lines_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("reflexarc rum FILE", "there is no `reflexarc rum`"),
        ("reflexarc run FILE --sey hello", "No such option: --sey"),
        ("A=1 .venv/bin/reflexarc run", "Missing argument"),
        ('reflexarc ask hi --config FILE --llm \'{"typ": "x"}\'', "unknown key 'typ'"),
        ("git clone it && make tset", "there is no `make tset`"),
        ("reflexarc config check config/nobody.json5", "there is no config/nobody.json5"),
        ("$ reflexarc doctor \\\n    --cnfig FILE\nall is well", "No such option: --cnfig"),
    ],
)
def test_a_wrong_command_is_found(text: str, found: str) -> None:
    """Whether it stands alone, behind another one, on two lines or above its output."""
    block = Block(PAGES[0], 1, INDENTED, text)
    [told] = [each for line in lines_of(block) for each in complaints(line)]
    assert found in told


def test_a_program_nobody_knows_is_found() -> None:
    """In a block that says it is for the shell; an indented one may be any output."""
    [line] = lines_of(Block(PAGES[0], 1, "sh", "frobnicate all"))
    assert list(complaints(line)) == ["frobnicate is not known; if it is right, add it to THEIRS"]
    assert list(lines_of(Block(PAGES[0], 1, INDENTED, "frobnicate all"))) == []


def test_a_broken_site_is_found(tmp_path: Path) -> None:
    """A link to no page, to no place on a page, and what a browser would load from elsewhere."""
    (tmp_path / "index.html").write_text(
        '<h1 id="here">x</h1><a href="#here">.</a><a href="b.html">.</a><a href="#there">.</a>'
        '<script src="https://cdn.example.com/x.js"></script><a href="https://example.com">.</a>'
    )
    builder = runpy.run_path(str(ROOT / "scripts" / "build_site.py"))
    assert list(builder["complaints"](tmp_path)) == [
        "index.html loads https://cdn.example.com/x.js; a robot's network may lead nowhere.",
        "index.html links to b.html, which is not there.",
        "index.html links to #there, and there is no such place on that page.",
    ]
