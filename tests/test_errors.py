"""Errors are one tree, and each says what happened, to whom, and whether to try again."""

from __future__ import annotations

import copy
import inspect
import json
import re
from typing import Any

import pytest

from reflexarc import errors
from reflexarc.attempts import Attempt
from reflexarc.errors import ConfigError, DeadlineError, LLMError, Phase, ReflexarcError

TREE = sorted(
    (
        member
        for member in vars(errors).values()
        if inspect.isclass(member) and issubclass(member, ReflexarcError)
    ),
    key=lambda error: error.__name__,
)
LEAVES = [error for error in TREE if error not in (ReflexarcError, LLMError)]
RETRYABLE = {
    *("rate_limited", "timeout", "connection", "server", "unavailable", "loading"),
    *("bad_output", "resting", "truncated"),
}


def make(error: type[ReflexarcError], **fields: Any) -> ReflexarcError:
    """An error of any class."""
    if issubclass(error, DeadlineError):
        return error("It broke; mend it.", phase="stall", **fields)
    return error("It broke; mend it.", **fields)


def test_the_tree_is_as_drawn() -> None:
    """The drawing at the top of the module has every class, under its parent, with its kind."""
    drawing = (errors.__doc__ or "").split("::\n")[1].split("\n\nAn error")[0]
    above: list[str] = []
    drawn: dict[str, tuple[str, str]] = {}
    for line in drawing.strip("\n").splitlines():
        match = re.match(r"^(?P<stem>[ │├└─]*)(?P<name>\w+)(?: +(?P<kind>[a-z_]+)\b)?", line)
        assert match is not None
        level = (len(match["stem"]) - 4) // 4
        del above[level:]
        drawn[match["name"]] = (above[-1] if above else "", match["kind"] or "")
        above.append(match["name"])
    assert drawn.keys() == {error.__name__ for error in TREE}
    for error in TREE:
        parent, kind = drawn[error.__name__]
        assert parent in ("", error.__mro__[1].__name__)
        if error in LEAVES:
            assert kind == error.kind


def test_every_kind_names_one_error() -> None:
    """Who reads `kind` on a wire or in a log knows the class."""
    kinds = [error.kind for error in LEAVES]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_knows_whether_to_try_again(error: type[ReflexarcError]) -> None:
    """The world's passing troubles are worth another try, mistakes are not, unless told so."""
    assert make(error).retryable is (error.kind in RETRYABLE)
    if issubclass(error, LLMError) and not issubclass(error, DeadlineError):
        assert make(error, retryable=True).retryable is True
        assert make(error, retryable=False).retryable is False


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_is_plain_data_on_request(error: type[ReflexarcError]) -> None:
    """`to_dict` has kind, message and retryable always, the rest where known, and is JSON."""
    plain = json.loads(json.dumps(make(error).to_dict()))
    phase = {"phase": "stall"} if error is DeadlineError else {}
    assert plain == {
        "kind": error.kind,
        "message": "It broke; mend it.",
        "retryable": error.kind in RETRYABLE,
        **phase,
    }


def test_what_a_provider_said_is_kept() -> None:
    """Provider, model, status, request id, waiting time and elapsed time travel with the error."""
    known = {
        "provider": "MistralLLM",
        "model": "m",
        "status": 429,
        "request_id": "r1",
        "retry_after_s": 1.5,
        "elapsed_s": 0.2,
    }
    error = errors.RateLimitedError("Too many calls; wait.", **known)  # type: ignore[arg-type]
    error.attempts = (Attempt("MistralLLM", "m", "rate_limited", 0.2),)
    assert str(error) == "Too many calls; wait."
    assert known.items() <= error.to_dict().items()
    json.dumps(error.to_dict())


def test_a_secret_is_blotted_out_of_every_form_of_an_error() -> None:
    """What a server repeats of a key is neither in the words, the repr nor the data."""
    error = errors.AuthError("the key sk-12345 is refused: sk-12345")
    error.hide("sk-12345")
    assert error.message == "the key *** is refused: ***"
    assert "sk-12345" not in f"{error} {error!r} {error.to_dict()}"


@pytest.mark.parametrize("word", ["", "a", "none", "keys"])
def test_a_short_key_is_no_secret(word: str) -> None:
    """A word that somebody put where a key belongs does not blot out the message."""
    error = errors.AuthError("none of the keys is refused")
    error.hide(word)
    assert error.message == "none of the keys is refused"


@pytest.mark.parametrize(
    ("place", "start"),
    [
        ({}, ""),
        ({"path": "a.json5"}, "a.json5: "),
        ({"path": "a.json5", "line": 3, "column": 7}, "a.json5:3:7: "),
    ],
)
def test_a_mistake_in_a_file_begins_with_its_place(place: dict[str, Any], start: str) -> None:
    """As editors and terminals understand it; a caller's mistake is a ValueError, too."""
    error = ConfigError("wrong", **place)
    assert str(error) == f"{start}wrong"
    assert isinstance(error, ValueError)
    assert place.items() <= error.to_dict().items()


@pytest.mark.parametrize("phase", ["first_action", "stall", "total"])
def test_a_deadline_names_its_clock(phase: Phase) -> None:
    """Which of the three clocks ran out is data, not words."""
    error = DeadlineError("late", phase=phase, elapsed_s=1.0)
    assert (error.phase, error.to_dict()["phase"], error.elapsed_s) == (phase, phase, 1.0)


def test_attempts_are_no_shared_list() -> None:
    """The account of one error's attempts is not another's."""
    first, second = errors.ServerError("a"), errors.ServerError("b")
    first.attempts = (Attempt("a", "m", "server", 0.1),)
    assert second.attempts == LLMError.attempts == ()


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_can_be_copied(error: type[ReflexarcError]) -> None:
    """A copy has the same class and words, as whoever keeps errors needs it."""
    original = make(error)
    twin = copy.copy(original)
    assert (type(twin), str(twin), vars(twin)) == (error, str(original), vars(original))


def test_a_copy_is_whole() -> None:
    """With its own fields, its cause and where it was raised, and it is another object."""
    with pytest.raises(DeadlineError) as caught:
        raise DeadlineError("late", phase="stall", elapsed_s=2.0) from KeyError("x")
    error, again = caught.value, caught.value.copy()
    assert again is not error
    assert (type(again), str(again), vars(again)) == (DeadlineError, str(error), vars(error))
    assert again.__cause__ is error.__cause__
    assert again.__traceback__ is error.__traceback__
