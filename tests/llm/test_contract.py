"""OM1's contract: what its runtime and its generic tests ask of the package and of every plugin."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import llm.plugins
from llm import LLM, LLMConfig, load_llm
from llm.output_model import CortexOutputModel
from reflexarc.om1.plugins import BRAINS, Brain, render

PLUGINS = sorted(Path(llm.plugins.__path__[0]).glob("*_llm.py"))
NAMES = [brain.name for brain in BRAINS]


class Dummy(BaseModel):
    """The output model OM1 tests with."""

    test_field: str


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files count as plugins as well, before the others."""
    monkeypatch.setattr(llm.plugins, "__path__", [str(tmp_path), *llm.plugins.__path__])
    for name in [name for name in sys.modules if name.startswith("llm.plugins.")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_settings_of_the_configuration_are_looked_up_by_name() -> None:
    """`config["x"]` finds OM1's fields, unknown fields, and then `extra_params`."""
    config = LLMConfig.model_validate({"transport": "http", "extra_params": {"seed": 7}})
    assert (config["timeout"], config["agent_name"]) == (10, "IRIS")
    assert (config["transport"], config["seed"]) == ("http", 7)
    with pytest.raises(KeyError):
        config["absent"]


def test_two_configurations_share_nothing() -> None:
    """What is added to one configuration does not appear in another."""
    LLMConfig().extra_params["seed"] = 7
    assert LLMConfig().extra_params == {}


def test_a_key_is_not_shown() -> None:
    """The text form of a configuration holds no key."""
    assert "s3cret" not in repr(LLMConfig(api_key="s3cret"))


async def test_the_base_class_answers_nothing() -> None:
    """The base class may be made without a configuration, and leaves `ask` to its heirs."""
    base = LLM(Dummy, None)
    assert base._config is None
    with pytest.raises(NotImplementedError):
        await base.ask("hello")


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_is_found_by_its_class(name: str) -> None:
    """`load_llm` gives the class itself."""
    found = load_llm(name)
    assert found.__name__ == name
    assert found.__module__ == f"llm.plugins.{name.removesuffix('LLM').lower()}_llm"
    assert LLM in found.__bases__


@pytest.mark.parametrize("name", ["NoLLM", "LLM", "Mistral", "R", "[LLM"])
def test_an_unknown_plugin_is_named(name: str) -> None:
    """What no plugin file defines is not found, and the message says what was asked for."""
    with pytest.raises(ValueError, match="not found"):
        load_llm(name)


@pytest.mark.parametrize(
    "source",
    ["import no_such_package\n", "class BrokenLLM(:\n", "raise RuntimeError\n", "\udcff"],
)
def test_a_broken_plugin_breaks_no_other(plugin_folder: Path, source: str) -> None:
    """Only the module that holds the class is imported, so the others may be broken."""
    (plugin_folder / "a_broken_llm.py").write_bytes(source.encode("utf-8", "surrogateescape"))
    assert load_llm("MistralLLM").__name__ == "MistralLLM"
    assert "llm.plugins.llama_llm" not in sys.modules


def test_a_class_that_is_no_plugin_is_passed_over(plugin_folder: Path) -> None:
    """A class of the right name that is no LLM does not hide the plugin."""
    (plugin_folder / "a_decoy.py").write_text("class MistralLLM(object):\n    pass\n")
    assert issubclass(load_llm("MistralLLM"), LLM)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("module", ["reflexarc.om1.cortex", "mistralai", "llama_api_client"])
def test_a_missing_package_breaks_no_import(
    name: str, module: str, plugin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin file is imported, as OM1 does with all of them, whatever is not installed."""
    monkeypatch.setitem(sys.modules, module, None)
    assert load_llm(name)


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_those_of_the_base(name: str) -> None:
    """OM1 compares the annotations of every plugin with those of its base class."""
    plugin = load_llm(name)
    assert set(plugin.__init__.__annotations__) == {"output_model", "config"}
    assert set(LLM.__init__.__annotations__) == {"output_model", "config"}
    assert set(plugin.ask.__annotations__) == {"prompt", "messages", "return"}
    assert set(LLM.ask.__annotations__) == {"prompt", "messages", "return"}


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_is_made_offline(name: str) -> None:
    """A plugin builds from OM1's plain configuration, which it keeps and does not change."""
    config = LLMConfig(base_url="http://test.com", api_key="test-key", model="test-model")
    before = config.model_copy(deep=True)
    plugin: Any = load_llm(name)(Dummy, config)
    assert plugin._config is config
    assert config == before
    assert plugin._output_model is Dummy
    key = None if name in ("OnboardLLM", "FailoverLLM") else "test-key"
    assert (plugin._client.base_url, plugin._client.api_key) == ("http://test.com", key)
    assert "test-key" not in repr(plugin._client)
    assert plugin._skip_state_management is False
    assert plugin.history_manager.client is plugin._client


@pytest.mark.parametrize("name", [name for name in NAMES if name != "OnboardLLM"])
@pytest.mark.parametrize("config", [None, LLMConfig(), LLMConfig(api_key="", base_url="")])
def test_without_key_and_server_a_plugin_is_not_made(name: str, config: LLMConfig | None) -> None:
    """The message is the one OM1's plugins have, with what to do."""
    with pytest.raises(ValueError, match="config file missing api_key"):
        load_llm(name)(CortexOutputModel, config)


@pytest.mark.parametrize("brain", BRAINS, ids=lambda brain: brain.stem)
def test_plugin_files_are_written_by_their_template(brain: Brain) -> None:
    """What two plugins share is written once; after a change run scripts/write_plugins.py."""
    path = Path(llm.plugins.__path__[0]) / f"{brain.stem}.py"
    assert path.read_text() == render(brain, "A")


def test_every_plugin_file_has_its_row() -> None:
    """No plugin beside those that the template writes."""
    assert [path.stem for path in PLUGINS] == sorted(brain.stem for brain in BRAINS)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_plugin_files_are_what_om1_reads(path: Path) -> None:
    """OM1 parses plugin files: one top-level class, directly of `LLM[R]`, and short."""
    source = path.read_text()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [ast.unparse(base) for each in classes for base in each.bases] == ["LLM[R]"]
    assert "-> None" not in source.partition("def __init__")[2].partition('"""')[0]
    assert len(source.splitlines()) < 60
