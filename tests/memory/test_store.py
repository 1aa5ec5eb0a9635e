"""A memory on disk."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reflexarc.config import AgentAction
from reflexarc.errors import ConfigError
from reflexarc.memory import Past, Store, Tick
from tests.memory.ticks import ACTIONS, FULL, NOW, PROMPT, ask, tick


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is, in a folder that is not there yet."""
    return tmp_path / "state" / "memory" / "spot.sqlite3"


def fill(path: Path, *ticks: Tick, robot: str = "spot") -> list[int]:
    """Remember some ticks."""
    with Store(path) as store:
        return [store.add(each, robot, ACTIONS) for each in ticks]


@pytest.mark.parametrize(
    "given",
    [
        FULL,
        tick(deeds=(), error_kind="timeout", error="it was late"),
        tick("", deeds=(), reason="no brain has answered", usage=None, first_action_s=None),
        tick("a\0b\x1b[31m"),
    ],
)
def test_a_tick_comes_back_as_it_was(path: Path, given: Tick) -> None:
    """Every field of it, but for its number, which it has now."""
    [number] = fill(path, given)
    with Store(path, readonly=True) as store:
        assert store.ticks() == [replace(given, id=number)]


def test_half_a_character_does_not_lose_a_tick(path: Path) -> None:
    """What is no Unicode, as a cut emoji, is replaced."""
    fill(path, tick("\ud83d!", text="\ude00", missed=("\ud83d",)))
    with Store(path) as store:
        [found] = store.ticks()
        assert (found.prompt.situation, found.text, found.missed) == ("�!", "�", ("�",))


def test_a_tick_is_on_disk_when_add_returns(path: Path) -> None:
    """Somebody else sees it, while the one who wrote it has the file still open."""
    with Store(path) as writer, Store(path, readonly=True) as reader:
        writer.add(tick(), "spot", ACTIONS)
        assert len(reader.ticks()) == 1


def test_the_stable_part_is_stored_once(path: Path) -> None:
    """A long prompt costs nothing per tick; another prompt is another row."""
    other = replace(tick(), prompt=replace(PROMPT, system="You are Spot, and old."))
    fill(path, tick(), tick(), other, tick())
    fill(path, replace(tick(), prompt=replace(PROMPT, system="".join(PROMPT.system))))
    assert ask(path, "SELECT count(*) FROM prompts") == [(2,)]
    assert ask(path, "SELECT prompt FROM ticks ORDER BY id") == [(1,), (1,), (2,), (1,), (1,)]


def test_only_this_user_may_read_it(path: Path) -> None:
    """The file is 0600 and so is what stands beside it; a folder that is made is 0700."""
    with Store(path) as store:
        store.add(tick(), "spot", ACTIONS)
        modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert (modes, stat.S_IMODE(path.parent.stat().st_mode)) == ({0o600}, 0o700)


def test_what_a_robot_could_do_is_known_of_each_tick(path: Path) -> None:
    """Also of those before its file was changed."""
    with Store(path) as store:
        first = store.add(tick(), "spot", ACTIONS)
        second = store.add(tick(), "spot", ACTIONS[:1])
        assert store.actions_of(first) == ACTIONS
        assert store.actions_of(second) == ACTIONS[:1]
        with pytest.raises(ConfigError, match="there is no tick 99 in the memory"):
            store.actions_of(99)


def test_a_connector_s_settings_are_not_stored(path: Path) -> None:
    """They may hold a key."""
    action = AgentAction(name="speak", llm_label="speak", config={"api_key": "sk-hidden-1234"})
    with Store(path) as store:
        number = store.add(tick(), "spot", (action,))
        assert store.actions_of(number) == (AgentAction(name="speak", llm_label="speak"),)
    assert b"sk-hidden" not in path.read_bytes()


def test_ticks_can_be_chosen(path: Path) -> None:
    """By number, by time, by what they hold, by whose they are; always oldest first."""
    with Store(path) as store:
        for day, name in ((3, "one"), (2, "Two"), (1, "three"), (0, "Straße, two")):
            store.add(tick(name, days=day), "spot", ACTIONS)
        store.add(tick("five"), "bits", ACTIONS)

        def names(**which: object) -> list[str]:
            return [each.prompt.situation for each in store.ticks(**which)]  # type: ignore[arg-type]

        assert names(last=2) == ["Straße, two", "five"]
        assert names(last=2, before=3) == ["one", "Two"]
        assert names(since=NOW - timedelta(days=1)) == ["three", "Straße, two", "five"]
        assert names(containing="TWO") == ["Two", "Straße, two"]
        assert names(containing="STRASSE") == ["Straße, two"]
        assert names(containing="two", last=1) == ["Straße, two"]
        assert names(robot="bits") == ["five"]
        assert names(before=1) == []
        assert [each.id for each in store] == [1, 2, 3, 4, 5]
        assert store.robots == ("spot", "bits")


