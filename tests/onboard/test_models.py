"""The model store: names, places, and what a look at a file tells."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from reflexarc.errors import ConfigError, UnavailableError
from reflexarc.onboard.catalogue import LARGE, MEDIUM, SMALL, Treatment
from reflexarc.onboard.models import MODELS, LocalModel, ModelEntry, ModelStore, default_root, find
from tests.onboard.conftest import MODEL, TINY_BYTES, TinyIndex


@pytest.fixture
def store(tmp_path: Path, tiny_index: TinyIndex) -> ModelStore:
    """A store that knows the tiny model and holds nothing."""
    return ModelStore(tmp_path / "store", {"tiny": tiny_index.entry})


def put(store: ModelStore, content: bytes) -> Path:
    """Write a file where the store looks for the tiny model."""
    path = store.path("tiny")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("entry", MODELS.values(), ids=MODELS)
def test_every_row_pins_what_it_fetches(entry: ModelEntry) -> None:
    """A model is fetched in one exact version, with full hashes, under a named licence."""
    package, _, version = entry.requirement.partition("==")
    assert package
    assert version
    assert all(len(bytes.fromhex(text)) == 32 for text in (entry.wheel_sha256, entry.file_sha256))
    assert all(len(bytes.fromhex(each.sha256)) == 32 for each in entry.others)
    assert entry.licence
    if entry.context_tokens is None:
        assert entry.member.endswith(".safetensors")
    else:
        assert entry.member.endswith(".gguf")
        assert entry.context_tokens >= 512
    assert entry.encoder is None or entry.encoder in MODELS


def test_the_default_model_is_what_was_published(model_path: Path) -> None:
    """The pulled default model passes the full check, which reads every byte."""
    status = ModelStore(default_root(os.environ)).verify(MODEL)
    assert (status.state, status.path) == ("intact", model_path)


def test_a_missing_model_names_the_command(store: ModelStore) -> None:
    """A model that is not here is reported with the command that fetches it."""
    for status in (store.status("tiny"), store.verify("tiny")):
        assert status.state == "missing"
        assert "reflexarc models pull tiny" in status.message
    assert not store.root.exists()


def test_a_short_file_is_damaged_at_a_glance(store: ModelStore) -> None:
    """A file of the wrong size is called damaged without being read."""
    put(store, TINY_BYTES[:-1])
    status = store.status("tiny")
    assert status.state == "damaged"
    assert f"{len(TINY_BYTES) - 1} bytes instead of {len(TINY_BYTES)}" in status.message


def test_a_changed_byte_is_found_by_verify(store: ModelStore) -> None:
    """A file with one byte changed is present at a glance, and damaged when it is read."""
    put(store, TINY_BYTES[:-1] + b"\0")
    assert store.status("tiny").state == "present"
    status = store.verify("tiny")
    assert status.state == "damaged"
    assert "SHA-256" in status.message


@pytest.mark.parametrize("ask", ["entry", "path", "status", "verify"])
def test_an_unknown_name_gets_a_suggestion(store: ModelStore, ask: str) -> None:
    """A mistyped model name is the caller's mistake, and the nearest name is offered."""
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        getattr(store, ask)("tinny")


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"XDG_DATA_HOME": "/data", "HOME": "/home/rex"}, "/data/reflexarc/models"),
        ({"HOME": "/home/rex"}, "/home/rex/.local/share/reflexarc/models"),
        ({"XDG_DATA_HOME": "", "HOME": "/home/rex"}, "/home/rex/.local/share/reflexarc/models"),
        ({"XDG_DATA_HOME": "data", "HOME": "/home/rex"}, "/home/rex/.local/share/reflexarc/models"),
    ],
)
def test_the_store_follows_the_xdg_rules(environ: dict[str, str], root: str) -> None:
    """Models live in the XDG data directory, and a relative one is ignored as the rules say."""
    assert default_root(environ) == Path(root)


def test_find_gives_a_pulled_model(store: ModelStore) -> None:
    """A known name becomes its file, with the context the model was trained for."""
    path = put(store, TINY_BYTES)
    assert find("tiny", store) == LocalModel("tiny", path, 512)


@pytest.mark.parametrize("content", [None, TINY_BYTES[:40]], ids=["missing", "damaged"])
def test_find_refuses_what_is_not_whole(store: ModelStore, content: bytes | None) -> None:
    """A known model that is absent or cut short is unavailable, with the command that mends it."""
    if content:
        put(store, content)
    with pytest.raises(UnavailableError, match="reflexarc models pull tiny") as caught:
        find("tiny", store)
    assert (caught.value.model, caught.value.retryable) == ("tiny", False)


def test_find_takes_any_gguf_file(store: ModelStore, tmp_path: Path) -> None:
    """A path to a GGUF file is a model of its own name, of which nothing more is known."""
    path = tmp_path / "My Model.gguf"
    path.write_bytes(TINY_BYTES)
    assert find(str(path), store) == LocalModel("My Model", path, None)


@pytest.mark.parametrize(
    ("size", "treatment"), [(98_000_000, SMALL), (491_000_000, MEDIUM), (1_100_000_000, LARGE)]
)
def test_a_file_is_treated_by_its_size(
    store: ModelStore, tmp_path: Path, size: int, treatment: Treatment
) -> None:
    """Nothing else is known of a file: 135 million, half a billion, more than a billion."""
    path = tmp_path / "mine.gguf"
    path.write_bytes(TINY_BYTES)
    os.truncate(path, size)
    assert find(str(path), store).treatment == treatment


def test_find_expands_the_home_directory(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path may begin with ~, as configurations of people do."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.gguf").write_bytes(TINY_BYTES)
    assert find("~/mine.gguf", store).path == tmp_path / "mine.gguf"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.gguf", None, "Cannot read the model file .*none.gguf: No such file"),
        ("web.gguf", b"<!doctype html>", "is not a GGUF model file"),
        ("empty.gguf", b"", "is not a GGUF model file"),
    ],
)
def test_find_refuses_a_path_that_is_no_model(
    store: ModelStore, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    """A path that cannot be read, or is something else, is the caller's mistake and says which."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        find(str(tmp_path / name), store)


def test_find_lists_what_is_known(store: ModelStore) -> None:
    """A name that resembles nothing gets the list of known models."""
    two = ModelStore(store.root, {"tiny": store.entry("tiny"), "big": replace(store.entry("tiny"))})
    with pytest.raises(ConfigError, match="choose one of big, tiny"):
        find("gpt-9", two)
