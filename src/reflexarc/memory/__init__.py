"""What the robot has lived through, kept on disk."""

from reflexarc.memory.memory import Memory
from reflexarc.memory.past import Past
from reflexarc.memory.store import Store
from reflexarc.memory.tick import STOPPED, Deed, Tick

__all__ = ["STOPPED", "Deed", "Memory", "Past", "Store", "Tick"]
