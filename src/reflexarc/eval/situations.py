"""Situations with what is right in them, as one JSON object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.errors import ConfigError
from reflexarc.onboard.decision import is_sound
from reflexarc.onboard.hearing import listen
from reflexarc.specs import folded
from reflexarc.types import Action

Half = Literal["tune", "held"]
"""``"tune"`` may be looked at while something is made better, ``"held"`` only afterwards."""

ANY = "*"
"""A value of `Situation.accept` that any text fits."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Said(_Strict):
    """What may be said, in lower case.

    Parameters
    ----------
    not_ : tuple of str, default ()
        ``not``: words or phrases of which none may be said.
    any : tuple of str, default ()
        ``any``: of which at least one must be, if anything is said.
    """

    not_: tuple[str, ...] = Field(default=(), alias="not")
    any_: tuple[str, ...] = Field(default=(), alias="any")


class Situation(_Strict):
    """One situation.

    Parameters
    ----------
    id : str
        Its name.
    category : str
        What it tries.
    text : str
        What is sensed.
    accept : tuple of (tuple of Action)
        Alternatives: all actions of at least one of them must be done. An empty one asks for
        nothing; the value ``"*"`` is any text.
    allow : mapping of str to (tuple of str), default {}
        By type of action, the values that may be done.
    ordered : bool, default False
        Whether the actions of an alternative must be done in its order.
    say : Said or None, default None
        What may be said.
    robot : str or None, default None
        The robot that it is for, by the name in its configuration.
    half : {"tune", "held"}, default "tune"
        What it may be used for.
    """

    id: str
    category: str
    text: str
    accept: tuple[tuple[Action, ...], ...]
    allow: dict[str, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    ordered: bool = False
    say: Said | None = None
    robot: str | None = None
    half: Half = "tune"

    def mistake(self, actions: Sequence[Action], speech: str | None) -> str:
        """What is wrong with an answer.

        Parameters
        ----------
        actions : sequence of Action
            What the robot did, in order.
        speech : str or None
            The type of action that says something.

        Returns
        -------
        str
            As a sentence; empty if it is right.
        """
        if not any(self._is_done(alternative, actions) for alternative in self.accept):
            return "it does not do what is asked for"
        for action in actions:
            allowed = self.allow.get(action.type)
            if allowed is not None and action.value not in allowed:
                return f"{action.type} {action.value!r} is not to be done"
        sentences = [action.value for action in actions if action.type == speech]
        said = listen(self.text).said
        for sentence in sentences:
            if not is_sound(sentence, said):
                return "what is said goes round in circles, or is an echo"
            if self.say is not None and any(_has(sentence, each) for each in self.say.not_):
                return "what is said agrees to what is not to be done, or is out of place"
        needed = self.say.any_ if self.say is not None and sentences else ()
        if needed and not any(_has(" ".join(sentences), each) for each in needed):
            return "what is said does not decline"
        return ""

    def _is_done(self, alternative: Sequence[Action], actions: Sequence[Action]) -> bool:
        at: list[int] = []
        for wanted in alternative:
            found = [
                index
                for index, action in enumerate(actions)
                if action.type == wanted.type
                and (action.value == wanted.value or (wanted.value == ANY and action.value.strip()))
            ]
            if not found:
                return False
            at.append(found[0])
        return not self.ordered or at == sorted(at)


def load_situations(path: Path) -> list[Situation]:
    """Read a file of situations.

    Parameters
    ----------
    path : Path
        One JSON object a line; empty lines are left out.

    Returns
    -------
    list of Situation

    Raises
    ------
    ConfigError
        With file and line, if it cannot be read, or a situation is not one.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"the situations cannot be read: {error.strerror}; check the path", path=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            "the situations are no text; name a JSONL file", path=str(path)
        ) from error
    found: list[Situation] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Situation.model_validate(json.loads(line)))
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"this is not JSON: {error.msg}", path=str(path), line=number
            ) from error
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            place = ".".join(map(str, wrong["loc"]))
            raise ConfigError(f"'{place}': {wrong['msg']}", path=str(path), line=number) from error
    if not found:
        raise ConfigError("there is no situation in it", path=str(path))
    return found


def _has(sentence: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", folded(sentence)) is not None
