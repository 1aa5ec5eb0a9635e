"""The child process alone: its lines, its signals, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reflexarc.onboard import server
from tests.onboard.conftest import alive, seconds_until_gone

BY_PATH = [sys.executable, "-P", server.__file__]  # as the engine starts it
BY_NAME = [sys.executable, "-m", server.__name__]  # the same, and coverage can name it
KEY = "a-key-for-this-test"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start server processes that do not outlive the test."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(command: list[str] = BY_NAME) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        begun.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return begun[-1]

    yield start
    for process in begun:
        with process:  # closes the pipes and waits
            process.kill()


def order(process: subprocess.Popen[bytes], model: Path) -> dict[str, Any]:
    """Hand an order over and return the one line that comes back."""
    assert process.stdin is not None
    assert process.stdout is not None
    text = {"model": str(model), "alias": "tiny", "context_tokens": 2048, "threads": None}
    process.stdin.write(json.dumps({**text, "api_key": KEY}).encode() + b"\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def status_of(port: int, path: str, key: str | None = None) -> int:
    """Ask the server for a path and return the HTTP status."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def long_stream(port: int) -> urllib.request.Request:
    """Build a request for a stream that is still running when the test is over."""
    body = {
        "messages": [{"role": "user", "content": "Tell me a story."}],
        "stream": True,
        "max_tokens": 100_000,
        "logit_bias": [[2, False]],  # SmolLM2's end of turn: never
    }
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return urllib.request.Request(url, json.dumps(body).encode(), headers)


@pytest.mark.parametrize("command", [BY_PATH, BY_NAME], ids=["by path", "by name"])
def test_ready_means_ready(start: Start, model_path: Path, command: list[str]) -> None:
    """The moment the ready line is out, the health check passes and the key opens the rest."""
    process = start(command)
    line = order(process, model_path)
    assert line["event"] == "ready"
    assert line["load_s"] > 0
    assert status_of(line["port"], "/health") == 200
    assert status_of(line["port"], "/v1/models", KEY) == 200
    assert status_of(line["port"], "/v1/models") == 401


def test_no_page_and_no_prompts_are_shown(start: Start, model_path: Path) -> None:
    """The server has no web page, and shows nobody what is being generated."""
    port = order(start(), model_path)["port"]
    assert status_of(port, "/", KEY) == 404
    assert status_of(port, "/slots", KEY) in (403, 404, 501)


def test_only_this_machine_is_listened_to(start: Start, model_path: Path) -> None:
    """The one listening socket is on the loopback address."""
    process = start()
    port = order(process, model_path)["port"]
    rows = [line.split() for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()]
    inodes = {
        str(path.readlink()).removeprefix("socket:[").removesuffix("]")
        for path in Path(f"/proc/{process.pid}/fd").iterdir()
    }
    listening = {row[1] for row in rows if row[3] == "0A" and row[9] in inodes}
    assert listening == {f"0100007F:{port:04X}"}


def test_the_key_is_not_to_be_seen(start: Start, model_path: Path) -> None:
    """Neither the process list nor the environment of the child shows the key."""
    process = start()
    order(process, model_path)
    for name in ("cmdline", "environ"):
        assert KEY.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()


@pytest.mark.parametrize("busy", [True, False])
def test_the_end_of_stdin_ends_it(start: Start, model_path: Path, busy: bool) -> None:
    """A child whose parent closes the pipe leaves with exit code 0, even during a request."""
    process = start()
    port = order(process, model_path)["port"]
    assert process.stdin is not None
    with ExitStack() as stack:
        if busy:
            reply = stack.enter_context(urllib.request.urlopen(long_stream(port)))
            reply.readline()
        process.stdin.close()
        assert process.wait(2) == 0


def test_no_order_no_server(start: Start) -> None:
    """A child whose parent is gone before it gave an order leaves quietly."""
    out, log = start().communicate(timeout=5)
    assert (out, log) == (b"", b"")


