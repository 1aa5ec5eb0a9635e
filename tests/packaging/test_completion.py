"""Shell completion: bash by bash itself, zsh and fish by what they ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.cli import completion

ROOT = Path(__file__).parents[2]
ROBOTS = [f"config/spot_{brain}.json5" for brain in ("failover", "llama", "mistral", "onboard")]

# What is typed, and what is offered for its last word.
TYPED = {
    "reflexarc mod": ["models"],
    "reflexarc models pull s": ["smollm2-135m-instruct"],
    "reflexarc ask hello --config config/spot": ROBOTS,
    "reflexarc run no/such/": [],
}
BASH = """
eval "$(reflexarc --show-completion bash)"
[ "$(complete -p reflexarc)" = "complete -o default -F _reflexarc_completion reflexarc" ] || exit 1
while IFS= read -r line; do
    IFS=' ' read -ra COMP_WORDS <<< "$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _reflexarc_completion reflexarc
    echo "${COMPREPLY[*]}"
done
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with a command called reflexarc, which shells run by its name."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "reflexarc"
    script.write_text(f"#!{sys.executable}\nfrom reflexarc.cli import main\n\nmain()\n")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def run(*command: str, typed: str = "", **environ: str) -> str:
    """What a program prints, run in the root of the checkout."""
    known = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environ}
    done = subprocess.run(
        command, cwd=ROOT, env=known, input=typed, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes(path: str) -> None:
    """Commands, models and robots' files; and where there is none, bash offers files itself."""
    told = run("bash", "-c", BASH, typed="\n".join(TYPED) + "\n", PATH=path, SHELL="/bin/bash")
    assert [line.split() for line in told.splitlines()] == [*TYPED.values()]


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ("zsh", """_arguments '*: :(("decoder"))'"""),
        ("fish", "decoder"),
    ],
)
def test_zsh_and_fish_complete(path: str, shell: str, told: str) -> None:
    """They ask by variables of the environment, and are answered in their own form."""
    asked = {
        "_REFLEXARC_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "reflexarc bench de",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert run("reflexarc", PATH=path, **asked).strip() == told


def test_a_robot_is_found_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, one folder below, and in the folder that was typed; other files are none."""
    for name in ("a.json5", "b.txt", "robots/c.json5", "robots/deep/d.json5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert completion.robot("") == ["a.json5", "robots/c.json5"]
    assert completion.robot("robots/") == ["robots/c.json5", "robots/deep/d.json5"]
    assert completion.robot(f"{tmp_path}/a") == [f"{tmp_path}/a.json5"]


def test_a_brain_is_offered_as_json() -> None:
    """In the quotes that a shell wants around it."""
    assert """'{"type": "MistralLLM"}'""" in completion.brain("")
    assert completion.brain("x") == []
    assert completion.half("h") == ["held"]


def test_a_home_that_there_is_not_holds_no_robot() -> None:
    """The shell then offers what it finds itself."""
    assert completion.robot("~nobody-of-that-name/") == []
