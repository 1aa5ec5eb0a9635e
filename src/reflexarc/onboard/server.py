"""The child process: llama.cpp's own server, for as long as the parent wants it.

Started by `engine.Engine` as ``python -P server.py``; ``python -m reflexarc.onboard.server`` does
the same. By path, because then nothing else of this package is imported: the child is up sooner
and smaller. It speaks JSON lines with its parent:

* on stdin one line, the order: ``{"model": path, "alias": name, "context_tokens": n, "threads": n,
  "prefixes": directory, "api_key": text}``, threads null for every core. The key comes this way so
  that no process list shows it. Then stdin stays open; its end means that the parent is gone.
* on stdout one line: ``{"event": "ready", "port": n, "load_s": s}``, or ``{"event": "failed",
  "message": sentence, "lasting": true}`` and exit code 1. `lasting` is a reason that trying again
  cannot mend.
* on stderr whatever llama.cpp logs.

Notes
-----
Measured with xllamacpp 2026.10 on two cores:

* ``/health`` answers 200 as soon as the constructor of the server has returned, and a request sent
  at once is served, so the ready line needs no probe.
* Dropping the server object deadlocks while a request runs, and sometimes right after the start
  (1 of 6); leaving the interpreter while a request runs ends in SIGSEGV. So the process leaves by
  `os._exit` and holds the object until then.
* The constructor holds the interpreter's lock for the whole load, so no Python code can watch the
  parent meanwhile: SIGTERM keeps its default action, and on Linux the kernel kills the child when
  the parent dies.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# libgomp's threads spin while they wait. With two busy neighbours on two cores the default made 16
# tokens take 6 to 60 s; 2000 rounds take 1.3 s there and cost nothing when the machine is idle.
_SPIN_ROUNDS = "2000"
# Prompts kept beside the slot's own; the default of 8192 is more memory than a robot has to spare.
_CACHE_MIB = 16
# llama.cpp writes its log in a thread of its own, and we leave without waiting for it.
_LOG_S = 0.1


class _CannotServeError(Exception):
    """No server can be started; says why, and whether trying again is pointless."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


def main() -> None:
    """Serve as the parent orders, then end the process without unwinding it."""
    # Ctrl-C in a terminal reaches the whole process group; what it means, the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    # Only our lines may reach the parent: everything else that is printed goes to stderr.
    lines = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    kept: list[object] = []  # the server; held here until the process is gone, see the notes above
    try:
        code = _serve(sys.stdin.buffer, lines, kept)
    except BrokenPipeError:  # the parent is gone
        code = 0
    except Exception:  # noqa: BLE001  the process's outermost loop, and it must end by _exit
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def _serve(orders: BinaryIO, lines: BinaryIO, kept: list[object]) -> int:
    """Start a server into `kept`, report, and wait for the end of `orders`; the exit code."""
    line = orders.readline()
    if not line:
        return 0
    started = time.monotonic()
    try:
        server = _start(json.loads(line))
    except _CannotServeError as why:
        _say(lines, {"event": "failed", "message": str(why), "lasting": why.lasting})
        return 1
    load_s = round(time.monotonic() - started, 3)
    kept.append(server)
    port = int(server.listening_address.rpartition(":")[2])
    _say(lines, {"event": "ready", "port": port, "load_s": load_s})
    while orders.read(4096):
        pass
    return 0


def _start(order: dict[str, Any]) -> Any:
    """A llama.cpp server that serves `order` on a free loopback port; raises _CannotServeError."""
    path = order["model"]
    try:
        # llama.cpp says the same of every bad file, so the common ones are told apart here.
        with Path(path).open("rb") as file:
            if file.read(4) != b"GGUF":
                raise _CannotServeError(f"{path} is not a GGUF model file.", lasting=True)
    except OSError as error:
        reason = f"Cannot read the model file {path}: {error.strerror}."
        raise _CannotServeError(reason, lasting=True) from error
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_ROUNDS)  # read when the library is loaded
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ImportError as error:
        reason = f"The on-board engine is not installed ({error}); run: "
        reason += "pip install 'reflexarc[onboard]'"
        raise _CannotServeError(reason, lasting=True) from error
    try:
        return xllamacpp.Server(_parameters(xllamacpp.CommonParams(), order))
    except RuntimeError as error:  # a damaged file, and too little memory, say the same
        time.sleep(_LOG_S)
        reason = (
            f"llama.cpp cannot load {path}: the file is damaged or of a kind it does not know, "
        )
        reason += "or memory is short."
        raise _CannotServeError(reason, lasting=False) from error


def _parameters(params: Any, order: dict[str, Any]) -> Any:
    """llama.cpp's parameters for one robot."""
    threads = order["threads"] or _cores()
    params.model.path = order["model"]
    params.model_alias = {order["alias"]}  # else replies name the file's path
    params.n_ctx = order["context_tokens"]
    params.n_parallel = 1  # a second slot was no faster and loses the prefix cache
    params.cache_ram_mib = _CACHE_MIB
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.fit_params = (
        False  # a trial load to fit a GPU's memory: 0.37 s to start instead of 0.25 s
    )
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [order["api_key"]]
    params.ui = False
    params.endpoint_slots = False  # would show prompts
    if order.get("prefixes"):
        params.slot_save_path = order["prefixes"].rstrip("/") + "/"  # else it joins names to it
    params.verbosity = 2  # warnings and errors
    return params


def _cores() -> int:
    """Cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _say(lines: BinaryIO, event: dict[str, Any]) -> None:
    lines.write(json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    main()
