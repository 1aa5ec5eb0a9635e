"""Our plugins put into an OM1 checkout, and taken out again byte for byte.

Everything is a new file, or a text inserted into a file of OM1's, and a manifest in the checkout
says which. Both directions are therefore the same step: work out what each file should hold,
compare with what it holds, and write what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from reflexarc.errors import ConfigError
from reflexarc.om1.additions import INSERTED, created
from reflexarc.om1.checkout import (
    PLUGINS,
    Checkout,
    changed_files,
    committed,
    defining,
    read_checkout,
)
from reflexarc.om1.edits import Contents, Edit, edits_to, read
from reflexarc.om1.manifest import MANIFEST, Inserted, Manifest, digest, read_manifest
from reflexarc.om1.plugins import INSTALLED

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to a checkout.

    Parameters
    ----------
    root : Path
        The checkout.
    edits : tuple of Edit
        None where everything is as it should be.
    inserted, restored : frozenset of str
        The files of OM1's that hold a text of ours then, and those that no longer do.
    version : str or None
        The version of reflexarc that was installed before; None where nothing was.
    is_checked : bool
        Whether git could tell that the checkout has no other changes.
    """

    root: Path
    edits: tuple[Edit, ...]
    inserted: frozenset[str]
    restored: frozenset[str]
    version: str | None
    is_checked: bool = True

    def change(self, edit: Edit) -> str:
        """What becomes of a file, in a word.

        Parameters
        ----------
        edit : Edit
            One of `edits`.

        Returns
        -------
        str
            ``"created"``, ``"inserted"``, ``"replaced"``, ``"deleted"`` or ``"restored"``.
        """
        if edit.before is None:
            return "created"
        if edit.after is None:
            return "deleted"
        if edit.path in self.restored:
            return "restored"
        return "inserted" if edit.path in self.inserted else "replaced"


def plan_install(path: Path) -> Plan:
    """Work out what an install changes; nothing is written.

    Parameters
    ----------
    path : Path
        The checkout.

    Returns
    -------
    Plan

    Raises
    ------
    ConfigError
        If it is no checkout that is known, it has changes that are not committed, or something in
        it is in the way.
    """
    checkout = read_checkout(path)
    root = checkout.root
    old = read_manifest(root)
    clean: Contents = _without(root, old, "install") if old else {}
    changed = changed_files(root)
    _refuse_changes(root, changed, old, clean)
    files = created(checkout)
    _refuse_what_is_in_the_way(checkout, files, old)
    target = {**clean, **files}
    inserted: dict[str, Inserted] = {}
    for insertion in INSERTED:
        for name in insertion.files:
            before = clean[name] if name in clean else read(root, name)
            if before is not None:
                target[name], text = insertion.into(before, str(root / name))
                if text:
                    inserted[name] = Inserted(text, digest(before))
                break
    hashes = {name: digest(content) for name, content in files.items()}
    new = Manifest(version("reflexarc"), checkout.generation, hashes, inserted)
    # The manifest first: what was interrupted can then be removed.
    edits = edits_to(root, {MANIFEST: new.to_bytes(), **target})
    restored = frozenset(old.inserted if old else ()) - inserted.keys()
    earlier = old.version if old else None
    is_checked = changed is not None
    return Plan(root, tuple(edits), frozenset(inserted), restored, earlier, is_checked)


def plan_removal(path: Path) -> Plan:
    """Work out what a removal changes; nothing is written.

    Parameters
    ----------
    path : Path
        The checkout.

    Returns
    -------
    Plan

    Raises
    ------
    ConfigError
        If nothing is installed, or what is was edited since.
    """
    root = path.resolve()
    old = read_manifest(root)
    if old is None:
        raise ConfigError(
            f"nothing of reflexarc is installed here: there is no {MANIFEST}", path=str(path)
        )
    edits = edits_to(root, {**_without(root, old, "remove"), MANIFEST: None})
    return Plan(root, tuple(edits), frozenset(), frozenset(old.inserted), old.version)


def _without(root: Path, manifest: Manifest, verb: str) -> Contents:
    if edited := manifest.edited(root):
        raise ConfigError(
            f"edited since they were installed: {_few(edited)}; take these edits back, for example "
            f"by 'git checkout', or move a file of ours away to keep it, and {verb} again",
            path=str(root),
        )
    return manifest.without(root)


def _refuse_changes(
    root: Path, changed: list[str] | None, manifest: Manifest | None, clean: Contents
) -> None:
    """Refuse files that differ from the last commit by more than an earlier install."""
    # uv has written its lock, once our dependency was there.
    ours = {*manifest.paths, "uv.lock"} if manifest else set[str]()
    inserted = manifest.inserted if manifest else dict[str, Inserted]()
    foreign = [
        name
        for name in changed or ()
        if name not in ours
        or (name in inserted and not _is_same(committed(root, name), clean[name]))
    ]
    if foreign:
        raise ConfigError(
            f"the checkout has changes that are not committed: {_few(foreign)}; commit or stash "
            "them first, so that 'git diff' then shows just what was installed",
            path=str(root),
        )


def _is_same(committed: bytes | None, here: bytes | None) -> bool:
    """Apart from line ends, which git may have been told to change."""
    if committed is None or here is None:
        return False
    return committed.replace(b"\r\n", b"\n") == here.replace(b"\r\n", b"\n")


def _refuse_what_is_in_the_way(
    checkout: Checkout, files: Mapping[str, bytes], manifest: Manifest | None
) -> None:
    root = checkout.root
    ours = manifest.created if manifest else dict[str, str]()
    there = [name for name in files if name not in ours and _is_taken(root / name)]
    if there:
        raise ConfigError(
            f"the checkout has files of these names that are not ours: {_few(there)}; rename or "
            "delete them first",
            path=str(root),
        )
    for brain in INSTALLED:
        own = f"{PLUGINS}/{brain.stem}.py"
        others = [name for name in defining(root, brain.name) if name != own]
        if others:
            raise ConfigError(
                f"it defines {brain.name} as well, and OM1 would load only one of the two; rename "
                "that class or delete the file first",
                path=str(root / others[0]),
            )


def _is_taken(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _few(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
