"""Our plugins put into a checkout of OM1, and taken out again."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from reflexarc.errors import ConfigError
from reflexarc.om1 import additions
from reflexarc.om1.edits import apply
from reflexarc.om1.install import Plan, plan_install, plan_removal
from reflexarc.om1.manifest import MANIFEST, digest
from reflexarc.om1.plugins import INSTALLED, Generation
from reflexarc.onboard.models import MODELS
from tests.om1.stand_ins import PYPROJECT, SUMMARY, commit, contents, git, stand_in, write

HERE = version("reflexarc")
REQUIREMENT = additions.requirement()
PLUGINS = [f"src/llm/plugins/{brain.stem}.py" for brain in INSTALLED]
TESTS = [
    f"tests/llm/plugins/{name}.py"
    for name in (
        "asking",
        "test_llama_llm",
        "test_mistral_and_llama",
        "test_mistral_and_llama_actions",
        "test_mistral_llm",
    )
]
CONFIGS = [f"config/spot_{name}.json5" for name in ("mistral", "llama", "onboard", "failover")]
RUFF = Path(sys.executable).with_name("ruff")
OM1S_RULES = ["--select", "E,F,I,D", "--config", 'lint.pydocstyle.convention="numpy"']
OM1S_EXCEPTIONS = ["--ignore", "E203,E501,D100,D104,D200,D205,D401,D404"]


def install(root: Path) -> Plan:
    """Put them in."""
    plan = plan_install(root)
    apply(plan.root, plan.edits)
    return plan


def remove(root: Path) -> Plan:
    """Take them out."""
    plan = plan_removal(root)
    apply(plan.root, plan.edits)
    return plan


def refused(plan: Any, root: Path) -> str:
    """Why it is not done, without a change."""
    before = contents(root)
    with pytest.raises(ConfigError) as caught:
        plan(root)
    assert contents(root) == before
    return caught.value.message


def dependencies(root: Path) -> list[str]:
    """What the project asks for."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("git", [False, True])
def test_removing_restores_byte_for_byte(
    tmp_path: Path, generation: Generation, newline: str, git: bool
) -> None:
    """After an install and a removal, a checkout is as it was, whatever its line ends are."""
    root = stand_in(tmp_path, generation, newline=newline, git=git)
    before = contents(root)
    assert install(root).is_checked is git
    assert contents(root) != before
    remove(root)
    assert contents(root) == before


@pytest.mark.parametrize("generation", ["A", "B"])
def test_nothing_is_changed_but_by_insertion(tmp_path: Path, generation: Generation) -> None:
    """No file of OM1's loses a byte, and its lock is left alone."""
    root = stand_in(tmp_path, generation, newline="\r\n")
    before = contents(root)
    plan = install(root)
    for name, (content, mode) in contents(root).items():
        if name in before:
            assert mode == before[name][1]
            lines = iter(content.splitlines())
            assert all(line in lines for line in before[name][0].splitlines())
            assert b"\n" not in content.replace(b"\r\n", b"")
    inserted = {edit.path for edit in plan.edits if plan.change(edit) == "inserted"}
    assert (
        inserted
        == {
            "A": {"pyproject.toml", "env.example", "mintlify/docs.json"},
            "B": {"pyproject.toml", ".env.example", "docs/SUMMARY.md"},
        }[generation]
    )


def test_what_is_installed(tmp_path: Path) -> None:
    """A checkout gets plugins, robots, tests, a page, names of keys, and a dependency."""
    root = stand_in(tmp_path)
    plan = install(root)
    pages = [f"{place}/developing/mistral_and_llama.mdx" for place in ("docs", "mintlify")]
    made = [edit.path for edit in plan.edits if plan.change(edit) == "created"]
    assert made == [MANIFEST, *PLUGINS, *CONFIGS, *TESTS, *pages]
    assert dependencies(root)[-1] == REQUIREMENT
    assert dependencies(root)[:-1] == tomllib.loads(PYPROJECT)["project"]["dependencies"]
    assert (root / pages[0]).read_text().startswith("---\ntitle: Mistral and Llama\n")
    navigation = json.loads((root / "mintlify/docs.json").read_text())["navigation"]
    entries = ["4_inputs", "mistral_and_llama", "5_llms"]
    assert navigation[0]["pages"] == [f"developing/{name}" for name in entries]
    variables = (root / "env.example").read_text()
    assert variables.startswith("# Key of OpenMind\nOM_API_KEY=\nURID=\n\n# Key for Mistral")
    assert re.findall(r"^(\w+)=$", variables, re.MULTILINE)[2:] == [
        "MISTRAL_API_KEY",
        "LLAMA_API_KEY",
    ]


