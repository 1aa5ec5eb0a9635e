"""Examples as prose: OM1's own way of writing them, and what is no example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc import Prompt, RobotConfig
from reflexarc.prose import read_prose
from reflexarc.specs import ActionSpec
from reflexarc.vocabulary import Vocabulary

DOG = Vocabulary(
    [
        ActionSpec("move", ("sit", "shake paw")),
        ActionSpec("speak", None),
        ActionSpec("emotion", ("happy",)),
    ]
)
PROSE = r"""Here are some examples of interactions you might encounter:

1. If a person says 'Give me your paw!', you might:
    Move: 'shake paw'
    Speak: {{'sentence': 'Hello, let\'s shake paws!'}}
    Emotion: 'happy'

2. If there is no sound, go explore:
    Move: 'sit'
    Fly: 'up'

3. Be nice to people.

4. If someone asks "what's up?", you might say:
    Speak: Nothing.
"""


def test_om1s_examples_are_read() -> None:
    """Who says what, or what is so; actions in any case, quoted or not, and only legal ones."""
    paw, quiet, up = read_prose(PROSE, DOG)
    assert paw.sensed == "A person says: Give me your paw!"
    assert [(each.type, each.value) for each in paw.actions] == [
        ("move", "shake paw"), ("speak", "Hello, let's shake paws!"), ("emotion", "happy"),
    ]  # fmt: skip
    assert (quiet.sensed, [each.value for each in quiet.actions]) == ("There is no sound.", ["sit"])
    assert (up.sensed, [each.value for each in up.actions]) == (
        "A person says: what's up?",
        ["Nothing."],
    )


def test_the_examples_of_our_own_files_are_read() -> None:
    """Those that are written for models that read prose, without numbers."""
    robot = RobotConfig.load("config/spot_mistral.json5", {"MISTRAL_API_KEY": "sk-your-key"})
    assert [each.sensed for each in Prompt.for_robot(robot).examples] == [
        "A person says: Give me your paw!", "Nobody speaks.",
    ]  # fmt: skip


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    """What is no example is none."""
    for example in read_prose(text, DOG):
        assert example.actions


@pytest.mark.parametrize("own", [True, False])
def test_a_robots_prose_is_used_where_it_has_no_other_examples(own: bool) -> None:
    """The prompt has them as data then, and not twice."""
    examples = [{"sensed": "A person says: sit", "actions": [{"type": "move", "value": "sit"}]}]
    robot = RobotConfig.model_validate(
        {
            "name": "spot",
            "hertz": 1,
            "cortex_llm": {"type": "OnboardLLM"},
            "agent_actions": [{"name": "move", "llm_label": "move"}],
            "system_prompt_base": "You are Spot.",
            "system_prompt_examples": PROSE,
            "examples": examples if own else [],
        }
    )
    prompt = Prompt.for_robot(robot)
    assert [each.sensed for each in prompt.examples] == (
        ["A person says: sit"]
        if own
        else ["A person says: Give me your paw!", "There is no sound."]
    )
    assert ("Give me your paw" in prompt.system) == own
