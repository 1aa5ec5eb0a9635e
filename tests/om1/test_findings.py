"""What is said about our plugins in a checkout."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from reflexarc.om1 import additions
from reflexarc.om1.edits import apply
from reflexarc.om1.findings import Finding, check, next_steps
from reflexarc.om1.install import plan_install
from reflexarc.om1.manifest import MANIFEST
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from tests.om1.stand_ins import stand_in, write

HERE = version("reflexarc")
GOOD = {
    "reflexarc": HERE,
    "aiohttp": "3.11.0",
    "json5": "0.10.0",
    "pydantic": "2.11.2",
    "mistralai": "3.0.0",
    "xllamacpp": "2026.10",
    "llama_api_client": "0.6.0",
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A key, and a place for models."""
    return {"XDG_DATA_HOME": str(tmp_path / "data"), "MISTRAL_API_KEY": "a secret"}


@pytest.fixture
def root(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A checkout in which everything is right."""
    root = stand_in(tmp_path / "om1")
    plan = plan_install(root)
    apply(plan.root, plan.edits)
    with_packages(root, **GOOD)
    model = ModelStore(default_root(environ))
    path = model.path(DEFAULT)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(model.entry(DEFAULT).file_bytes)
    return root


def with_packages(root: Path, **packages: str) -> None:
    """An environment of a checkout, as far as it is looked at."""
    write(root / ".venv/pyvenv.cfg", "version = 3.12.3\n")
    for name, number in packages.items():
        folder = root / f".venv/lib/python3.12/site-packages/{name}-1.dist-info"
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
        write(folder / "METADATA", text)


def without(root: Path, name: str) -> None:
    """Take a package out."""
    (root / f".venv/lib/python3.12/site-packages/{name}-1.dist-info/METADATA").unlink()


def wrong(root: Path, environ: dict[str, str]) -> list[Finding]:
    """What is found that is not right."""
    return [finding for finding in check(root, environ) if finding.level != "ok"]


def the_one(root: Path, environ: dict[str, str]) -> Finding:
    """The only thing that is not right."""
    (finding,) = wrong(root, environ)
    assert finding.do
    return finding


def test_all_is_right(root: Path, environ: dict[str, str]) -> None:
    """Where nothing is missing, everything that was looked at is told, and how it is known."""
    findings = list(check(root, environ))
    assert {finding.level for finding in findings} == {"ok"}
    told = " ".join(finding.what for finding in findings)
    for part in ("generation A", "LLM.__init__(output_model, config)", HERE, ".venv", DEFAULT):
        assert part in told


def test_looking_changes_nothing(root: Path, environ: dict[str, str]) -> None:
    """A check is one: files stay as they are, and no value of a key is told."""
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert "a secret" not in str(list(check(root, environ)))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_nothing_installed_is_a_problem(tmp_path: Path, environ: dict[str, str]) -> None:
    """The first thing to do is told, as a command."""
    found = wrong(stand_in(tmp_path / "o m1"), environ)[0]
    expected = f"reflexarc om1 install '{tmp_path}/o m1'"
    assert found == Finding("problem", "the plugins are not installed", expected)


def test_another_version_is_noted(root: Path, environ: dict[str, str]) -> None:
    """Plugins of an older version may be replaced."""
    manifest = json.loads((root / MANIFEST).read_text())
    write(root / MANIFEST, json.dumps({**manifest, "version": "0.0.1"}))
    found = the_one(root, environ)
    assert (found.level, "0.0.1" in found.what, HERE in found.what) == ("note", True, True)


def test_another_generation_is_a_problem(root: Path, environ: dict[str, str]) -> None:
    """A checkout that has moved on to the later contract needs other plugins."""
    manifest = json.loads((root / MANIFEST).read_text())
    write(root / MANIFEST, json.dumps({**manifest, "generation": "B"}))
    assert the_one(root, environ).level == "problem"


def test_edits_are_noted(root: Path, environ: dict[str, str]) -> None:
    """An edited plugin works, but is not removed."""
    path = root / "src/llm/plugins/llama_llm.py"
    write(path, path.read_text() + "# Mine.\n")
    found = the_one(root, environ)
    assert (found.level, "llama_llm.py was edited" in found.what) == ("note", True)


def test_a_plugin_that_is_gone_is_a_problem(root: Path, environ: dict[str, str]) -> None:
    """What was deleted is put back by installing again."""
    (root / "src/llm/plugins/llama_llm.py").unlink()
    found = the_one(root, environ)
    assert (found.level, "llama_llm.py is gone" in found.what) == ("problem", True)
    assert plan_install(root).edits


@pytest.mark.parametrize(
    ("package", "number", "level"),
    [
        ("aiohttp", "3.10.11", "problem"),
        ("json5", "0.9.28", "problem"),
        ("mistralai", "2.4.6", "problem"),
        ("mistralai", "1.9.0", "problem"),
        ("pydantic", "2.10.6", "problem"),
    ],
)
def test_packages_that_are_too_old_are_problems(
    root: Path, environ: dict[str, str], package: str, number: str, level: str
) -> None:
    """What OM1 has locked and what the plugins need are compared, package by package."""
    with_packages(root, **{package: number})
    found = the_one(root, environ)
    assert found.level == level
    assert f"{package} in .venv is {number}" in found.what


@pytest.mark.parametrize(
    ("package", "level", "plugin"),
    [
        ("reflexarc", "problem", ""),
        ("mistralai", "note", "MistralLLM"),
        ("xllamacpp", "note", "OnboardLLM"),
        ("llama_api_client", "note", "LlamaLLM"),
    ],
)
def test_packages_that_are_missing_are_told(
    root: Path, environ: dict[str, str], package: str, level: str, plugin: str
) -> None:
    """Without ours nothing works; without another one, one plugin does not."""
    without(root, package)
    found = the_one(root, environ)
    assert found.level == level
    assert plugin in found.what


def test_the_lock_is_looked_at_where_there_is_no_environment(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """Before the first `uv sync`, it is the lock that lacks us."""
    found = wrong(stand_in(tmp_path), environ)
    told = [(each.level, each.what) for each in found]
    assert ("problem", "reflexarc is not in uv.lock") in told
    older = "pydantic in uv.lock is 2.10.6, and mistralai needs 2.11.2 or newer"
    assert ("note", older) in told


def test_packages_may_not_be_known(tmp_path: Path, environ: dict[str, str]) -> None:
    """With neither environment nor lock, nothing is claimed."""
    root = stand_in(tmp_path)
    (root / "uv.lock").unlink()
    assert "packages are not known" in [
        each.what.partition(":")[0] for each in wrong(root, environ)
    ]


def test_an_old_python_is_a_problem(root: Path, environ: dict[str, str]) -> None:
    """OM1 allows Python 3.10, where our dependency would be left out without a word."""
    write(root / ".venv/pyvenv.cfg", "version = 3.10.14\n")
    found = the_one(root, environ)
    assert (found.level, "Python is 3.10" in found.what) == ("problem", True)
    assert "export UV_PYTHON=3.12" in next_steps(root)


@pytest.mark.parametrize(
    ("default", "hinders"),
    [
        ('String("")  # ignored', True),
        ('field(default_factory=lambda: String(""))', False),
        ("None", False),
    ],
)
def test_what_only_python_3_10_imports_is_a_problem(
    root: Path, environ: dict[str, str], default: str, hinders: bool
) -> None:
    """For some months OM1 had messages that no later Python imports."""
    path = write(root / "src/zenoh_msgs/idl/a.py", f"class A:\n    mode: String = {default}\n")
    found = wrong(root, environ)
    assert [finding.level for finding in found] == ["problem"] * hinders
    assert all(str(path.relative_to(root)) in finding.what for finding in found)


def test_a_key_and_a_model_may_be_missing(root: Path, environ: dict[str, str]) -> None:
    """Neither is needed by every robot, so both are notes."""
    found = wrong(root, {"XDG_DATA_HOME": str(root / "none")})
    assert [each.level for each in found] == ["note", "note"]
    assert ["MISTRAL_API_KEY" in found[0].what, DEFAULT in found[1].what] == [True, True]
    write(root / ".env", "MISTRAL_API_KEY=abc\n")
    assert len(wrong(root, {"XDG_DATA_HOME": str(root / "none")})) == 1
    assert environ


def test_the_next_steps_are_what_everybody_types(root: Path) -> None:
    """The dependency is found by itself, so there is nothing special about them."""
    assert next_steps(root) == [f"cd {root}", "uv sync", "uv run src/run.py spot_onboard"]


def test_a_place_that_has_moved_is_noted(
    root: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pyproject.toml asks for may be gone, and installing again mends that."""
    monkeypatch.setattr(additions, "source", lambda: "file:///elsewhere/reflexarc")
    found = the_one(root, environ)
    assert (found.level, "from another place" in found.what) == ("note", True)
    plan = plan_install(root)
    apply(plan.root, plan.edits)
    assert not wrong(root, environ)