def test_a_page_of_plain_markdown_goes_into_the_summary(tmp_path: Path) -> None:
    """Where OM1's pages have no front matter, ours has a heading, and stands behind OM1's own."""
    root = stand_in(tmp_path, "B")
    install(root)
    assert (root / "docs/developing/mistral_and_llama.md").read_text().startswith("# Mistral and")
    ours = "* [Mistral and Llama](developing/mistral_and_llama.md)\n"
    expected = SUMMARY.replace("* [Actions]", f"{ours}* [Actions]")
    assert (root / "docs/SUMMARY.md").read_text() == expected


def test_the_page_has_the_commands_that_install_names(tmp_path: Path) -> None:
    """What it tells to type is what works there, and it is as long to wait for as it says."""
    root = stand_in(tmp_path)
    install(root)
    page = (root / "docs/developing/mistral_and_llama.mdx").read_text()
    assert "\nuv sync\n" in page
    assert {line for line in page.splitlines() if line.startswith("uv ")} >= {
        "uv sync",
        "uv run src/run.py spot_mistral",
        "uv run src/run.py spot_llama",
    }
    fetched_mb = math.ceil(sum(entry.wheel_bytes for entry in MODELS.values()) / 1e6)
    assert f"the model on board, {fetched_mb} MB" in page


@pytest.mark.parametrize(("generation", "avatar"), [("A", False), ("B", False), ("B", True)])
def test_plugins_meet_om1s_standards(tmp_path: Path, generation: Generation, avatar: bool) -> None:
    """The installed Python passes the lint and the format that OM1's own CI asks for."""
    root = stand_in(tmp_path, generation, avatar=avatar)
    install(root)
    for command in (
        [RUFF, "check", "--isolated", *OM1S_RULES, *OM1S_EXCEPTIONS, *PLUGINS, *TESTS],
        [RUFF, "format", "--check", "--isolated", "--line-length", "88", *PLUGINS, *TESTS],
    ):
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    """What is installed is not installed twice, be it committed or not."""
    root = stand_in(tmp_path, git=True)
    install(root)
    again = plan_install(root)
    assert (again.edits, again.version) == ((), HERE)
    commit(root)
    assert plan_install(root).edits == ()


def aged(root: Path) -> None:
    """Make an install one of an earlier version, with other texts and one file that is gone now."""
    manifest = json.loads((root / MANIFEST).read_text())
    manifest["version"] = "0.0.1"
    for name in (PLUGINS[0], "config/spot_first.json5"):
        write(root / name, "# Once.\n")
        manifest["created"][name] = digest(b"# Once.\n")
    for name, each in manifest["inserted"].items():
        text = (root / name).read_text()
        older = each["text"].replace(REQUIREMENT, "reflexarc>=0.0.1").replace("# Key", "# A key")
        assert text.count(each["text"]) == 1
        write(root / name, text.replace(each["text"], older))
        each["text"] = older
    write(root / MANIFEST, json.dumps(manifest))


def test_a_newer_version_replaces_an_older_one(tmp_path: Path) -> None:
    """The old texts go, the new ones come, and a removal still restores what was there first."""
    root = stand_in(tmp_path, git=True)
    before = contents(root)
    install(root)
    fresh = contents(root)
    aged(root)
    plan = install(root)
    assert plan.version == "0.0.1"
    assert {edit.path: plan.change(edit) for edit in plan.edits} == {
        MANIFEST: "replaced",
        PLUGINS[0]: "replaced",
        "config/spot_first.json5": "deleted",
        "pyproject.toml": "inserted",
        "env.example": "inserted",
    }
    assert contents(root) == fresh
    remove(root)
    assert contents(root) == before


@pytest.mark.parametrize("plan", [plan_install, plan_removal])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (PLUGINS[0], "class MistralLLM", "class  MistralLLM"),
        (CONFIGS[2], "sit", "sit down"),
        (TESTS[0], "each_plugin", "every_plugin"),
        ("pyproject.toml", "reflexarc[llama,mistral,onboard]", "reflexarc[mistral]"),
        ("env.example", "MISTRAL_API_KEY=", "MISTRAL_API_KEY=abc"),
    ],
)
def test_what_somebody_edited_is_not_lost(
    tmp_path: Path, plan: Any, name: str, old: str, new: str
) -> None:
    """An edited text of ours is neither removed nor replaced; its file is named."""
    root = stand_in(tmp_path)
    install(root)
    write(root / name, (root / name).read_text().replace(old, new))
    assert f"edited since they were installed: {name};" in refused(plan, root)


def test_what_others_wrote_beside_ours_stays(tmp_path: Path) -> None:
    """A removal takes out our text and nothing else, wherever the file has grown since."""
    root = stand_in(tmp_path)
    before = contents(root)
    install(root)
    for name in ("pyproject.toml", "env.example"):
        write(root / name, f"# First.\n{(root / name).read_text()}# Last.\n")
    remove(root)
    for name in ("pyproject.toml", "env.example"):
        assert (root / name).read_bytes() == b"# First.\n" + before[name][0] + b"# Last.\n"


