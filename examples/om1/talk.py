"""OM1 itself, on the model on board: a checkout's own loop, with our plugins, and no hardware.

    git clone https://github.com/OpenMind/OM1 && git -C OM1 checkout dbf7b8c
    python examples/om1/talk.py OM1 "please sit down"

It copies the checkout (docs/om1.md tells which ones have Python), does there what
``reflexarc om1 install`` does, starts OM1's ``src/run.py spot_onboard``, says your sentence over
the WebSocket of OM1's MockInput, and prints what OM1 hands to the robot's connectors. Give as
OM1_PYTHON an interpreter that has OM1's packages and reflexarc; else it is this one, and what OM1
imports and is not installed, such as drivers, cameras and voices, is empty (without_drivers.py);
it needs OM1's ``websockets``.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import aiohttp

from reflexarc import ReflexarcError
from reflexarc.om1.edits import apply
from reflexarc.om1.install import plan_install

ADDRESS = os.environ.get("OM1_MOCK_INPUT", "ws://127.0.0.1:8765")
STARTS_WITHIN_S, ACTS_WITHIN_S = 60.0, 30.0
LEFT_OUT = (".git", ".venv", "gazebo", "*.pt")
DONE = re.compile(r"SendThisToROS2: (.*)")


def install(checkout: Path, copy: Path) -> None:
    """A copy with the plugins in it; the checkout stays as it is."""
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    plan = plan_install(copy)
    apply(plan.root, plan.edits)
    print(f"{len(plan.edits)} files written into a copy of {checkout}")


async def start(copy: Path) -> asyncio.subprocess.Process:
    """OM1, as its own documentation starts it."""
    python = os.environ.get("OM1_PYTHON", sys.executable)
    return await asyncio.create_subprocess_exec(
        python,
        Path(__file__).with_name("without_drivers.py"),
        copy / "src" / "run.py",
        "spot_onboard",
        cwd=copy,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def say(text: str) -> None:
    """Say something, as soon as OM1 listens."""
    async with asyncio.timeout(STARTS_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientConnectorError):
                async with session.ws_connect(ADDRESS) as robot:
                    await robot.send_str(text)
                    print(f"said: {text}")
                    return
            await asyncio.sleep(0.2)


async def hear(om1: asyncio.subprocess.Process, text: str, wanted: int) -> list[str]:
    """What OM1 does once it has heard the text, until it has done so many things or is silent."""
    assert om1.stdout is not None
    done, lines, has_heard = [], [], False
    with suppress(TimeoutError):
        async with asyncio.timeout(STARTS_WITHIN_S + ACTS_WITHIN_S):
            while len(done) < wanted and (line := await om1.stdout.readline()):
                lines.append(line.decode(errors="replace").rstrip())
                has_heard = has_heard or text in lines[-1]  # it logs what it hears
                if has_heard and (found := DONE.search(lines[-1])):
                    done.append(found[1])
                    print(f"OM1 does: {found[1]}", flush=True)
    if not done:
        print(*lines[-15:], sep="\n", file=sys.stderr)
    return done


async def main(checkout: Path, text: str) -> bool:
    """Whether OM1 has done anything about it."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        copy = Path(folder) / "OM1"
        await asyncio.to_thread(install, checkout, copy)
        om1 = await start(copy)
        saying = asyncio.create_task(say(text))
        try:
            return bool(await hear(om1, text, wanted=2))
        finally:
            saying.cancel()
            with suppress(ProcessLookupError):
                om1.terminate()
            await om1.wait()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if "OM1_PYTHON" not in os.environ and find_spec("websockets") is None:
        sys.exit("OM1's MockInput listens by websockets; run: pip install websockets")
    try:
        sys.exit(not asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
    except (ReflexarcError, OSError) as error:
        sys.exit(str(error))
