"""What OM1 pins, and what is said where two packages do not go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from reflexarc import cli, packages

ROOT = Path(__file__).parents[2]


def test_om1_may_keep_its_versions() -> None:
    """None of our floors is above what OM1 pins, whatever extras are installed."""
    lines = (ROOT / "requirements" / "om1.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    assert {"json5", "openai", "typer"} <= pinned.keys()
    ours = [each for each in packages.requirements() if each.name in pinned]
    assert {each.name for each in ours} == {"json5", "typer"}
    assert all(each.allows(pinned[each.name]) for each in ours)


@pytest.mark.parametrize(
    ("typer", "click", "said"),
    [
        (
            "0.15.1",
            "8.2.0",
            "typer 0.15.1 does not go with click 8.2.0; run: pip install 'click<8.2'",
        ),
        ("0.15.1", "8.1.8", None),
        ("0.15.4", "8.2.0", None),
        ("0.29.1", None, None),
    ],
)
def test_an_old_typer_and_a_new_click_are_told(
    monkeypatch: pytest.MonkeyPatch, typer: str, click: str | None, said: str | None
) -> None:
    """Together they can show neither help nor a mistake, so that is said instead."""
    installed = {"typer": typer, "click": click}
    monkeypatch.setattr(packages, "installed_version", installed.get)
    assert cli._mismatch() == said
