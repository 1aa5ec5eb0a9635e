"""OM1's later generation, with our plugins in it, beside the first one that `src` has."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reflexarc.om1.plugins import BRAINS, render

GENERATION_B = Path(__file__).parent / "generation_b" / "src"
OF_OM1 = ("llm", "providers")

# It has the names of what `src` has, and is imported from a copy.
collect_ignore = ["generation_b"]


@contextmanager
def imported_from(root: Path) -> Iterator[None]:
    """Import OM1's packages from a folder, and have the others back at the end."""

    def taken() -> dict[str, Any]:
        return {
            name: sys.modules.pop(name)
            for name in list(sys.modules)
            if name.partition(".")[0] in OF_OM1
        }

    kept = taken()
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        taken()
        sys.modules.update(kept)


@pytest.fixture(scope="session")
def generation_b(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Its package ``llm``, every plugin by name, and what the avatar was told."""
    root = tmp_path_factory.mktemp("om1") / "src"
    shutil.copytree(GENERATION_B, root)
    for brain in BRAINS:
        path = root / "llm" / "plugins" / f"{brain.stem}.py"
        path.write_text(render(brain, "B", avatar=True), encoding="utf-8")
    with imported_from(root):
        llm = importlib.import_module("llm")
        return SimpleNamespace(
            root=root,
            llm=llm,
            loaded=llm.load_llm(
                {"type": "LlamaLLM", "config": {"base_url": "http://127.0.0.1:9", "model": "m"}}
            ),
            plugins={brain.name: llm.get_llm_class(brain.name) for brain in BRAINS},
            configs={
                brain.name: getattr(
                    importlib.import_module(f"llm.plugins.{brain.stem}"),
                    f"{brain.name.removesuffix('LLM')}Config",
                )
                for brain in BRAINS
            },
            output=importlib.import_module("llm.output_model"),
            shown=importlib.import_module("providers.avatar_llm_state_provider").SHOWN,
        )
