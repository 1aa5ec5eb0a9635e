"""What it costs to remember is measured; how much it is, is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexarc.bench.memory import bench_memory


def test_the_memory_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the disk, and the event loop with and without; nothing is left on the disk."""
    monkeypatch.setenv("HOME", str(tmp_path))
    half, most, late = bench_memory(ticks=100)
    assert 0 < half.value <= most.value
    assert late.value >= 0
    assert {each.unit for each in (half, most, late)} == {"ms"}
    assert half.note == "100 ticks, each with 10 past ones"
    assert "without it" in late.note
    assert list(tmp_path.iterdir()) == []
