"""What the on-board tests share: the real model, a tiny one in a wheel, and a look at processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from reflexarc.onboard.models import ModelEntry, ModelStore, default_root

MODEL = "smollm2-135m-instruct"
TINY_BYTES = b"GGUF" + bytes(range(256)) * 40


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model, from the store of whoever runs the tests; pulled where it is absent."""
    return ModelStore(default_root(os.environ)).pull(MODEL, print)


@dataclass(frozen=True)
class TinyIndex:
    """A folder with one wheel in it, and the row that describes the model inside."""

    folder: Path
    entry: ModelEntry


@pytest.fixture
def tiny_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyIndex:
    """A model of ten kilobytes in a wheel, in the only place the installers may look."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "tiny_robot_model-1.0-py3-none-any.whl"
    member = "tiny_robot_model/Tiny.gguf"
    info = "tiny_robot_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "tiny_robot_model/__init__.py", "raise SystemExit('code of the wheel ran')\n"
        )
        archive.writestr(member, TINY_BYTES)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-robot-model\nVersion: 1.0\nRequires-Dist: none==9\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "UV_NO_CONFIG": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(folder),
    }.items():
        monkeypatch.setenv(name, value)
    entry = ModelEntry(
        name="tiny",
        requirement="tiny-robot-model==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member=member,
        file_sha256=hashlib.sha256(TINY_BYTES).hexdigest(),
        file_bytes=len(TINY_BYTES),
        licence="CC0-1.0",
        context_tokens=512,
    )
    return TinyIndex(folder, entry)


def alive(pid: int) -> bool:
    """Whether a process with this id exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def seconds_until_gone(pid: int, limit_s: float) -> float:
    """Wait until a process is gone and return how long that took; fail where it stays."""
    began = time.monotonic()
    while alive(pid):
        if time.monotonic() - began > limit_s:
            pytest.fail(f"process {pid} is still there after {limit_s} s")
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.fixture
def uv() -> str:
    """The folder uv is in; skips where there is none."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("uv is not installed")
    return str(Path(found).parent)