def test_interrupt_is_ignored(start: Start, model_path: Path) -> None:
    """Ctrl-C in the terminal, which reaches every process in it, does not end the child."""
    process = start()
    port = order(process, model_path)["port"]
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert alive(process.pid)
    assert status_of(port, "/health") == 200


@pytest.mark.parametrize("loading", [True, False])
def test_terminate_ends_it(start: Start, model_path: Path, loading: bool) -> None:
    """SIGTERM ends the child at once, even while it loads and no Python code can run."""
    process = start()
    if loading:
        assert process.stdin is not None
        text = {"model": str(model_path), "alias": "a", "context_tokens": 512, "threads": 1}
        process.stdin.write(json.dumps({**text, "api_key": KEY}).encode() + b"\n")
        process.stdin.flush()
        time.sleep(0.15)
    else:
        order(process, model_path)
    process.terminate()
    assert process.wait(1) == -signal.SIGTERM


def test_a_missing_package_is_one_sentence(start: Start, model_path: Path) -> None:
    """Where xllamacpp is not installed the child names the command that installs it."""
    process = start([sys.executable, "-S", "-P", server.__file__])
    line = order(process, model_path)
    assert (line["event"], line["lasting"]) == ("failed", True)
    assert "pip install 'reflexarc[onboard]'" in line["message"]
    assert process.wait(5) == 1


@pytest.mark.parametrize(
    ("content", "sentence", "lasting"),
    [
        (None, "Cannot read the model file {path}: No such file or directory.", True),
        (b"<!doctype html>", "{path} is not a GGUF model file.", True),
        (b"GGUF" + b"\xff" * 999, "llama.cpp cannot load {path}: the file is damaged", False),
    ],
    ids=["missing", "not GGUF", "rubbish"],
)
def test_a_bad_model_is_one_sentence(
    start: Start, tmp_path: Path, content: bytes | None, sentence: str, lasting: bool
) -> None:
    """A model that cannot be loaded is reported with its path and the reason, and exit code 1."""
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    process = start()
    line = order(process, path)
    assert line["message"].startswith(sentence.format(path=path))
    assert (line["event"], line["lasting"]) == ("failed", lasting)
    assert process.wait(5) == 1


def test_a_truncated_model_is_one_sentence(start: Start, tmp_path: Path, model_path: Path) -> None:
    """A real model cut in half is reported as damaged; the process does not crash."""
    path = tmp_path / "half.gguf"
    with model_path.open("rb") as whole:
        path.write_bytes(whole.read(40_000_000))
    process = start()
    assert "the file is damaged" in order(process, path)["message"]
    assert process.wait(5) == 1


PARENT = """
import subprocess, sys, json, time
pipe = subprocess.PIPE
child = subprocess.Popen({command!r}, stdin=pipe, stdout=pipe)
child.stdin.write(json.dumps({order!r}).encode() + b"\\n")
child.stdin.flush()
print(child.pid, child.stdout.readline().decode(), flush=True)
time.sleep(60)
"""


def test_the_child_dies_with_its_parent_though_the_pipe_is_held(model_path: Path) -> None:
    """Kill -9 of the parent ends the child even where another process keeps the pipe open."""
    text = {"model": str(model_path), "alias": "a", "context_tokens": 512, "threads": 1}
    script = PARENT.format(command=BY_PATH, order={**text, "api_key": KEY})
    # A forked copy of the parent inherits its end of the pipe, so no end of file is ever seen.
    fork = "import os; copy = os.fork(); copy and print(copy, flush=True); time.sleep"
    script = script.replace("time.sleep", fork)
    command = [sys.executable, "-c", script]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline().split()[0])
    parent.stdout.readline()
    copy = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        seconds_until_gone(child, 2)
        assert alive(copy)
    finally:
        os.kill(copy, signal.SIGKILL)
        parent.stdout.close()
