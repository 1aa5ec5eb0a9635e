"""Run a program of OM1's with an empty module in the place of each that is not installed.

    python examples/om1/without_drivers.py OM1/src/run.py spot_onboard

Only what OM1's own source imports is replaced: a class of such a module can be named and derived
from, and does nothing.
"""

from __future__ import annotations

import ast
import runpy
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from types import ModuleType


class Anything(type):
    """Has any attribute."""

    def __getattr__(cls, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class Nothing(metaclass=Anything):
    """What a missing module has under any name: made with anything, it is nothing."""

    def __class_getitem__(cls, item: object) -> type[Nothing]:
        return cls

    def __init__(self, *arguments: object, **settings: object) -> None: ...

    def __init_subclass__(cls, **settings: object) -> None: ...

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __call__(self, *arguments: object, **settings: object) -> Nothing:
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else Nothing()


class Empty(ModuleType):
    """A module without anything, in which any name can be found."""

    __path__ = ()

    def __getattr__(self, name: str) -> type[Nothing]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Nothing,), {})


class Missing(MetaPathFinder, Loader):
    """Asked last: finds what nobody else has found, among the names that it was given."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Whether the module is one to be empty."""
        return ModuleSpec(name, self) if name in self._names else None

    def create_module(self, spec: ModuleSpec) -> Empty:
        """An empty one."""
        print(f"empty: {spec.name}", flush=True)
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def imported(source: Path) -> set[str]:
    """The names of all modules that a source tree imports, with those above them."""
    names: set[str] = set()
    for file in source.rglob("*.py"):
        try:
            tree = ast.parse(file.read_bytes())
        except SyntaxError:  # a driver for a later Python
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {above for name in names for above in accumulate(name.split("."), "{}.{}".format)}


if __name__ == "__main__":
    program = Path(sys.argv[1]).resolve()
    sys.path[0] = str(program.parent)
    sys.meta_path.append(Missing(imported(program.parent)))
    del sys.argv[0]
    runpy.run_path(str(program), run_name="__main__")
