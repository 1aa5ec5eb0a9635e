"""The values that travel between modules are frozen, and plain JSON on request."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    Attempt,
    CortexOutputModel,
    DeclinedDelta,
    Finished,
    Message,
    ServedBy,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    as_object,
    whole_characters,
)

SIT = Action(type="move", value="sit")
USAGE = Usage(prompt_tokens=100, completion_tokens=20, cached_tokens=60)
ATTEMPT = Attempt("MistralLLM", "m", "ok", 0.123456)
FINISHED = Finished(CortexOutputModel(actions=[SIT]), "MistralLLM", "m", 0.123456, 2.0, None)
VALUES = [
    *(TextDelta("a"), ToolCallDelta(), ActionReady(SIT, 0, 0.1), Stop("stop"), ServedBy("m")),
    *(ThoughtDelta("Hm"), DeclinedDelta("No."), ToolCall("move", "{}")),
    *(ActionRefused("fly", "up", "no", 0.1), USAGE, ATTEMPT, FINISHED, Message("user", "hi")),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_frozen(value: Any) -> None:
    """Who is handed a value cannot change it for others, nor hang something on it."""
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
    assert not hasattr(value, "__dict__")


def test_an_action_is_frozen_and_comparable() -> None:
    """An action is a value: it cannot be changed, and equal ones are one."""
    with pytest.raises(ValidationError, match="frozen"):
        SIT.value = "run"  # type: ignore[misc]
    assert len({SIT, Action(type="move", value="sit")}) == 1


@pytest.mark.parametrize(
    ("event", "plain"),
    [
        (TextDelta("é\n"), {"event": "text", "text": "é\n"}),
        (
            ActionReady(SIT, 2, 0.123456),
            {"event": "action", "index": 2, "type": "move", "value": "sit", "at_s": 0.1235},
        ),
        (
            ActionRefused("fly", "up", "no wings", 0.5),
            {"event": "refused", "type": "fly", "value": "up", "reason": "no wings", "at_s": 0.5},
        ),
        (USAGE, {"prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 60}),
        (
            ATTEMPT,
            {"provider": "MistralLLM", "model": "m", "outcome": "ok", "elapsed_s": 0.1235},
        ),
        (
            dataclasses.replace(FINISHED, usage=USAGE, attempts=(ATTEMPT,)),
            {
                "event": "done",
                "provider": "MistralLLM",
                "model": "m",
                "first_action_s": 0.1235,
                "total_s": 2.0,
                "usage": USAGE.to_dict(),
                "attempts": [ATTEMPT.to_dict()],
            },
        ),
    ],
)
def test_an_event_is_one_json_object(event: Any, plain: dict[str, Any]) -> None:
    """The shapes that the command line promises, times to a tenth of a millisecond."""
    assert event.to_dict() == plain
    assert json.loads(json.dumps(event.to_dict())) == plain


def test_a_call_without_actions_has_no_first_one() -> None:
    """No action and no counts are null, not zero."""
    plain = dataclasses.replace(FINISHED, first_action_s=None).to_dict()
    assert (plain["first_action_s"], plain["usage"], plain["attempts"]) == (None, None, [])


@pytest.mark.parametrize(
    ("value", "narrowed"), [({}, {}), ({"a": 1}, {"a": 1}), ([], None), ("{}", None), (None, None)]
)
def test_parsed_json_is_narrowed_to_an_object(value: object, narrowed: object) -> None:
    """Only an object is one."""
    assert as_object(value) == narrowed


any_text = st.text(st.characters() | st.characters(categories=["Cs"]))


@given(any_text)
def test_text_becomes_what_can_be_written(text: str) -> None:
    """Whatever halves a text has, the result is UTF-8, and a text without halves stays as it is."""
    whole = whole_characters(text)
    assert whole.encode().decode() == whole
    assert whole_characters(whole) == whole
    try:
        text.encode()
    except UnicodeEncodeError:
        assert whole != text
    else:
        assert whole == text
    assert Action(type=text, value=text) == Action(type=whole, value=whole)


@pytest.mark.parametrize("bad", [None, 1, ["sit"], {}])
def test_an_action_is_two_texts(bad: object) -> None:
    """Nothing but text is taken for a type or a value."""
    for fields in ({"type": "move", "value": bad}, {"type": bad, "value": "sit"}):
        with pytest.raises(ValidationError):
            Action.model_validate(fields)