def test_what_is_gone_already_needs_no_removal(tmp_path: Path) -> None:
    """A file of ours that was deleted, or one of OM1's that was set back, is in nobody's way."""
    root = stand_in(tmp_path, git=True)
    before = contents(root)
    install(root)
    (root / PLUGINS[0]).unlink()
    git(root, "checkout", "--quiet", "pyproject.toml")
    remove(root)
    assert contents(root) == before


def test_removing_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """A second removal says that there is nothing to remove."""
    assert "nothing of reflexarc is installed" in refused(plan_removal, stand_in(tmp_path))


def test_changes_that_are_not_committed_are_refused(tmp_path: Path) -> None:
    """What somebody works on is not mixed with what we write."""
    root = stand_in(tmp_path, git=True)
    write(root / "README.md", "changed")
    assert "not committed: README.md; commit or stash" in refused(plan_install, root)


def test_changes_beside_ours_are_refused(tmp_path: Path) -> None:
    """After an install, our own insertions are no changes, but another line beside them is."""
    root = stand_in(tmp_path, git=True)
    install(root)
    write(root / "env.example", f"{(root / 'env.example').read_text()}MORE=\n")
    assert "not committed: env.example;" in refused(plan_install, root)


def test_line_ends_that_git_changes_are_no_changes(tmp_path: Path) -> None:
    """A checkout with line ends of another system than its commits can be installed into twice."""
    root = stand_in(tmp_path, newline="\r\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "core.autocrlf", "true")
    git(tmp_path, "-c", "core.autocrlf=true", "-c", "core.safecrlf=false", "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "A state of it")
    install(root)
    assert plan_install(root).edits == ()


@pytest.mark.parametrize(
    "name",
    [PLUGINS[1], CONFIGS[0], "docs/developing/mistral_and_llama.mdx", "config/spot_llama.json5"],
)
def test_a_file_of_that_name_is_refused(tmp_path: Path, name: str) -> None:
    """What somebody else has written under a name of ours is not overwritten."""
    write(stand_in(tmp_path) / name, "Somebody's.\n")
    message = refused(plan_install, tmp_path)
    assert "not ours" in message
    assert name in message


def test_many_files_are_not_all_named(tmp_path: Path) -> None:
    """A message stays one that can be read."""
    stand_in(tmp_path)
    for name in (*PLUGINS, *CONFIGS):
        write(tmp_path / name, "Somebody's.\n")
    assert " and 3 more; rename" in refused(plan_install, tmp_path)


def test_another_plugin_of_that_class_is_refused(tmp_path: Path) -> None:
    """OM1 would load one of the two, and nobody could tell which."""
    write(stand_in(tmp_path) / "src/llm/plugins/mine.py", "class LlamaLLM(LLM):\n    pass\n")
    message = refused(plan_install, tmp_path)
    assert "src/llm/plugins/mine.py: it defines LlamaLLM as well" in message


def test_a_link_out_of_the_checkout_is_refused(tmp_path: Path) -> None:
    """A folder that stands elsewhere is not written to."""
    root = stand_in(tmp_path / "om1")
    elsewhere = tmp_path / "config"
    (root / "config").rename(elsewhere)
    (root / "config").symlink_to(elsewhere)
    assert "a symbolic link" in refused(plan_install, root)
    assert [path.name for path in elsewhere.iterdir()] == ["spot.json5"]


def test_a_dangling_link_is_no_free_name(tmp_path: Path) -> None:
    """A link of one of our names that leads nowhere is not written through."""
    root = stand_in(tmp_path / "om1")
    (root / PLUGINS[0]).symlink_to(tmp_path / "nowhere")
    assert "not ours" in refused(plan_install, root)


def test_keys_that_are_there_are_not_added(tmp_path: Path) -> None:
    """A checkout that names a key already keeps its line, and gets the other."""
    root = stand_in(tmp_path)
    write(root / "env.example", "# MISTRAL_API_KEY=\n")
    install(root)
    text = (root / "env.example").read_text()
    assert (text.count("MISTRAL_API_KEY"), text.count("\nLLAMA_API_KEY=\n")) == (1, 1)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ('[\n    "a",\n    "b",\n]', ["a", "b", REQUIREMENT]),
        ('[\n    "a",\n    "b"\n]', [REQUIREMENT, "a", "b"]),
        ('[\n    "a", # ]\n    "b", # last\n]', ["a", "b", REQUIREMENT]),
        ('["a", "b"]', [REQUIREMENT, "a", "b"]),
        ("[]", [REQUIREMENT]),
        ("[\n]", [REQUIREMENT]),
        ('["reflexarc>=0.0.1", "a"]', ["reflexarc>=0.0.1", "a"]),
    ],
)
def test_the_dependency_is_one_more(tmp_path: Path, listed: str, expected: list[str]) -> None:
    """However a project lists what it needs, ours is added once and the others stay."""
    root = stand_in(tmp_path)
    text = f'[project]\nname = "om1"\ndependencies = {listed}\n\n[tool.uv]\ndev = [\n    "c",\n]\n'
    write(root / "pyproject.toml", text)
    install(root)
    assert dependencies(root) == expected
    remove(root)
    assert (root / "pyproject.toml").read_text() == text


