"""Only the faults: ``python -m bench.faults [PEER …]`` prints the table and what went wrong."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.faults import measure, plot, table
from bench.peers import PEERS

rows = asyncio.run(measure(sys.argv[1:] or list(PEERS)))
for row in rows:
    print(row["label"])
    for fault, found in row["faults"].items():
        print("   ", fault.ljust(24), found["outcome"].ljust(8), found["first_s"], found["took_s"],
              f"{found['given']} given, {found['halves']} halves", found["error"])  # fmt: skip
print(table(rows))
plot(rows, Path("build/bench/faults.png"))
