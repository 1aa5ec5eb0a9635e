"""The file list is the architecture: where a module stands, what it imports, how big it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SRC = TESTS.parent / "src"
PACKAGE = SRC / "reflexarc"

# From the bottom up. A module may import what stands below it, and beside it if that makes no ring.
LAYERS = (
    (
        "alarm",
        "attempts",
        "checks",
        "due",
        "errors",
        "hosts",
        "interfaces",
        "opened",
        "redaction",
        "types",
    ),
    ("config", "messages", "observing", "remembering", "rules", "scanner", "source"),
    ("actions", "calls", "decoder", "lines", "parameters", "schema", "specs", "vocabulary"),
    ("prompt", "prose"),
    ("call", "clocks", "gate", "llm"),
    ("onboard", "packages", "providers", "registry"),
    ("resilience",),
    ("guard", "memory", "telemetry"),
    ("runtime",),
    ("__main__", "bench", "cli", "doctor", "eval", "machine", "om1", "replay", "testing", "web"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

MOST_LINES_IN_A_MODULE = 400
MOST_LINES_IN_A_FUNCTION = 60
NO_NOUNS = {"common", "helpers", "manager", "misc", "util", "utils"}
LOADED_ON_USE = {
    "aiohttp",
    "llama_api_client",
    "mistralai",
    "opentelemetry",
    "prometheus_client",
    "rich",
    "typer",
    "xllamacpp",
}

MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [*MODULES, *sorted((SRC / "llm").rglob("*.py"))]


def name_of(path: Path) -> str:
    """Name a file below the repository, for messages and test ids."""
    return str(path.relative_to(TESTS.parent))


@cache
def parsed(path: Path) -> ast.Module:
    """Parse a file once."""
    return ast.parse(path.read_text(), str(path))


def part_of(path: Path) -> str:
    """Name the part of the package that a file belongs to: its module or top folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every absolute module name a file imports, with the line, wherever in the file it does so."""
    inside = ["reflexarc", *path.relative_to(PACKAGE).parts[:-1]] if path in MODULES else []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the parts of reflexarc that a file of another part imports, with the line."""
    for line, name in imports_of(path):
        package, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if package == "reflexarc" and part != part_of(path):
            yield line, part


def test_every_module_has_its_place() -> None:
    """A new module is put into a layer before it is merged, and no layer names what is gone."""
    parts = {part_of(path) for path in MODULES} - {"__init__"}
    homeless = sorted(parts - LEVEL.keys())
    assert not homeless, f"Give {', '.join(homeless)} a place in LAYERS of tests/test_layout.py."


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(p) != "__init__"], ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    """A module imports what stands below or beside it, also inside its functions."""
    level = LEVEL.get(part_of(path), len(LAYERS))
    upwards = [
        f"{name_of(path)}:{line} imports {part or 'reflexarc'}, which stands above {part_of(path)}."
        for line, part in own_imports(path)
        if LEVEL.get(part, len(LAYERS)) > level
    ]
    assert not upwards, "\n".join(upwards)


def test_neighbours_import_each_other_one_way() -> None:
    """Parts of one layer make no ring of imports."""
    beside: dict[str, set[str]] = {part: set() for part in LEVEL}
    for path in MODULES:
        part = part_of(path)
        if part in LEVEL:
            beside[part] |= {o for _, o in own_imports(path) if LEVEL.get(o) == LEVEL[part]}
    while free := [part for part, others in beside.items() if not others]:
        beside = {part: others - set(free) for part, others in beside.items() if part not in free}
    assert not beside, f"These import each other in a ring, or one that does: {sorted(beside)}."


def test_the_package_does_not_need_its_om1_face() -> None:
    """Import `llm` is left to OM1 checkouts: the wheel does not have it."""
    guilty = [
        f"{name_of(path)}:{line}"
        for path in MODULES
        for line, name in imports_of(path)
        if name.partition(".")[0] == "llm"
    ]
    assert not guilty


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_sizes_stay_readable(path: Path) -> None:
    """A module is read in one sitting and a function, but for its docstring, on one screen."""
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES_IN_A_MODULE, (
        f"{name_of(path)} has {lines} lines, more than {MOST_LINES_IN_A_MODULE}; divide it."
    )
    long = [
        f"{name_of(path)}:{node.lineno} {node.name} has {length} lines in its body,"
        f" more than {MOST_LINES_IN_A_FUNCTION}; divide it."
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := body_length(node)) > MOST_LINES_IN_A_FUNCTION
    ]
    assert not long, "\n".join(long)


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    body = function.body[1 if ast.get_docstring(function) else 0 :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_modules_are_named_after_what_they_are() -> None:
    """No drawer for things that found no noun."""
    drawers = [name_of(p) for p in [*SOURCES, *TESTS.rglob("*.py")] if p.stem in NO_NOUNS]
    assert not drawers


def test_no_test_patches_with_mocks() -> None:
    """Fakes are small classes of ours, so tests talk to the real seams."""
    mocked = [
        f"{name_of(path)}:{line}"
        for path in TESTS.rglob("*.py")
        for line, name in imports_of(path)
        if name.startswith(("unittest.mock", "mock.", "pytest_mock"))
    ]
    assert not mocked, f"Replace unittest.mock by a small class: {', '.join(mocked)}"


# Runs in a fresh interpreter. Libraries below us read their own variables, so only reads whose
# nearest frame outside os and collections.abc is ours count.
WATCH_THE_IMPORT = """
import os, sys

class Watched(type(os.environ)):
    def __getitem__(self, key):
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__") in ("os", "collections.abc", "_collections_abc"):
            frame = frame.f_back
        if frame.f_globals.get("__name__", "").startswith("reflexarc"):
            print("reads", key)
        return super().__getitem__(key)

os.environ.__class__ = Watched
import reflexarc
for name in sys.argv[1:]:
    if name in sys.modules:
        print("loads", name)
"""


def test_importing_the_package_does_nothing() -> None:
    """`import reflexarc` loads no SDK and no server, and reads no environment variable."""
    result = subprocess.run(
        [sys.executable, "-c", WATCH_THE_IMPORT, *sorted(LOADED_ON_USE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not result.stdout
