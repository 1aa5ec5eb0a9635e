"""What ``docs/memory.md`` says is so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from reflexarc.memory import Store
from reflexarc.memory.database import BUSY_S, FORMAT
from reflexarc.memory.writer import MOST_WAITING
from reflexarc.remembering import Remembering
from tests.memory.ticks import ACTIONS, FULL, ask, tick

PAGE = (Path(__file__).parents[2] / "docs" / "memory.md").read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory with a tick in it."""
    path = tmp_path / "spot.sqlite3"
    with Store(path) as store:
        store.add(FULL, "spot", ACTIONS)
    return path


def test_the_tables_are_as_told(path: Path) -> None:
    """Every column, in its order."""
    tables = re.findall(r"^\| `(ticks|prompts|summaries)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(tables) == 3
    for table, columns in tables:
        found = [name for (name,) in ask(path, f"SELECT name FROM pragma_table_info('{table}')")]
        assert re.findall(r"`(\w+)`", columns) == found


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL))
def test_questions_on_the_page_are_answered(path: Path, sql: str) -> None:
    """By the tick that is there."""
    assert ask(path, sql)


@pytest.mark.parametrize("name", Remembering.model_fields)
def test_the_table_of_fields_is_true(name: str) -> None:
    """Each has its row, and its default where it is a number."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    default = Remembering.model_fields[name].default
    assert default is None or f"{default:g}" == line.split("|")[2].strip()


def test_numbers_in_the_text_are_true() -> None:
    """Those that the code has."""
    assert f"the format, {FORMAT};" in PAGE
    assert f"up to {BUSY_S:g} s" in PAGE
    assert MOST_WAITING == 1000
    assert "a thousand ticks wait" in PAGE


def test_code_on_the_page_runs(tmp_path: Path) -> None:
    """As it is written."""
    names: dict[str, Any] = {}
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, names)
    path = tmp_path / "a.sqlite3"
    number, past = asyncio.run(names["remember"](path, tick("a red ball")))
    assert (number, len(past.ticks)) == (1, 1)
    assert len(names["look"](path)) == 1
