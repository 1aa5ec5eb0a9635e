"""Prompts read once and kept on disk, against the real engine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import ConnectError
from reflexarc.llm import LLM
from reflexarc.onboard.models import LocalModel
from reflexarc.onboard.prefix import MOST_FILES, PrefixCache, default_prefixes
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.types import CortexOutputModel, Finished, Message, Usage
from reflexarc.vocabulary import Vocabulary

ROBOT = RobotConfig.load(Path(__file__).parents[2] / "config" / "spot_onboard.json5")
PROMPT = replace(Prompt.for_robot(ROBOT), examples=ROBOT.examples[:6])  # a short one is read sooner
VOCABULARY = Vocabulary.from_actions(ROBOT.agent_actions)


@pytest.fixture
def environ(tmp_path: Path, model_path: Path) -> Mapping[str, str]:
    """The models of this machine, and a cache of the test's own."""
    return {
        "XDG_DATA_HOME": str(model_path.parents[3]),
        "XDG_CACHE_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }


def spot(environ: Mapping[str, str]) -> LLM[CortexOutputModel]:
    """The dog's brain, with time enough for a busy machine."""
    config = LLMConfig(type="OnboardLLM", timeout=50, max_tokens=40)
    return load_llm(config, actions=VOCABULARY, environ=environ)


async def usage(llm: LLM[CortexOutputModel], heard: str) -> Usage:
    """What one question costs."""
    cost = await usage_if_any(llm, heard)
    assert cost is not None
    return cost


async def usage_if_any(llm: LLM[CortexOutputModel], heard: str) -> Usage | None:
    """The same; None where it was answered without the language model."""
    events = [event async for event in llm.stream(PROMPT.at(f"A person says: {heard}"))]
    assert isinstance(events[-1], Finished)
    return events[-1].usage


def spared(cost: Usage) -> bool:
    """Whether nearly all of the prompt came from the cache."""
    return cost.cached_tokens >= 0.9 * cost.prompt_tokens


async def test_second_start_does_not_read_the_prompt_again(environ: Mapping[str, str]) -> None:
    """A robot that was warm once answers after a restart with its prompt taken from disk."""
    async with spot(environ) as llm:
        await llm.warm(PROMPT)
        assert spared(await usage(llm, "sit"))
    async with spot(environ) as llm:
        await llm.warm(PROMPT)
        cost = await usage(llm, "sit")
    assert spared(cost)


async def test_a_killed_engine_has_its_prompt_back(environ: Mapping[str, str]) -> None:
    """After a kill -9 the next answer does not wait for the whole prompt to be read."""
    async with spot(environ) as llm:
        await llm.warm(PROMPT)
        os.kill((await llm._serving()).pid, signal.SIGKILL)  # type: ignore[attr-defined]
        cost = None
        for _ in range(50):
            with suppress(ConnectError):  # until the death has been noticed
                cost = await usage_if_any(llm, "sit")
            if cost is not None:
                break
            await asyncio.sleep(0.05)  # until it lives again, the deed is told in plain words
    assert cost is not None
    assert spared(cost)


async def test_a_damaged_file_is_read_anew(environ: Mapping[str, str]) -> None:
    """A prefix file that is damaged costs time and is replaced; it does no harm."""
    async with spot(environ) as llm:
        await llm.warm(PROMPT)
    (file,) = default_prefixes(environ).iterdir()
    whole = file.stat().st_size
    file.write_bytes(b"nothing that llama.cpp wrote")
    async with spot(environ) as llm:
        await llm.warm(PROMPT)
        assert spared(await usage(llm, "sit"))
    assert file.stat().st_size == whole


async def test_no_directory_means_nothing_kept(
    environ: Mapping[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the cache cannot be written the robot works all the same, and says so once."""
    (tmp_path / "reflexarc").write_text("in the way")
    async with spot(environ) as llm:
        await llm.warm(PROMPT)
        assert spared(await usage(llm, "sit"))
    assert [record.message for record in caplog.records if "no prompt is kept" in record.message]


def test_a_name_belongs_to_one_text_and_one_model(tmp_path: Path) -> None:
    """Another text, another file or a changed file has another name."""
    cache = PrefixCache(tmp_path)
    one, two = tmp_path / "one.gguf", tmp_path / "two.gguf"
    one.write_bytes(b"1")
    two.write_bytes(b"1")
    text, other = [Message("user", "a")], [Message("user", "b")]
    names = {
        cache.name(LocalModel("m", one, None), text),
        cache.name(LocalModel("m", one, None), other),
        cache.name(LocalModel("m", two, None), text),
    }
    one.write_bytes(b"22")
    names.add(cache.name(LocalModel("m", one, None), text))
    assert len(names) == 4


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    """The prefixes that were used longest ago make room, and other files are left alone."""
    cache = PrefixCache(tmp_path)
    (tmp_path / "notes.txt").touch()
    for index in range(MOST_FILES + 2):
        file = tmp_path / f"{index}.prefix"
        file.touch()
        os.utime(file, ns=(index, index))
    cache.used("0.prefix")
    kept = {file.name for file in tmp_path.iterdir()}
    assert kept == {"notes.txt", "0.prefix", "3.prefix", "4.prefix", "5.prefix"}


def test_tidying_up_never_fails(tmp_path: Path) -> None:
    """What cannot be touched or removed is left, and nobody is told of it by an exception."""
    cache = PrefixCache(tmp_path / "gone")
    cache.used("0.prefix")
    assert not (tmp_path / "gone").exists()


def test_place_follows_xdg() -> None:
    """Prefixes are in the cache directory of whoever runs the robot."""
    assert default_prefixes({"XDG_CACHE_HOME": "/c"}) == Path("/c/reflexarc/prefixes")
    assert default_prefixes({"HOME": "/h"}) == Path("/h/.cache/reflexarc/prefixes")
