"""What an OM1 checkout gets: files of its own, and a few lines in files that it has."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from typing import cast

from reflexarc.errors import ConfigError
from reflexarc.om1.checkout import PLUGINS, TESTS, Checkout
from reflexarc.om1.examples import BRAINS, render_example
from reflexarc.om1.plugins import INSTALLED, render, render_tests
from reflexarc.packages import NAME, source
from reflexarc.types import as_object

EXTRAS = "llama,mistral,onboard"

_PAGE = "developing/mistral_and_llama"
_NEIGHBOUR = "developing/5_llms"
_PAGES_ROOTS = ("docs", "mintlify")  # the second holds copies of the first
_HEAD = '---\ntitle: {title}\ndescription: "Mistral and Llama as cortex LLM"\n---\n'

_KEYS = {
    "MISTRAL_API_KEY": "# Key for Mistral's own server, https://console.mistral.ai (MistralLLM)",
    "LLAMA_API_KEY": (
        "# Key of a Llama server, where it wants one (LlamaLLM); write it into the configuration\n"
        '# as "api_key": "${LLAMA_API_KEY}"'
    ),
}


def created(checkout: Checkout) -> dict[str, bytes]:
    """The files that are ours.

    Parameters
    ----------
    checkout : Checkout
        For which they are written.

    Returns
    -------
    dict of str to bytes
        By their path below the checkout.
    """
    generation, avatar = checkout.generation, checkout.avatar
    files = {
        f"{PLUGINS}/{brain.stem}.py": render(brain, generation, avatar=avatar)
        for brain in INSTALLED
    }
    files |= {f"config/{name}.json5": render_example(name, generation) for name in BRAINS}
    if checkout.tests:
        files |= {f"{TESTS}/{name}": text for name, text in render_tests(generation).items()}
    for root in _PAGES_ROOTS:
        for suffix in (".mdx", ".md"):
            neighbour = checkout.root / root / f"{_NEIGHBOUR}{suffix}"
            if neighbour.is_file():
                text = _page(has_head=neighbour.read_bytes().startswith(b"---"))
                files[f"{root}/{_PAGE}{suffix}"] = text
    return {name: text.encode() for name, text in files.items()}


def _page(*, has_head: bool) -> str:
    text = resources.files("reflexarc.om1").joinpath("templates", "page.txt").read_text("utf-8")
    title, _, rest = text.partition("\n")
    return _HEAD.format(title=title.removeprefix("# ")) + rest if has_head else text


@dataclass(frozen=True, slots=True)
class Insertion:
    """A text for a file of OM1's.

    Parameters
    ----------
    files : tuple of str
        Where it belongs; the first that exists gets it.
    find : callable
        Given what the file holds: where to insert, and what; no text where the file has it
        already, or no place for it. ValueError where there should be one.
    check : callable or None, default None
        Raises ValueError if what the file then holds is not right.
    """

    files: tuple[str, ...]
    find: Callable[[str], tuple[int, str]]
    check: Callable[[str], object] | None = None

    def into(self, before: bytes, path: str) -> tuple[bytes, str]:
        """Insert it.

        Parameters
        ----------
        before : bytes
            What the file holds.
        path : str
            Its name, for messages.

        Returns
        -------
        tuple of bytes and str
            What the file holds then, and the inserted text with the file's own line ends.

        Raises
        ------
        ConfigError
            If the file is written in a way that this is not made for.
        """
        try:
            whole = before.decode()
            at, text = self.find(whole)
            text = text.replace("\n", "\r\n" if "\r\n" in whole else "\n")
            after = whole[:at] + text + whole[at:]
            if text and self.check:
                self.check(after)
        except ValueError as error:
            raise ConfigError(f"nothing can be added to this file: {error}", path=path) from error
        return after.encode(), text


def requirement() -> str:
    """What a checkout has to ask for, so that its installer finds this reflexarc.

    Returns
    -------
    str
        The place that it was installed from, as OM1 names its own modules; the version alone where
        that is an index. With a marker, since OM1's own dependencies allow Python 3.10, where we do
        not run.
    """
    url = source()
    wanted = f">={version(NAME)}" if url is None else f" @ {url} "
    return f"{NAME}[{EXTRAS}]{wanted}; python_version >= '3.11'"


def _dependency(whole: str) -> tuple[int, str]:
    """At the end of the project's dependencies, else at their beginning."""
    before = _dependencies(whole)
    if any(re.match(r"reflexarc\b", each) for each in before):
        return 0, ""
    ours = requirement()
    for opening in re.finditer(r"^dependencies[ \t]*=[ \t]*\[", whole, re.MULTILINE):
        end = re.compile(r"^\]", re.MULTILINE).search(whole, opening.end())
        last = [(end.start(), f'    "{ours}",\n')] if end else []
        for at, text in (*last, (opening.end(), f'\n    "{ours}",')):
            if sorted(_dependencies(whole[:at] + text + whole[at:])) == sorted([*before, ours]):
                return at, text
    raise ValueError(f'add "{ours}" to the dependencies of its [project] by hand')


def _dependencies(whole: str) -> list[str]:
    try:
        project = as_object(tomllib.loads(whole).get("project")) or {}
    except tomllib.TOMLDecodeError:
        return []
    found = project.get("dependencies")
    return list(map(str, cast("list[object]", found))) if isinstance(found, list) else []


def _keys(whole: str) -> tuple[int, str]:
    wanted = [
        f"\n{about}\n{name}=\n"
        for name, about in _KEYS.items()
        if not re.search(rf"^[ \t]*#?[ \t]*(?:export[ \t]+)?{name}[ \t]*=", whole, re.MULTILINE)
    ]
    ending = "\n" if wanted and whole and not whole.endswith("\n") else ""
    return len(whole), ending + "".join(wanted)


def _navigation(whole: str) -> tuple[int, str]:
    """Before OM1's own page, so that no comma is needed elsewhere."""
    found = re.search(rf'^([ \t]*)"{_NEIGHBOUR}"', whole, re.MULTILINE)
    if found is None or f'"{_PAGE}"' in whole:
        return 0, ""
    return found.start(), f'{found[1]}"{_PAGE}",\n'


def _summary(whole: str) -> tuple[int, str]:
    """Behind OM1's own page."""
    line = rf"^([ \t]*[*-][ \t]+)\[[^\]\n]*\]\({_NEIGHBOUR}(\.mdx?)\)[^\n]*(\n|\Z)"
    found = re.search(line, whole, re.MULTILINE)
    if found is None or _PAGE in whole:
        return 0, ""
    entry = f"{found[1]}[Mistral and Llama]({_PAGE}{found[2]})"
    return found.end(), f"{entry}\n" if found[3] else f"\n{entry}"


INSERTED = (
    Insertion(("pyproject.toml",), _dependency),
    Insertion(("env.example", ".env.example"), _keys),
    Insertion(("mintlify/docs.json",), _navigation, json.loads),
    Insertion(("docs/SUMMARY.md",), _summary),
)
"""In OM1's own files."""
