"""The pages that people read, as what is in them: blocks of code, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *ROOT.glob("SECURITY.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
INDENTED = "indented"

_COMMENT = re.compile(r"<!-- (file|run by): (\S+) -->")


def name_of(page: Path) -> str:
    """A page below the repository's root, as test ids have it."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """One block of code, and what the comment above it says of it."""

    page: Path
    line: int
    language: str
    text: str
    file: Path | None = None
    test: Path | None = None

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@cache
def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks_of(page: Path) -> Iterator[Block]:
    """Every block of code, fenced or indented, also inside lists.

    ``<!-- file: PATH -->`` is of the block below it, which is a part of that file. ``<!-- run by:
    PATH -->`` is of every Python block from there on: that test runs them.
    """
    file = test = None
    for token in _tokens(page):
        if token.type == "html_block" and (told := _COMMENT.search(token.content)):
            if told[1] == "file":
                file = ROOT / told[2]
            else:
                test = ROOT / told[2]
        elif token.type in ("fence", "code_block"):
            language = token.info.strip() if token.type == "fence" else INDENTED
            line = (token.map or [0])[0] + 1
            yield Block(page, line, language, token.content, file, test)
            file = None


def spans_of(page: Path) -> Iterator[str]:
    """Code within the lines of prose."""
    for token in _tokens(page):
        yield from (each.content for each in token.children or () if each.type == "code_inline")


def links_of(page: Path) -> Iterator[str]:
    """What the links and pictures of a page lead to."""
    for token in _tokens(page):
        for each in token.children or ():
            if each.type in ("link_open", "image"):
                yield str(each.attrGet("href" if each.type == "link_open" else "src"))


@cache
def places_in(page: Path) -> frozenset[str]:
    """The anchors of a page, as GitHub and our site make them from its headings."""
    places = re.findall(r'<a id="([^"]+)">', page.read_text(encoding="utf-8"))
    tokens = _tokens(page)
    for above, token in pairwise(tokens):
        if above.type == "heading_open":
            text = "".join(each.content for each in token.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            again = places.count(slug)
            places.append(f"{slug}-{again}" if again else slug)
    return frozenset(places)