@pytest.mark.parametrize(
    "text",
    ['"grüß DICH"', "dog barks", "MOVE fly", "cannot fly", "loudspeaker", "was late", '"actions"'],
)
def test_a_text_is_found_wherever_a_tick_has_it(path: Path, text: str) -> None:
    """In what was sensed, missed, answered, done and refused, and why others failed."""
    fill(path, FULL, tick("nothing"))
    with Store(path) as store:
        assert [each.id for each in store.ticks(containing=text)] == [1]


def test_a_text_is_found_as_the_answer_has_it(path: Path) -> None:
    """Quotes that JSON writes as two characters are the same."""
    fill(path, tick("a", deeds=(), text='{"value": "I said \\"no\\""}'))
    with Store(path) as store:
        assert len(store.ticks(containing='said "no"')) == 1


@pytest.mark.parametrize("text", ["outcome", "at_s", "id0000001", "rained", "LAWS"])
def test_a_text_is_not_found_where_no_tick_tells_it(path: Path, text: str) -> None:
    """Names of columns, other ticks in its history, and what is told at every tick do not count."""
    fill(path, FULL)
    with Store(path) as store:
        assert store.ticks(containing=text) == []


def test_the_past_is_turns_and_a_summary(path: Path) -> None:
    """A tick that failed is no turn; the newest summary counts."""
    with Store(path) as store:
        assert store.past(3) == Past("", 0, ())
        for name in "abcd":
            store.add(tick(name), "spot", ACTIONS)
            store.add(tick("failed", deeds=(), error_kind="timeout", error="late"), "spot", ACTIONS)
        store.summarise("It met Ann.", 1)
        store.summarise("It met Ann and Bob. \ud83d", 3)
        past = store.past(3)
        assert (past.summary, past.until) == ("It met Ann and Bob. �", 3)
        assert [each.prompt.situation for each in past.ticks] == ["b", "c", "d"]
        assert store.past(0).ticks == ()


def test_two_robots_in_one_file_have_two_pasts(path: Path) -> None:
    """None takes the other's life for its own."""
    with Store(path) as store:
        for name in ("spot", "bits"):
            store.summarise(f"I am {name}.", store.add(tick(f"to {name}"), name, ACTIONS))
        spot = store.past(5, robot="spot")
        assert (spot.summary, [each.id for each in spot.ticks]) == ("I am spot.", [1])
        assert store.past(5).summary == "I am bits."
        assert store.past(5, robot="nobody") == Past()


def test_a_summary_of_what_is_forgotten_is_not_kept(path: Path) -> None:
    """A robot that runs may still have in mind what a person had forgotten."""
    with Store(path) as store:
        number = store.add(tick(), "spot", ACTIONS)
        store.forget(everything=True)
        store.summarise("A person wanted it to sit.", number)
        assert store.past(1) == Past()


def test_the_whole_is_written_together_or_not_at_all(path: Path) -> None:
    """An error inside takes back what was written before it."""
    with Store(path) as store:

        def fail() -> None:
            with store.together():
                store.add(tick(), "spot", ACTIONS)
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert store.ticks() == []
        with store.together():
            store.add(tick(), "spot", ACTIONS)
            store.add(tick(), "spot", ACTIONS)
        assert len(store.ticks()) == 2


def test_numbers_are_never_used_again(path: Path) -> None:
    """Not even after everything was forgotten."""
    [first] = fill(path, tick())
    with Store(path) as store:
        store.forget(everything=True)
        assert store.add(tick(), "spot", ACTIONS) == first + 1


def test_several_open_one_new_file_at_once(path: Path) -> None:
    """Whoever comes first makes it, and all of them write to it."""
    start = threading.Barrier(6)

    def open_and_write(_: int) -> None:
        start.wait()
        with Store(path) as store:
            for _ in range(5):
                store.add(tick(), "spot", ACTIONS)

    with ThreadPoolExecutor(6) as threads:
        assert len([*threads.map(open_and_write, range(6))]) == 6
    assert ask(path, "SELECT count(*) FROM ticks") == [(30,)]


def test_sqlite_users_can_ask_it(path: Path) -> None:
    """What is structured is JSON that SQLite reads."""
    fill(path, FULL)
    sql = (
        "SELECT at, value ->> 'value', value ->> 'outcome' FROM ticks, json_each(ticks.actions) "
        "WHERE value ->> 'type' = 'move'"
    )
    at = "2026-11-01T12:03:05.123456+00:00"
    assert ask(path, sql) == [(at, "sit", "done"), (at, "fly", "refused")]


def test_closing_twice_does_no_harm(path: Path) -> None:
    """As files have it."""
    store = Store(path)
    store.close()
    store.close()
