"""Whether this machine has what a robot needs: packages, engine, model and keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from reflexarc.checks import check_key
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from reflexarc.packages import (
    USES,
    Requirement,
    install_command,
    installed_version,
    required_python,
    requirements,
)
from reflexarc.registry import PROVIDERS, find_llm

if TYPE_CHECKING:
    from reflexarc.providers.provider import Provider

State = Literal["ok", "missing", "wrong"]

_ENGINE = "xllamacpp"
_NEWER_PYTHON = "uv venv --python 3.13 && uv pip install reflexarc"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
        What.
    state : {"ok", "missing", "wrong"}
        ``wrong`` is here and will not work.
    message : str
        What was found, as a sentence; nothing of a key.
    remedy : str, default ""
        The command that mends it.
    is_needed : bool, default False
        Whether nothing works without it.
    """

    name: str
    state: State
    message: str
    remedy: str = ""
    is_needed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The check as one JSON object."""
        return {
            "event": "check",
            "name": self.name,
            "state": self.state,
            "message": self.message,
            "remedy": self.remedy,
            "needed": self.is_needed,
        }


def examine(
    environ: Mapping[str, str],
    *,
    python: Sequence[int] = sys.version_info[:3],
    version_of: Callable[[str], str | None] = installed_version,
) -> Iterator[Check]:
    """Look at this machine; nothing is changed, loaded from an extra, or sent.

    Parameters
    ----------
    environ : mapping of str to str
        Where keys are looked up, and where the models on board are.
    python : sequence of int, default sys.version_info[:3]
        The interpreter's version.
    version_of : callable, default installed_version
        Version of the package of a name, or None where it is not installed.

    Yields
    ------
    Check
    """
    required = requirements()
    core = [_python(python), *(_core(each, version_of) for each in required if not each.extra)]
    yield from core
    for extra in sorted({each.extra for each in required} - {""}):
        yield _extra(extra, [each for each in required if each.extra == extra], version_of)
    yield _engine()
    yield _model(environ)
    if all(check.state == "ok" for check in core):  # else their providers may not even load
        yield from _keys(environ)


def _python(python: Sequence[int]) -> Check:
    required, here = required_python(), ".".join(map(str, python))
    if required.allows(here):
        return Check("Python", "ok", f"Python {here}", is_needed=True)
    message = f"this is Python {here}, and reflexarc needs {required}"
    return Check("Python", "wrong", message, _NEWER_PYTHON, is_needed=True)


def _core(required: Requirement, version_of: Callable[[str], str | None]) -> Check:
    state, message = _found(required, version_of)
    if state == "missing":
        message += "; nothing works without it"
    remedy = "" if state == "ok" else install_command()
    return Check(required.name, state, message, remedy, is_needed=True)


def _extra(
    extra: str, required: Sequence[Requirement], version_of: Callable[[str], str | None]
) -> Check:
    found = [_found(each, version_of) for each in required]
    states = {its for its, _ in found}
    state: State = "wrong" if "wrong" in states else "missing" if "missing" in states else "ok"
    # What is right is not worth telling beside what is not.
    message = "; ".join(told for its, told in found if (its == "ok") == (state == "ok"))
    remedy = "" if state == "ok" else install_command(extra)
    return Check(f"reflexarc[{extra}]", state, message, remedy)


def _found(required: Requirement, version_of: Callable[[str], str | None]) -> tuple[State, str]:
    version = version_of(required.name)
    use = f"; {USES[required.name]}" if required.name in USES else ""
    if version is None:
        return "missing", f"{required} is not installed{use}"
    if not required.allows(version):
        return "wrong", f"{required.name} is {version}, and {required} is required{use}"
    return "ok", f"{required.name} {version}"


def _engine() -> Check:
    # Looked for, not loaded: that takes a quarter of a second and tens of megabytes.
    if find_spec(_ENGINE) is None:
        message = f"{_ENGINE}, the on-board engine, cannot be imported; {USES[_ENGINE]}"
        return Check("engine", "missing", message, install_command("onboard"))
    return Check("engine", "ok", f"{_ENGINE}, the on-board engine, is found")


def _model(environ: Mapping[str, str]) -> Check:
    """The language model; and its encoder, where that is all that is wrong."""
    store = ModelStore(default_root(environ))
    status = store.status(DEFAULT)
    encoder = store.entry(DEFAULT).encoder
    if status.state == "present" and encoder is not None:
        beside = store.status(encoder)
        status = status if beside.state == "present" else beside
    message, _, remedy = status.message.partition("; run: ")
    match status.state:
        case "present" | "intact":
            return Check("model", "ok", message)
        case "missing":
            return Check("model", "missing", f"{message}; OnboardLLM needs it", remedy)
        case "damaged":
            return Check("model", "wrong", message, remedy)


def _keys(environ: Mapping[str, str]) -> Iterator[Check]:
    for name in PROVIDERS:
        row: Provider | None = getattr(find_llm(name), "provider", None)
        variable = row.key_variable if row else None
        if variable is None:
            continue
        remedy = f"export {variable}='your key'"
        key = environ.get(variable)
        if not key:
            message = f"is not set; {name} needs it at its vendor's own server"
            yield Check(variable, "missing", message, remedy)
            continue
        try:
            check_key(SecretStr(key))
        except ValueError as error:
            yield Check(variable, "wrong", str(error), remedy)
        else:
            yield Check(variable, "ok", "is set; whether the vendor takes it is not checked")
