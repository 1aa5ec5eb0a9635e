"""Edits of files: a diff, and all of them or none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reflexarc.errors import ConfigError
from reflexarc.om1.edits import Edit, apply, edits_to
from tests.om1.stand_ins import contents, write


def refused(root: Path, *edits: Edit) -> str:
    """Why edits could not be carried out."""
    with pytest.raises(ConfigError) as caught:
        apply(root, edits)
    return caught.value.message


def test_only_what_differs_is_edited(tmp_path: Path) -> None:
    """A file that holds what it shall hold is left alone."""
    write(tmp_path / "same", "1")
    write(tmp_path / "old", "1")
    wanted = {"same": b"1", "old": None, "new": b"2", "gone": None}
    assert edits_to(tmp_path, wanted) == [Edit("old", b"1", None), Edit("new", None, b"2")]


def test_edits_are_carried_out(tmp_path: Path) -> None:
    """Files are created, changed with the permissions they have, and deleted."""
    write(tmp_path / "old", "1")
    script = write(tmp_path / "script", "1")
    script.chmod(0o751)
    apply(tmp_path, edits_to(tmp_path, {"old": None, "script": b"2", "new": b"3"}))
    held = {name: content for name, (content, _) in contents(tmp_path).items()}
    assert held == {"script": b"2", "new": b"3"}
    assert script.stat().st_mode & 0o777 == 0o751


@pytest.mark.parametrize("last", ["missing/file", "folder"])
def test_what_was_done_is_undone(tmp_path: Path, last: str) -> None:
    """Where one file cannot be written, the others are as they were before."""
    write(tmp_path / "old", "1").chmod(0o640)
    write(tmp_path / "gone", "1")
    write(tmp_path / "folder/inside", "1")
    before = contents(tmp_path)
    edits = [Edit("old", b"1", b"2"), Edit("new", None, b"2"), Edit("gone", b"1", None)]
    message = refused(tmp_path, *edits, Edit(last, None, b"2"))
    assert last in message
    assert "nothing changed" in message
    assert contents(tmp_path) == before


def test_what_cannot_be_undone_is_named(tmp_path: Path) -> None:
    """Where setting back fails as well, the message says for which files."""
    write(tmp_path / "old", "1")
    (tmp_path / ".old.reflexarc").mkdir()  # where its text would be put first
    (tmp_path / "folder").mkdir()
    message = refused(tmp_path, Edit("old", b"1", None), Edit("folder", None, b"2"))
    assert "could not be set back: old" in message


@pytest.mark.parametrize("name", ["file", "inside/file", "dangling"])
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    """A symbolic link may lead out of the checkout, so what is behind it is left alone."""
    outside = tmp_path / "outside"
    write(outside / "file", "1")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").symlink_to(outside / "file")
    (root / "inside").symlink_to(outside)
    (root / "dangling").symlink_to(outside / "nothing")
    with pytest.raises(ConfigError, match="a symbolic link"):
        edits_to(root, {name: b"2"})
    assert contents(outside) == {"file": contents(outside)["file"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"1\n2\n"),
        (b"1\n2\n", None),
        (b"1\n2\n", b"1\n3\n2\n"),
        (b"1\n2", b"1\n2\n\n3\n"),
        (b"1\n2\n", b"1\n2"),
        (b"1\r\n2\r\n", b"1\r\n3\r\n2\r\n"),
        (b"1\x0c\n2\xe2\x80\xa8\n", b"1\x0c\n3\n2\xe2\x80\xa8\n"),
    ],
)
def test_git_takes_the_diff(tmp_path: Path, before: bytes | None, after: bytes | None) -> None:
    """What is shown before it is done is a patch that does the same."""
    if before is not None:
        (tmp_path / "file").write_bytes(before)
    patch = Edit("file", before, after).diff().encode()
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch, check=True)
    path = tmp_path / "file"
    assert (path.read_bytes() if path.exists() else None) == after
