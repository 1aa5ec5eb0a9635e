"""What is public is listed, documented, and documented truly."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, get_args

import pydantic
import pytest

import reflexarc

SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", re.DOTALL | re.MULTILINE)
ENTRY = re.compile(r"^([*\w][\w*, ]*?)(?: ?: (.*))?$", re.MULTILINE)
DEFAULT = re.compile(r"\bdefault:? (.+)$")


def modules() -> Iterator[ModuleType]:
    """Import the package and every public module in it."""
    yield reflexarc
    for found in pkgutil.walk_packages(reflexarc.__path__, "reflexarc."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield importlib.import_module(found.name)


def public_callables() -> Iterator[tuple[str, Callable[..., Any], list[object]]]:
    """Every public function, class and method, each with what it extends or overrides."""
    for module in modules():
        for name, member in list(vars(module).items()):
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(member) or inspect.isclass(member):
                yield f"{module.__name__}.{name}", member, list(getattr(member, "__mro__", ())[1:])
            if inspect.isclass(member):
                for method_name, method in list(vars(member).items()):
                    function = getattr(method, "__func__", method)
                    if not method_name.startswith("_") and inspect.isfunction(function):
                        above = [vars(base).get(method_name) for base in member.__mro__[1:]]
                        yield f"{module.__name__}.{name}.{method_name}", function, above


def parameters_of(member: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Say what a caller passes: no private names, and nothing that has a help text of its own."""
    if getattr(member, "_is_protocol", False):
        return {}
    try:
        parameters = inspect.signature(member, eval_str=True).parameters
    except ValueError:  # of a class that leaves its construction to Exception or object
        return {}
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name not in ("self", "cls")
        and not name.startswith("_")
        and not any(getattr(note, "help", None) for note in get_args(parameter.annotation))
    }


def documented(doc: str) -> dict[str, str]:
    """Parameter names of a NumPy docstring, each with what follows its colon."""
    section = SECTION.search(doc)
    return {
        name.strip().lstrip("*"): rest
        for names, rest in ENTRY.findall(section[1] if section else "")
        for name in names.split(",")
    }


def complaints(member: Callable[..., Any], above: Iterable[object] = ()) -> Iterator[str]:
    """What the docstring of one callable leaves out or gets wrong, each as a sentence."""
    doc = inspect.cleandoc(member.__doc__ or "")
    if not doc:
        yield "It has no docstring."
        return
    actual, told = parameters_of(member), documented(doc)
    # What is told by the class it extends, or the method it overrides, need not be told again.
    inherited = {name for base in above for name in documented(inspect.getdoc(base) or "")}
    for name in sorted(told.keys() - actual.keys()):
        yield f"Its docstring tells of {name}, which it does not take."
    # The one field of a value may be plain from the first line.
    is_value = dataclasses.is_dataclass(member) or is_model(member)
    if not (is_value and not told and len(actual) == 1):
        for name in sorted(actual.keys() - told.keys() - inherited):
            yield f"Its docstring does not tell of {name}."
    names = vars(inspect.getmodule(member))
    for name in sorted(told.keys() & actual.keys()):
        stated, default = DEFAULT.search(told[name]), actual[name].default
        if not stated or repr(default) == "<factory>":
            continue
        if default is inspect.Parameter.empty:
            yield f"{name} is said to have a default, but must be given."
        elif not same(stated[1], default, names):
            yield f"{name} is said to be {stated[1]} by default, but is {default!r}."


def is_model(member: object) -> bool:
    """Whether this is a pydantic model."""
    return inspect.isclass(member) and issubclass(member, pydantic.BaseModel)


def same(stated: str, default: object, names: dict[str, object]) -> bool:
    """Compare a default as written with the real one; prose may stand for None."""
    try:
        return bool(eval(stated.strip().strip("`").rstrip("."), names) == default)
    except (AttributeError, NameError, SyntaxError):
        return default is None


def test_all_lists_what_is_visible() -> None:
    """`reflexarc.__all__` is exactly what a reader of `dir(reflexarc)` may use."""
    visible = {
        name
        for name in dir(reflexarc)
        if not name.startswith("_")
        and name != "annotations"  # from __future__
        and not inspect.ismodule(getattr(reflexarc, name))
    }
    assert set(getattr(reflexarc, "__all__", ())) == visible


def test_every_public_name_has_a_docstring() -> None:
    """What `__all__` lists explains itself, unless it is a plain value or alias."""
    mute = [
        name
        for name in getattr(reflexarc, "__all__", ())
        if callable(member := getattr(reflexarc, name)) and not inspect.getdoc(member)
    ]
    assert not mute


@pytest.mark.parametrize(
    ("member", "above"),
    [pytest.param(member, above, id=name) for name, member, above in public_callables()],
)
def test_docstrings_are_true(member: Callable[..., Any], above: list[object]) -> None:
    """Parameters told are those taken, and defaults told are those used."""
    found = list(complaints(member, above))
    assert not found, " ".join(found)


def test_a_false_docstring_is_found() -> None:
    """The checker sees a missing name, a name too many and a wrong default."""

    def aim(angle: float, speed: float = 1.0, *, hold: bool = False) -> None:
        """Aim.

        Parameters
        ----------
        angle : float, default 0
            Degrees.
        speed : float, default 2
            Metres a second.
        force : float
            Newton.

        Notes
        -----
        hold : this is no parameter section.
        """

    assert sorted(complaints(aim)) == [
        "Its docstring does not tell of hold.",
        "Its docstring tells of force, which it does not take.",
        "angle is said to have a default, but must be given.",
        "speed is said to be 2 by default, but is 1.0.",
    ]
