"""What is said of a machine, and what mends it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reflexarc.machine import Check, examine
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from reflexarc.packages import installed_version, requirements

KEY = "sk-0123456789abcdef"
CORE = ["Python", "aiohttp", "json5", "pydantic"]
EXTRAS = ["cli", "llama", "metrics", "mistral", "onboard", "otel", "plot"]
VARIABLES = [
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "MISTRAL_API_KEY",
    "OPENAI_API_KEY",
    "XAI_API_KEY",
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A place for models, with none in it."""
    return {"XDG_DATA_HOME": str(tmp_path)}


def found(
    environ: dict[str, str],
    *,
    python: tuple[int, ...] = (3, 11, 2),
    version_of: Callable[[str], str | None] = installed_version,
) -> dict[str, Check]:
    """What is found, by name."""
    checks = list(examine(environ, python=python, version_of=version_of))
    named = {check.name: check for check in checks}
    assert len(named) == len(checks)
    assert all(check.message for check in checks)
    assert all(bool(check.remedy) == (check.state != "ok") for check in checks)
    return named


def test_everything_is_looked_at(environ: dict[str, str]) -> None:
    """Python, what the core needs, each extra, the engine, the model, and each vendor's key."""
    extras = [f"reflexarc[{extra}]" for extra in EXTRAS]
    checks = found(environ)
    assert list(checks) == [*CORE, *extras, "engine", "model", *VARIABLES]
    assert [name for name, check in checks.items() if check.is_needed] == CORE
    assert all(checks[name].state == "ok" for name in [*CORE, *extras, "engine"])


def test_the_core_alone_is_enough(environ: dict[str, str]) -> None:
    """Where nothing else is installed, each extra is missing, and its command told."""
    core = {each.name for each in requirements() if not each.extra}
    checks = found(
        environ, version_of=lambda name: installed_version(name) if name in core else None
    )
    assert all(check.state == "ok" for check in checks.values() if check.is_needed)
    for extra in EXTRAS:
        check = checks[f"reflexarc[{extra}]"]
        assert check.state == "missing"
        assert shlex.split(check.remedy)[-1].endswith(f"[{extra}]")
    mistral = checks["reflexarc[mistral]"].message
    assert "mistralai" in mistral
    assert "is not installed; MistralLLM needs it" in mistral


@pytest.mark.parametrize("version", ["1.9.0", "2.4.6"])
def test_an_old_package_is_wrong(environ: dict[str, str], version: str) -> None:
    """What is here in a version that will not do is told with the version, and what is required."""
    checks = found(
        environ,
        version_of=lambda name: version if name == "mistralai" else installed_version(name),
    )
    check = checks.pop("reflexarc[mistral]")
    assert (check.state, check.is_needed) == ("wrong", False)
    assert f"mistralai is {version}, and mistralai" in check.message
    assert all(check.state != "wrong" for check in checks.values())


def test_of_an_extra_only_what_is_not_right_is_told(environ: dict[str, str]) -> None:
    """One package of two is missing: the other is no news."""
    checks = found(
        environ, version_of=lambda name: None if name == "typer" else installed_version(name)
    )
    assert checks["reflexarc[cli]"].state == "missing"
    assert "rich" not in checks["reflexarc[cli]"].message


@pytest.mark.parametrize(("version", "state"), [(None, "missing"), ("2.9", "wrong")])
def test_what_the_core_needs_is_needed(
    environ: dict[str, str], version: str | None, state: str
) -> None:
    """Without it nothing works, so the providers are not asked for their keys either."""
    checks = found(
        environ,
        version_of=lambda name: version if name == "pydantic" else installed_version(name),
    )
    assert (checks["pydantic"].state, checks["pydantic"].is_needed) == (state, True)
    assert not checks.keys() & set(VARIABLES)


def test_an_old_python_is_wrong(environ: dict[str, str]) -> None:
    """The floor is that of the package."""
    check = found(environ, python=(3, 10, 14))["Python"]
    assert (check.state, check.is_needed) == ("wrong", True)
    assert "3.10.14, and reflexarc needs Python>=3.11" in check.message


def test_an_engine_that_cannot_be_imported_is_missing(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for where Python would find it, and not loaded."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    check = found(environ)["engine"]
    assert check.state == "missing"
    assert "onboard" in check.remedy


@pytest.mark.parametrize(
    ("content", "state"), [(None, "missing"), (b"GGUF", "wrong")], ids=["missing", "damaged"]
)
def test_a_model_that_is_not_whole_is_told(
    environ: dict[str, str], content: bytes | None, state: str
) -> None:
    """The command fetches it, and stands in no message twice."""
    path = ModelStore(default_root(environ)).path(DEFAULT)
    if content is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    check = found(environ)["model"]
    assert (check.state, check.remedy) == (state, f"reflexarc models pull {DEFAULT}")
    assert check.remedy not in check.message


def test_a_model_that_is_here_is_told(environ: dict[str, str]) -> None:
    """By its size; it is not read. Its encoder belongs to it."""
    store = ModelStore(default_root(environ))
    encoder = store.entry(DEFAULT).encoder
    assert encoder is not None
    for name in (DEFAULT, encoder):
        path = store.path(name)
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.truncate(store.entry(name).file_bytes)
        check = found(environ)["model"]
        if name == DEFAULT:
            assert (check.state, check.remedy) == ("missing", f"reflexarc models pull {encoder}")
    assert (check.state, str(store.path(DEFAULT)) in check.message) == ("ok", True)


@pytest.mark.parametrize(
    ("key", "state"),
    [(None, "missing"), ("", "missing"), (KEY, "ok"), (f"{KEY}\n", "wrong"), (f" {KEY}", "wrong")],
)
def test_a_key_is_set_or_not(environ: dict[str, str], key: str | None, state: str) -> None:
    """It is told whether it is there and can be one, and nothing of the key itself."""
    if key is not None:
        environ["MISTRAL_API_KEY"] = key
    checks = found(environ)
    check = checks["MISTRAL_API_KEY"]
    assert (check.state, check.is_needed) == (state, False)
    assert KEY not in str(checks)


def test_looking_changes_nothing(environ: dict[str, str]) -> None:
    """No place for models is made, and no environment read but what is handed in."""
    before = dict(os.environ)
    found(environ)
    assert not list(Path(environ["XDG_DATA_HOME"]).iterdir())
    assert dict(os.environ) == before


def test_a_check_is_one_object() -> None:
    """Programs read the same fields of each."""
    assert Check("engine", "missing", "not here", "mend it").to_dict() == {
        "event": "check", "name": "engine", "state": "missing", "message": "not here",
        "remedy": "mend it", "needed": False,
    }  # fmt: skip
