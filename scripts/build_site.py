"""Build the documentation as a site, build/site; a link or anchor that leads nowhere fails it.

The pages in docs/ are made for a reader of the repository as well, so they are prepared first:
links that leave docs/ get a page that shows the file or folder, and the marks in docs/reference/
become what mkdocstrings makes of a docstring, to which the tables of names lead.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
PREPARED = BUILD / "docs"
SITE = BUILD / "site"

BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages outside docs/."""

LANGUAGES = {".json5": "js", ".md": "markdown", ".py": "python", ".toml": "toml"}
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
DOCSTRING = re.compile(r"^<!-- docstring: ([\w.]+)(, made as its base)? -->$", re.MULTILINE)
NAME = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
FENCE = "~~~~~~~~"


def prepare() -> None:
    """Write build/docs anew."""
    shutil.rmtree(PREPARED, ignore_errors=True)
    shutil.copytree(DOCS, PREPARED)
    asked: set[Path] = set()
    told = told_in(DOCS / "reference")
    for page in [*DOCS.rglob("*.md"), *(ROOT / name for name in BESIDE)]:
        place = place_of(page, asked)
        text = with_docstrings(page.read_text(), page, told)
        (PREPARED / place).write_text(with_links(text, page, place, asked))
    for shown in asked:
        page = PREPARED / place_of(shown, asked)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(page_of(shown))


def told_in(folder: Path) -> dict[str, Path]:
    """Everything that has its text on a page of this folder, by its full name, and the page."""
    pages = sorted(folder.glob("*.md"))
    return {name: page for page in pages for name, _ in DOCSTRING.findall(page.read_text())}


def with_docstrings(text: str, page: Path, told: dict[str, Path]) -> str:
    """A page's text with what mkdocstrings reads, and its tables' names with where they lead."""

    def asked(match: re.Match[str]) -> str:
        options = "    options:\n      show_signature: false\n" if match[2] else ""
        return f"::: {match[1]}\n{options}"

    def led(match: re.Match[str]) -> str:
        found = [name for name in told if name.rpartition(".")[2] == match[1]]
        found.sort(key=lambda name: told[name] != page)  # the nearest first
        if not found:
            return match[0]
        where = told[found[0]]
        return f"| [`{match[1]}`]({where.name if where != page else ''}#{found[0]}) |"

    return DOCSTRING.sub(asked, NAME.sub(led, text) if page in told.values() else text)


def place_of(path: Path, asked: set[Path]) -> str:
    """Where a file is on the site; one that is no page itself is asked for."""
    if path.is_relative_to(DOCS) and path.is_file():
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    if name in BESIDE:
        return name
    if path == DOCS / "decisions":
        return "decisions/README.md"
    asked.add(path)
    return f"source/{name}.md"


def with_links(text: str, page: Path, place: str, asked: set[Path]) -> str:
    """A page's text with links that lead there on the site."""

    def led(match: re.Match[str]) -> str:
        target = (page.parent / unquote(match[1])).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            return match[1]  # as it is, for the check to find
        return posixpath.relpath(place_of(target, asked), posixpath.dirname(place) or ".")

    return LINK.sub(led, text)


def page_of(path: Path) -> str:
    """A page that shows a file, or the files of a folder."""
    name = in_words(path.relative_to(ROOT).as_posix())
    if path.is_file():
        return f"{UNSEARCHED}# {name}\n\n{shown(path)}\n"
    files = sorted(each for each in path.iterdir() if each.is_file() and each.suffix in LANGUAGES)
    sections = [f"## {in_words(each.name)}\n\n{shown(each)}\n" for each in files]
    return "\n".join([f"{UNSEARCHED}# {name}\n", *sections])


def in_words(name: str) -> str:
    """A name in which underscores mean nothing."""
    return name.replace("_", r"\_")


def shown(path: Path) -> str:
    """A file as a block of code."""
    return f"{FENCE} {LANGUAGES.get(path.suffix, 'text')}\n{path.read_text().rstrip()}\n{FENCE}"


@dataclass
class Made(HTMLParser):
    """What a page of the site has: places to lead to, links, and what a browser loads with it."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if "src" in values:
            self.loaded.append(values["src"])
        if href := values.get("href"):
            fetched = tag == "link" and values.get("rel") not in ("canonical", "next", "prev")
            (self.loaded if fetched else self.links).append(href)


def complaints(site: Path) -> Iterator[str]:
    """Every link of the site that leads nowhere, and all that comes from elsewhere."""
    made: dict[Path, Made] = {}
    for path in sorted(site.rglob("*.html")):
        made[path] = Made()
        made[path].feed(path.read_text())
    for path, page in made.items():
        name = path.relative_to(site).as_posix()
        if name == "404.html":
            continue  # it may be shown at any address, so its links begin at the root
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{name} loads {link}; a robot's network may lead nowhere."
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name} links to {link}, which is not there."
            elif parts.fragment and unquote(parts.fragment) not in made[target].ids:
                yield f"{name} links to {link}, and there is no such place on that page."


def build() -> list[str]:
    """Build; what is wrong, one sentence each."""
    prepare()
    shutil.rmtree(SITE, ignore_errors=True)
    zensical = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    shutil.copy(ROOT / "zensical.toml", BUILD)  # it leaves its cache beside its configuration
    done = subprocess.run(zensical, cwd=BUILD, capture_output=True, text=True, check=False)
    told = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    if done.returncode or "mkdocstrings:" in told:  # what it does not find it only tells of
        return [told.partition("Traceback")[0]]
    return list(complaints(SITE))


if __name__ == "__main__":
    found = build()
    print("\n".join(found) if found else f"{SITE.relative_to(ROOT)}/index.html", flush=True)
    sys.exit(bool(found))
