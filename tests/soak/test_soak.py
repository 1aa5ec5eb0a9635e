"""A short soak, so that the long one can be trusted to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_some_hundred_ticks_are_all_accounted_for() -> None:
    """What `make soak` does ten thousand times."""
    command = [sys.executable, "-m", "tests.soak", "300", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "300 ticks in" in done.stdout
    assert "nothing late, doubled, unaccounted or left behind" in done.stdout
