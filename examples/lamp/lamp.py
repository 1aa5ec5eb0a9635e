"""A lamp for robots: what a package needs to add an actuator."""

import asyncio
from pathlib import Path

from reflexarc import Action
from reflexarc.runtime.actuators import Actuator


class Lamp(Actuator):
    """Switches a lamp by writing into a file, as Linux has one for every LED."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    async def perform(self, action: Action) -> None:
        """Write "on", "off" or "blink"; in a thread, so that the robot goes on meanwhile."""
        await asyncio.to_thread(self._path.write_text, f"{action.value}\n")
