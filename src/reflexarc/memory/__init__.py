"""What the robot has lived through, kept on disk."""

from reflexarc.memory.memory import Memory
from reflexarc.memory.past import Past
from reflexarc.memory.store import Store
from reflexarc.memory.tick import Deed, Tick

__all__ = ["Deed", "Memory", "Past", "Store", "Tick"]