@pytest.mark.parametrize(
    "place",
    [None, "file:///home/you/a%20folder", "git+https://example.org/reflexarc@0123456"],
)
def test_the_dependency_is_one_that_is_found(
    tmp_path: Path, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names where reflexarc is; by its version alone, only where it came from an index.

    Else neither OM1's robots nor its CI can be started any more, and whoever registers the name
    there is run on them.
    """
    monkeypatch.setattr(additions, "source", lambda: place)
    root = stand_in(tmp_path)
    install(root)
    *_, text = dependencies(root)
    asked = Requirement(text)
    assert (asked.name, asked.extras) == ("reflexarc", {"llama", "mistral", "onboard"})
    assert (asked.url, str(asked.specifier)) == (place, "" if place else f">={HERE}")
    assert asked.marker is not None
    assert [asked.marker.evaluate({"python_version": each}) for each in ("3.10", "3.12")] == [
        False,
        True,
    ]
    remove(root)
    assert (root / "pyproject.toml").read_text() == PYPROJECT


def test_a_lock_that_uv_has_written_is_no_hindrance(tmp_path: Path) -> None:
    """An update of ours is not refused for what our own dependency has brought."""
    root = stand_in(tmp_path, git=True)
    write(root / "uv.lock", "version = 2\n")
    assert "not committed: uv.lock" in refused(plan_install, root)
    git(root, "checkout", "--quiet", "uv.lock")
    install(root)
    write(root / "uv.lock", "version = 2\n")
    assert not plan_install(root).edits


@pytest.mark.parametrize(
    "text",
    [
        '[project]\nname = "om1"\ndynamic = ["dependencies"]\n',
        '[project]\nname = "om1"\n\n[tool.x]\ndependencies = [\n    "a",\n]\n',
        'project = { name = "om1", dependencies = ["a"] }\n',
    ],
)
def test_a_project_without_a_list_is_refused(tmp_path: Path, text: str) -> None:
    """Where the dependency has no place, the message has the line to add by hand."""
    write(stand_in(tmp_path) / "pyproject.toml", text)
    assert "by hand" in refused(plan_install, tmp_path)


def test_a_checkout_without_docs_gets_no_page(tmp_path: Path) -> None:
    """What is not there is not needed."""
    root = stand_in(tmp_path)
    for name in ("docs/developing/5_llms.mdx", "mintlify/developing/5_llms.mdx", "env.example"):
        (root / name).unlink()
    write(root / "mintlify/docs.json", "{}\n")
    made = {edit.path for edit in install(root).edits}
    assert made == {MANIFEST, *PLUGINS, *CONFIGS, *TESTS, "pyproject.toml"}


def test_a_checkout_without_tests_gets_none(tmp_path: Path) -> None:
    """Where OM1's tests were taken out, as in an image for a robot, ours are not put in."""
    root = stand_in(tmp_path)
    shutil.rmtree(root / "tests")
    install(root)
    assert not (root / "tests").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"created": {"../outside.txt": "0"}},
        {"created": {"/etc/passwd": "0"}},
        {"created": {".git/config": "0"}},
        {"created": {"": "0"}},
        {"created": []},
        {"inserted": {"README.md": {"text": "", "before": "0"}}},
        {"inserted": {"README.md": "text"}},
        {"inserted": None},
        {"version": None, "created": None},
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """A file that came with somebody's checkout makes us delete nothing elsewhere."""
    root = stand_in(tmp_path)
    install(root)
    manifest = json.loads((root / MANIFEST).read_text())
    write(root / MANIFEST, json.dumps({**manifest, **change}))
    assert "no manifest of an install" in refused(plan_removal, root)


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """A damaged one is told as such."""
    write(stand_in(tmp_path) / MANIFEST, "{")
    assert "no manifest of an install" in refused(plan_install, tmp_path)


def test_an_interrupted_install_can_be_removed(tmp_path: Path) -> None:
    """The manifest is written first, so whatever came after it is known."""
    root = stand_in(tmp_path)
    before = contents(root)
    plan = plan_install(root)
    apply(root, plan.edits[:3])
    remove(root)
    assert contents(root) == before
