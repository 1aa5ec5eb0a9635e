"""What a decider learns of a vocabulary: what people say for its values, and for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reflexarc.onboard.classifier import Encode
from reflexarc.onboard.decision import is_moved, is_shown
from reflexarc.onboard.hearing import plain
from reflexarc.onboard.phrasebook import name_of, names_of, phrasebook
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

MOST_TOLD = 12
"""Values that are told in one sentence."""


def by_name(vocabulary: Vocabulary) -> Iterator[tuple[Action, str]]:
    """What the names and descriptions of a vocabulary say by themselves.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the robot.

    Yields
    ------
    tuple of (Action, str)
        What is meant, and a text for it.
    """
    for spec in filter(is_moved, vocabulary.specs):
        for value in spec.values or ():
            action = Action(type=spec.type, value=value)
            yield action, plain(value)
            yield action, plain(f"{spec.type} {value}")
            if spec.description:
                yield action, plain(f"{spec.description.rstrip('.')}: {value}")
    for spec in filter(is_shown, vocabulary.specs):
        for value in spec.values or ():
            action = Action(type=spec.type, value=value)
            for wish in ("look {}", "be {}", "a {} face, please", "show me that you are {}"):
                yield action, wish.format(value)


def by_phrasebook(vocabulary: Vocabulary) -> Iterator[tuple[Action, str]]:
    """What people say for the values of a vocabulary.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the robot.

    Yields
    ------
    tuple of (Action, str)
        What is meant, and a text for it.
    """
    for names, said in phrasebook().commands:
        for action in _named(vocabulary, names):
            for each in said:
                yield action, plain(each)


def for_others(vocabulary: Vocabulary) -> Iterator[str]:
    """What people say for values that a vocabulary does not have.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the robot.

    Yields
    ------
    str
    """
    for names, said in phrasebook().commands:
        if not any(_named(vocabulary, names)):
            yield from map(plain, said)


def are_talk(texts: Sequence[str], vocabulary: Vocabulary, encode: Encode) -> list[bool]:
    """Whether some texts are small talk to begin with, as greetings are, and no commands.

    Parameters
    ----------
    texts : sequence of str
        At least one.
    vocabulary : Vocabulary
        Of the robot.
    encode : callable
        Gives the vectors of texts.

    Returns
    -------
    list of bool
        By which phrase is the nearest.
    """
    commands = [said for _, said in (*by_name(vocabulary), *by_phrasebook(vocabulary))]
    talk = encode([plain(said) for said in phrasebook().others["social"]]) @ encode(texts).T
    return (talk.max(0) > (encode(commands) @ encode(texts).T).max(0)).tolist()


def abilities(vocabulary: Vocabulary) -> str:
    """What a robot says that is asked what it can do.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the robot.

    Returns
    -------
    str
        A sentence with the values of its moves, the first `MOST_TOLD` of them.
    """
    idle = phrasebook().idle(vocabulary)
    is_one = sum(map(is_moved, vocabulary.specs)) == 1
    told = [each.value if is_one else name_of(each) for each in _moves(vocabulary) if each != idle]
    *before, last = [*told[:MOST_TOLD], "more"] if len(told) > MOST_TOLD else told or ["wait"]
    return f"I can {' and '.join(filter(None, (', '.join(before), last)))}."


def _named(vocabulary: Vocabulary, names: frozenset[str]) -> Iterator[Action]:
    return (each for each in _moves(vocabulary) if not names.isdisjoint(names_of(each)))


def _moves(vocabulary: Vocabulary) -> Iterator[Action]:
    for spec in filter(is_moved, vocabulary.specs):
        for value in spec.values or ():
            yield Action(type=spec.type, value=value)
