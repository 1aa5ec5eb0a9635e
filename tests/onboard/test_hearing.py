"""What is heard: who spoke, in which scene, and how many wishes there were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.onboard.hearing import Heard, listen, plain, wishes


@pytest.mark.parametrize(
    ("sensed", "scene", "said"),
    [
        ("A person says: sit!", "", "sit!"),
        ("You hear: sit!", "", "sit!"),
        ("Voice: come here.", "", "come here."),
        ('An old man whispers: "Stop it."', "", "Stop it."),
        ("You are in a kitchen. A child says: Sit.", "You are in a kitchen.", "Sit."),
        ("Vision: a cat\nVoice: sit", "Vision: a cat", "sit"),
        ("Nobody says anything.", "Nobody says anything.", ""),
        (
            "The camera sees a sign that says closed.",
            "The camera sees a sign that says closed.",
            "",
        ),
        ("It is raining.", "It is raining.", ""),
        ("", "", ""),
    ],
)
def test_what_is_said_is_told_from_the_scene(sensed: str, scene: str, said: str) -> None:
    """By who speaks, in our words and in OM1's."""
    assert listen(sensed) == Heard(scene, said)


@pytest.mark.parametrize("sensed", ["sit", "Please turn left!", "who are you?"])
def test_words_of_nobody_may_be_meant_for_the_robot(sensed: str) -> None:
    """As one types them to try it."""
    assert listen(sensed) == Heard("", sensed, by_somebody=False)


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("Could you please sit down for me?", "sit down"),
        ("um sit sit uh sit", "sit"),
        ("Okay, boy, run!", "run"),
        ("I'd like you to turn left now.", "turn left"),
        ("Please!", "please!"),
        ("Why don't you sit down?", "sit down"),
        ("Won’t you sit down?", "sit down"),
        ("You can't sit still, can you?", "you can't sit still"),
        ("hi there, puppy!", "hi there"),
        ("Good boy!", "good boy"),
        ("What can you do?", "what can you do"),
    ],
)
def test_politeness_is_no_part_of_a_wish(said: str, wish: str) -> None:
    """Nor are fillers and repetitions; where there is nothing else, they stay."""
    assert plain(said) == wish


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Sit down.", ["Sit down"]),
        ("Sit down and then give me your paw.", ["Sit down", "give me your paw"]),
        ("Turn left, then go forward.", ["Turn left", "go forward"]),
        ("Before you sit, wag your tail.", ["wag your tail", "sit"]),
        ("Raise the arm before you turn left.", ["Raise the arm", "turn left"]),
        ("After you have jumped, sit.", ["jumped", "sit"]),
        (
            "Drive backward, but turn your lights on first.",
            ["turn your lights on", "Drive backward"],
        ),
        ("Sit but first wag your tail.", ["wag your tail", "Sit"]),
        ("Swing right, and as soon as you are there release it.", ["Swing right", "release it"]),
        ("First right; after that straight on!", ["right", "straight on"]),
        ("Don't run, walk.", ["Do not run", "walk"]),
        ("Dont run and jump.", ["Do not run and jump"]),
        ("No running, jumping or dancing!", ["No running, jumping or dancing"]),
        ("Do not, under any circumstances, jump!", ["Do not, under any circumstances, jump"]),
        ("Don't be shy and give me your paw.", ["Do not be shy", "give me your paw"]),
        ("Stop running and sit down.", ["Stop running", "sit down"]),
        ("sit don't jump", ["sit", "do not jump"]),
        ("Turn right, not left", ["Turn right", "not left"]),
        ("Sit. No, don't!", ["do not Sit No"]),
        ("I don't like it when you dance.", ["I do not like it when you dance"]),
    ],
)
def test_wishes_are_told_apart_and_put_in_order(said: str, expected: list[str]) -> None:
    """In the order in which they are meant."""
    assert [wish.strip(" .!") for wish in wishes(said)] == expected


@given(st.text(max_size=200))
def test_any_text_is_heard(text: str) -> None:
    """Without an end that never comes, and nothing is made up."""
    heard = listen(text)
    assert plain(heard.said) or not heard.said.strip()
    assert all(wishes(heard.said)) or not heard.said.strip()
