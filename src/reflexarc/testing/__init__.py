"""Doubles for tests, and a server that misbehaves on request; all on this machine.

`Server` speaks HTTP byte by byte as a script says, so that a client can be shown every fault a real
server has. `EMULATORS` make it one vendor's: strict where that one is, and in its dialect.
`ScriptedLLM` is a brain whose answers, delays and failures are given. `run_virtual` runs hours of
them in seconds, on the clock of a `VirtualLoop`. The module `conformance` has what every provider
promises, to be tried on one of your own.
"""

from reflexarc.testing.emulator import EMULATORS, Emulator
from reflexarc.testing.fakes import Asked, ScriptedLLM, Turn
from reflexarc.testing.reply import Reply, event
from reflexarc.testing.server import Received, Server
from reflexarc.testing.virtual import VirtualLoop, run_virtual

__all__ = [
    "EMULATORS",
    "Asked",
    "Emulator",
    "Received",
    "Reply",
    "ScriptedLLM",
    "Server",
    "Turn",
    "VirtualLoop",
    "event",
    "run_virtual",
]
