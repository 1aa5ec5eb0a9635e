"""What people say to robots, as data: `phrasebook.toml`, for any robot's vocabulary."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from reflexarc.specs import folded
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

Kind = Literal["dangerous", "impossible", "nonsense", "unknown", "social"]
"""What is said that is no command, or none that is to be followed."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """What is said, and what it means.

    Parameters
    ----------
    commands : tuple of (tuple of str, tuple of str)
        Names of values, and what people say for them; the first is that of doing nothing.
    does : mapping of str to str
        By a value's name, what a robot says that does it.
    others : mapping of str to tuple of str
        By kind, what is no command.
    feelings : mapping of str to tuple of str
        By a feeling's names, of which the first counts, what it answers.
    answers : mapping of str to str
        By kind, what a robot says that does not do it; and by ``act``, what it says first that
        does.
    talk : mapping of str to str
        Small talk, and what a robot may answer.
    abilities : tuple of str
        Small talk that is answered by all that the robot can do.
    """

    commands: tuple[tuple[frozenset[str], tuple[str, ...]], ...]
    does: Mapping[str, str]
    others: Mapping[Kind, tuple[str, ...]]
    feelings: Mapping[str, tuple[str, ...]]
    answers: Mapping[str, str]
    talk: Mapping[str, str]
    abilities: tuple[str, ...]

    def said(self) -> Iterator[str]:
        """All that people say in it.

        Yields
        ------
        str
        """
        for _, said in self.commands:
            yield from said
        for said in (*self.others.values(), *self.feelings.values(), self.abilities):
            yield from said

    def idle(self, vocabulary: Vocabulary) -> Action | None:
        """The action of a vocabulary that does nothing.

        Parameters
        ----------
        vocabulary : Vocabulary
            Of the robot.

        Returns
        -------
        Action or None
            None where there is no such value.
        """
        names, _ = self.commands[0]
        found = (
            Action(type=spec.type, value=value)
            for spec in vocabulary.specs
            for value in spec.values or ()
            if folded(value) in names
        )
        return next(found, None)

    def told(self, actions: Sequence[Action]) -> str:
        """What a robot says that does something.

        Parameters
        ----------
        actions : sequence of Action
            What it does, in order.

        Returns
        -------
        str
            A sentence, for a value of any name.
        """
        does = (self._does(action) for action in actions)
        return f"{', '.join(filter(None, (self.answers['act'], ', then '.join(does))))}."

    def _does(self, action: Action) -> str:
        known = (self.does[name] for name in names_of(action) if name in self.does)
        return next(known, name_of(action))


def name_of(action: Action) -> str:
    """An action in its own words, as a person might ask for it.

    Parameters
    ----------
    action : Action
        Of a list of values.

    Returns
    -------
    str
        ``turn left``; ``lights on``, where the value is one word.
    """
    return action.value if " " in action.value else f"{action.type} {action.value}"


def names_of(action: Action) -> tuple[str, ...]:
    """The names by which a phrasebook may know an action.

    Parameters
    ----------
    action : Action
        Of a list of values.

    Returns
    -------
    tuple of str
    """
    type_, value = action.type, action.value
    return folded(value), folded(f"{type_} {value}"), folded(f"{value} {type_}")


@cache
def phrasebook() -> Phrasebook:
    """The phrasebook of this package; reads a file the first time.

    Returns
    -------
    Phrasebook
    """
    text = (files("reflexarc.onboard") / "phrasebook.toml").read_text(encoding="utf-8")
    data: dict[str, Any] = tomllib.loads(text)
    return Phrasebook(
        commands=tuple(
            (frozenset(map(folded, command["of"])), tuple(command["said"]))
            for command in data["command"]
        ),
        does={
            folded(name): command["does"]
            for command in data["command"]
            if "does" in command
            for name in command["of"]
        },
        others={kind: tuple(data["others"][kind]) for kind in KINDS},
        feelings={name: tuple(said) for name, said in data["feelings"].items()},
        answers=data["answers"],
        talk=data["talk"],
        abilities=tuple(data["abilities"]["said"]),
    )
