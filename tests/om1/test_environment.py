"""The packages and keys that a checkout runs with."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexarc.om1.environment import Environment, has_variable, read_environment
from tests.om1.stand_ins import stand_in, write

SITE = ".venv/lib/python3.12/site-packages"


def test_packages_are_read_from_the_environment(tmp_path: Path) -> None:
    """What is in .venv counts, by name and version, with the version of its Python."""
    root = stand_in(tmp_path)
    write(root / ".venv/pyvenv.cfg", "home = /usr/bin\nversion_info = 3.12.3\n")
    metadata = "Metadata-Version: 2.1\nName: Llama_API.Client\nVersion: 0.6.0\n"
    write(root / SITE / "llama_api_client-0.6.0.dist-info/METADATA", metadata)
    write(root / SITE / "broken-1.dist-info/RECORD", "")
    expected = Environment(".venv", {"llama-api-client": "0.6.0"}, (3, 12))
    assert read_environment(root) == expected


def test_else_packages_are_read_from_the_lock(tmp_path: Path) -> None:
    """Before there is an environment, the lock says what it will hold."""
    root = stand_in(tmp_path)
    write(root / ".python-version", "3.10\n")
    expected = Environment("uv.lock", {"pydantic": "2.10.6", "json5": "0.10.0"}, (3, 10))
    assert read_environment(root) == expected


@pytest.mark.parametrize("lock", [None, "version = [", "\udcff"])
def test_else_packages_are_not_known(tmp_path: Path, lock: str | None) -> None:
    """No environment and no lock that can be read is no guess."""
    root = stand_in(tmp_path)
    (root / "uv.lock").unlink()
    if lock is not None:
        (root / "uv.lock").write_bytes(lock.encode("utf-8", "surrogateescape"))
    assert read_environment(root) == Environment("")


@pytest.mark.parametrize(
    ("text", "is_set"),
    [
        ("KEY=abc\n", True),
        ('export KEY = "abc"\n', True),
        ("OTHER=1\r\n  KEY=abc\r\n", True),
        ("KEY=\nOTHER=abc\n", False),
        ('KEY=""\n', False),
        ("KEY= # abc\n", False),
        ("# KEY=abc\n", False),
        ("MY_KEY=abc\n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_variable_is_looked_up_where_om1_does(
    tmp_path: Path, text: str | None, is_set: bool
) -> None:
    """A key in .env is as good as one in the environment; an empty one is none."""
    if text is not None:
        write(tmp_path / ".env", text)
    assert has_variable(tmp_path, "KEY", {"KEY": ""}) is is_set
    assert has_variable(tmp_path, "KEY", {"KEY": "abc"})
