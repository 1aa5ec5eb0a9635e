"""What a person wants forgotten is gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from reflexarc.errors import ConfigError, StorageError
from reflexarc.memory import Store
from reflexarc.types import Message
from tests.memory.ticks import ACTIONS, NOW, ask, bytes_of, tick


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of four days, each with the day before it as its history."""
    path = tmp_path / "spot.sqlite3"
    with Store(path) as store:
        before: tuple[Message, ...] = ()
        for day, name in ((4, "Ann"), (3, "Bob"), (2, "Cid"), (1, "Dan")):
            sensed = f"Here comes {name}."
            store.add(tick(sensed, days=day, history=before), "spot", ACTIONS)
            before = (Message("user", sensed), Message("assistant", "{}"))
        store.summarise("It met Ann.", 1)
        store.summarise("It met Ann, Bob and Cid.", 3)
    return path


def left(path: Path) -> list[str]:
    """Who is still remembered."""
    with Store(path, readonly=True) as store:
        return [each.prompt.situation for each in store.ticks()]


def test_what_was_before_a_date(path: Path) -> None:
    """It goes with the summaries that tell of it, and from the history of later ticks."""
    with Store(path) as store:
        assert store.forget(before=NOW - timedelta(days=2.5)) == 2
        assert store.past(0).summary == ""
        first, second = store.ticks()
        assert first.prompt.history == ()
        assert second.prompt.history[0].content == "Here comes Cid."
    stored = bytes_of(path)
    assert (b"Ann" in stored, b"Bob" in stored, b"Dan" in stored) == (False, False, True)


def test_what_holds_a_text(path: Path) -> None:
    """Only that, and what else tells of it; an older summary stays."""
    with Store(path) as store:
        assert store.find(containing="comes bob") == [2]
        assert store.forget(containing="comes bob") == 1
        assert store.past(0).summary == "It met Ann."
        assert [len(each.prompt.history) for each in store.ticks()] == [0, 0, 2]
    assert left(path) == ["Here comes Ann.", "Here comes Cid.", "Here comes Dan."]
    assert b"Bob" not in bytes_of(path)


def test_both_together_are_what_both_are_true_of(path: Path) -> None:
    """A text, as far as it is that old."""
    with Store(path) as store:
        assert store.forget(containing="comes", before=NOW - timedelta(days=3.5)) == 1
    assert b"Ann" not in bytes_of(path)
    assert left(path) == ["Here comes Bob.", "Here comes Cid.", "Here comes Dan."]


def test_everything(path: Path) -> None:
    """Also what the robot was told at every tick."""
    with Store(path) as store:
        assert store.forget(everything=True) == 4
        assert (store.ticks(), store.robots) == ([], ())
    stored = bytes_of(path)
    assert not any(each in stored for each in (b"Here comes", b"It met", b"You are Spot"))


def test_the_bytes_are_gone_while_a_robot_has_the_file_open(path: Path) -> None:
    """Nobody has to stop it for that."""
    with Store(path) as robot:
        robot.add(tick("Here comes Eve."), "spot", ACTIONS)
        with Store(path) as person:
            assert person.forget(containing="Eve") == 1
        assert b"Eve" not in bytes_of(path)
        robot.add(tick("Here comes Fay."), "spot", ACTIONS)
    assert left(path)[-1] == "Here comes Fay."


def test_a_summary_goes_whose_ticks_are_long_gone(path: Path) -> None:
    """It tells of what was before the date, though no tick does any more."""
    with Store(path, max_days=1.5) as store:
        while store.tidy():
            pass
        assert left(path) == ["Here comes Dan."]
        assert store.past(0).summary == "It met Ann, Bob and Cid."
        history = (Message("system", "WHAT HAPPENED BEFORE:\nIt met Ann, Bob and Cid."),)
        store.add(tick("Hello?", history=history), "spot", ACTIONS)
        assert store.forget(before=NOW - timedelta(days=1.2)) == 0
        assert store.past(0).summary == ""
        assert [each.prompt.history for each in store.ticks()] == [(), ()]
    assert b"Bob" not in bytes_of(path)


def test_a_summary_goes_that_holds_the_text(path: Path) -> None:
    """Whatever it tells of."""
    with Store(path) as store:
        store.summarise("It was Zoe all the time.", 4)
        assert store.forget(containing="zoe") == 0
        assert store.past(0).summary == "It met Ann, Bob and Cid."
    assert b"Zoe" not in bytes_of(path)


def test_a_later_summary_keeps_how_far_it_goes_back(path: Path) -> None:
    """It is written from the one before it, and tells of the same first days."""
    with Store(path, max_days=1.5) as store:
        while store.tidy():
            pass
        store.summarise("It met Ann, Bob, Cid and Dan.", 4)
        store.forget(before=NOW - timedelta(days=3.5))
        assert store.past(0).summary == ""


def test_nothing_is_forgotten_where_nothing_says_what(path: Path) -> None:
    """An empty text is in everything, and is not meant so."""
    with Store(path) as store:
        for empty in (None, ""):
            with pytest.raises(ConfigError, match="say what to forget"):
                store.forget(containing=empty)
    assert len(left(path)) == 4


def test_nothing_can_be_forgotten_of_what_is_only_looked_at(path: Path) -> None:
    """Nor added."""
    with Store(path, readonly=True) as store:
        with pytest.raises(StorageError):
            store.forget(everything=True)
        with pytest.raises(StorageError):
            store.add(tick(), "spot", ACTIONS)
    assert len(left(path)) == 4


def test_it_is_told_where_the_disk_still_has_it(path: Path) -> None:
    """Somebody reads without an end; it is forgotten, but the old bytes have to stay for that."""
    with Store(path) as store, Store(path, readonly=True) as reader:
        endless = iter(reader)
        next(endless)
        store._db.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(StorageError, match="forgotten, but another program reads"):
            store.forget(containing="Bob")
        del endless
        assert store.forget(containing="Bob") == 0
    assert b"Bob" not in bytes_of(path)
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
