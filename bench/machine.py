"""On what all this was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def is_busy(facts: Mapping[str, Any]) -> bool:
    """Whether others wanted more than half of its cores in the minute before."""
    return facts["load"][0] > facts["cores"] / 2


def machine() -> dict[str, Any]:
    """Processor, Python, commit, load, and when."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    git = ("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*")
    commit = subprocess.run(git, check=False, capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or "unknown",
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
