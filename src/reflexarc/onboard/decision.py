"""What is decided on board, and for which robots that can be done."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from reflexarc.config import Sensed
from reflexarc.onboard.hearing import plain
from reflexarc.onboard.phrasebook import Kind, name_of, phrasebook
from reflexarc.specs import ActionSpec, folded
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

_LONGEST_ECHO = 2  # words: to "hello" one says hello


@dataclass(frozen=True, slots=True)
class Decision:
    """What the robot does.

    Parameters
    ----------
    kind : str
        ``"act"``, ``"forbidden"`` where that is all, ``"silence"`` where nobody spoke, or why there
        is nothing to do; see `Kind`.
    moves : tuple of Action
        In order; or the idle one, where the robot has one.
    shown : tuple of Action
        What it feels.
    answer : str, default ""
        What it says, where the model's sentence is none or does not fit; none where nobody spoke.
    is_fixed : bool, default False
        Whether it says that in any case: a request that is not followed must not be agreed to.
    """

    kind: Literal["act", "forbidden", "silence"] | Kind
    moves: tuple[Action, ...]
    shown: tuple[Action, ...]
    answer: str = ""
    is_fixed: bool = False


class Mind(Protocol):
    """What decides, and knows whether a sentence fits."""

    def decide(self, sensed: str) -> Decision:
        """Decide about what is sensed; computes for some 20 ms.

        Parameters
        ----------
        sensed : str
            What is sensed now.

        Returns
        -------
        Decision
        """
        ...

    def fits(self, sentence: str, decision: Decision) -> bool:
        """Whether a sentence can be said by a robot that does this; computes for some 20 ms.

        Parameters
        ----------
        sentence : str
            What the model has written.
        decision : Decision
            What is done.

        Returns
        -------
        bool
        """
        ...


def is_decidable(vocabulary: Vocabulary) -> bool:
    """Whether a `Decider` can decide for a vocabulary: lists of values, and one free text at most.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the robot.

    Returns
    -------
    bool
    """
    specs = vocabulary.specs
    texts = [spec for spec in specs if spec.values is None]
    takes_more = any(spec.parameters is not None for spec in specs)
    return not takes_more and len(texts) <= 1 and any(map(is_moved, specs))


def is_sound(sentence: str, said: str) -> bool:
    """Whether a model's sentence can be said: it goes round in no circle, and is no echo.

    Parameters
    ----------
    sentence : str
        What the model has written.
    said : str
        What was said to the robot.

    Returns
    -------
    bool
    """
    words = plain(sentence).split()
    runs = list(pairwise(pairwise(words)))
    is_echo = len(words) > _LONGEST_ECHO and plain(sentence) == plain(said)
    return any(map(str.isalpha, "".join(words))) and len(set(runs)) == len(runs) and not is_echo


def derived_examples(vocabulary: Vocabulary) -> tuple[Sensed, ...]:
    """Examples for a robot that has none: commands of its vocabulary, and small talk.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of which `is_decidable` holds.

    Returns
    -------
    tuple of Sensed
        In the order of a model's answer: moves, speech, feelings.
    """
    speech = vocabulary.speech
    if speech is None:
        return ()
    idle = phrasebook().idle(vocabulary)
    found: list[Sensed] = []
    for spec in filter(is_moved, vocabulary.specs):
        for value in spec.values or ():
            move = Action(type=spec.type, value=value)
            say = Action(type=speech, value=phrasebook().told([move]))
            heard = f"A person says: {name_of(move)}, please."
            found.append(Sensed(sensed=heard, actions=(move, say)))
    for said, answer in phrasebook().talk.items():
        say = Action(type=speech, value=answer)
        actions = (idle, say) if idle else (say,)
        found.append(Sensed(sensed=f"A person says: {said}", actions=actions))
    return tuple(found)


def is_shown(spec: ActionSpec) -> bool:
    """Whether an action shows a feeling: most of its values name one.

    Parameters
    ----------
    spec : ActionSpec
        Of the robot.

    Returns
    -------
    bool
    """
    names = set(" ".join(phrasebook().feelings).split())
    values = [folded(value) for value in spec.values or ()]
    return sum(value in names for value in values) * 2 > len(values)


def is_moved(spec: ActionSpec) -> bool:
    """Whether an action is one of a list and shows no feeling: what a robot is told to do.

    Parameters
    ----------
    spec : ActionSpec
        Of the robot.

    Returns
    -------
    bool
    """
    return spec.values is not None and not is_shown(spec)
