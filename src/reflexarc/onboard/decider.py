"""Deciding without a language model: what a robot is to do about what it senses, in some 20 ms.

A small encoder and a phrasebook know what people mean in other words; the robot's vocabulary and
its examples say what that is for this robot. What is said becomes wishes, each of which is a legal
action or no command at all: dangerous, impossible, nonsense, unknown to this robot, or small talk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reflexarc.config import Sensed
from reflexarc.onboard.classifier import Classifier, shares
from reflexarc.onboard.decision import Decision, is_moved, is_shown
from reflexarc.onboard.hearing import Heard, affirms, is_description, listen, plain, wishes
from reflexarc.onboard.lessons import abilities, are_talk, by_name, by_phrasebook, for_others
from reflexarc.onboard.phrasebook import KINDS, Kind, phrasebook
from reflexarc.onboard.prohibition import unwound
from reflexarc.onboard.vectors import Vectors
from reflexarc.specs import folded
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

# Chosen on the situations of eval/situations.jsonl that are for that.
_LEAST_COMMAND = 0.4  # of all that was said, that it is a command
_LEAST_PART = 0.6  # of a part of it
_LEAST_OF_NOBODY = 0.75  # of what nobody is said to have said
_LEAST_OF_IT = 0.5  # that a part of it is this one command
_LEAST_SAID = 0.15  # that a sentence is about what is done
_LEAST_SCORE = 0.15  # of a command; noise has less, and what is like no phrase
_LEAST_SENSE = 0.35  # of anything; below it nothing is understood
_KNOWN = 0.8  # so alike, it is the phrase that is known: "do not lose sight of me"
_MOST_DANGER = 0.3
_IMPOSSIBLE_IN_DANGER = 0.5  # how much of the one counts as the other
_SAME = 0.75  # so alike, a phrase for all robots gives way to this robot's own
_AKIN = 0.6  # so alike, an example is followed in what it shows or says
_MOST_ACTIONS = 4
_SAD = 1  # among the feelings

_UNKNOWN: Kind = "unknown"

Label = Action | Kind
Verdict = Literal["act", "forbidden"] | Kind


class _Guess(NamedTuple):
    """What one text may mean."""

    action: Action
    certainty: float  # that it is a command
    of_it: float  # how much of that this action has
    other: Kind  # what it is if it is none
    social: float
    danger: float
    refusal: Kind


class Decider:
    """What to do, for one vocabulary and one set of examples.

    Making one computes for some 100 ms, and for 10 ms for each phrase that is not kept yet.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of which `is_decidable` holds.
    examples : sequence of Sensed
        The robot's own.
    vectors : Vectors
        Gives the vectors of texts, and keeps those of all phrases.
    """

    make_classifier: ClassVar[type[Classifier[Label]]] = Classifier

    def __init__(
        self, vocabulary: Vocabulary, examples: Sequence[Sensed], vectors: Vectors
    ) -> None:
        self._encode = vectors
        self._vocabulary = vocabulary
        self._idle = phrasebook().idle(vocabulary)
        self._shown = [spec for spec in vocabulary.specs if is_shown(spec)]
        self._moves = {spec.type: spec for spec in vocabulary.specs if is_moved(spec)}
        self._feelings = [
            (name, plain(said)) for name, all_ in phrasebook().feelings.items() for said in all_
        ]
        self._heard = [(listen(example.sensed), example) for example in examples]
        vectors.keep([*self._phrases()])
        keys = [_key(heard) for heard, _ in self._heard] or [""]
        self._vectors = vectors(keys)
        are = are_talk(keys, vocabulary, vectors)
        self._talk = [each for (_, each), is_talk in zip(self._heard, are, strict=False) if is_talk]
        self._feeling_vectors = vectors([said for _, said in self._feelings])
        self._asking = vectors([*map(plain, phrasebook().abilities)])
        labelled = list(self._labelled())
        self._classifier = self.make_classifier(labelled, vectors)
        commands = [each for each in labelled if isinstance(each[0], Action)]
        self._negated = vectors([said for _, said in commands if _is_negated(said)] or [""])
        still = [said for label, said in commands if label == self._idle and not _is_negated(said)]
        self._still = vectors(still or [""])

    def decide(self, sensed: str) -> Decision:
        """Decide; computes for some 10 ms, and as much again for each part of what was said.

        Parameters
        ----------
        sensed : str
            What is sensed now.

        Returns
        -------
        Decision
        """
        heard = listen(sensed)
        near, example = self._nearest(heard)
        if near < _AKIN:
            example = None
        idle = (self._idle,) if self._idle else ()
        if not heard.by_somebody and not self._is_addressed(heard):
            heard = Heard(heard.said, "")
        if not heard.said:
            moves = tuple(self._moves_of(example)) if example else ()
            shown = self._show(self._felt("silence", heard), example)
            return Decision("silence", moves or idle, shown)
        kind, meant = self._meant(heard)
        moves = tuple(each for each in meant if each.type in self._moves)
        if kind == "social" and example in self._talk:
            moves = tuple(self._moves_of(example))
        elif example and (kind == "forbidden" or tuple(self._moves_of(example)) != moves):
            example = None
        felt = self._felt(kind, heard)
        shown = self._show(felt, example, [each for each in meant if each not in moves])
        answer, is_fixed = self._answer(kind, felt, example, moves)
        asks = (self._asking @ self._encode([plain(heard.said)])[0]).max()
        if kind == "social" and asks > max(_SAME, near):
            answer, is_fixed = abilities(self._vocabulary), True
        if kind != "forbidden":  # by which it is decided already whether to stand still
            moves = moves or idle
        return Decision(kind, moves, shown, answer, is_fixed)

    def fits(self, sentence: str, decision: Decision) -> bool:
        """Whether a sentence can be said: heard as a wish, it is the one that is done.

        Computes for some 10 ms, and as much again for each part of the sentence.

        Parameters
        ----------
        sentence : str
            What the model has written.
        decision : Decision
            What is done.

        Returns
        -------
        bool
            In small talk, whether it tells of nothing that is not done.
        """
        done = (*decision.moves, *decision.shown)
        texts = [plain(sentence), *map(plain, wishes(sentence))]
        guesses = self._guesses(texts)
        if decision.kind == "act":
            whole = guesses[0]
            is_heard = whole.certainty > _LEAST_SAID and whole.of_it > _LEAST_OF_IT
            if not (whole.action in done and is_heard and affirms(sentence)):
                return False
        return all(guess.action in done for guess in guesses if guess.certainty > _LEAST_OF_NOBODY)

    def _meant(self, heard: Heard) -> tuple[Verdict, tuple[Action, ...]]:
        """Whether it is a command, and which."""
        whole, asked, forbidden = self._parted(heard.said)
        if forbidden and not asked:
            return self._forbidden(heard.said, forbidden)
        parts = [part for part in map(plain, asked) if part not in self._moves]  # a limb's name
        around = [f"{heard.scene} {whole}"] if heard.scene else []
        guesses = self._guesses([whole, *parts, *around, *([plain(heard.said)] * bool(forbidden))])
        worst = max(guesses, key=lambda guess: guess.danger)
        if worst.danger > _MOST_DANGER:
            return worst.refusal, ()
        first, rest = guesses[0], guesses[1 : 1 + len(parts)]
        meant = [
            guess for guess in rest if guess.certainty > _LEAST_PART and guess.of_it > _LEAST_OF_IT
        ]
        if forbidden:
            not_to = [
                guess.action
                for guess in self._guesses([*map(plain, forbidden)])
                if guess.certainty > _LEAST_COMMAND
            ]
            meant = [guess for guess in meant if guess.action not in not_to]
            if not meant:
                return self._forbidden(heard.said, forbidden)
            first = max(meant, key=lambda guess: guess.certainty)
        actions = list(dict.fromkeys(guess.action for guess in meant))
        # Doing nothing is a wish of its own only behind another one.
        real = [each for each in actions if each != self._idle or (each is actions[-1])]
        if len(real) > 1:
            return "act", tuple(real[:_MOST_ACTIONS])
        if not meant and first.certainty < _LEAST_COMMAND:
            return first.other, ()
        if not meant or first.certainty >= max(guess.certainty for guess in meant):
            return "act", (first.action,)
        return "act", (*real, *actions)[:1]

    def _parted(self, said: str) -> tuple[str, list[str], list[str]]:
        """All that is asked for, its parts, and what is forbidden."""
        whole, found = plain(said), wishes(said)
        asked: list[str] = []
        forbidden: list[str] = []
        for part in found if not self._is_among(whole, self._negated) else ():
            is_forbidden, about = unwound(part)
            if about != part and not self._is_among(plain(part), self._negated):
                (forbidden if is_forbidden else asked).append(about)
            else:
                asked.append(part)
        if forbidden:
            asked = [part for part in asked if not is_description(part)]
        elif not asked:
            asked = list(found)
        if tuple(asked) != found:
            whole = plain(" ".join(asked)) or whole
        return whole, [part for part in asked if not is_description(part)] or asked, forbidden

    def _forbidden(self, said: str, forbidden: Sequence[str]) -> tuple[Verdict, tuple[Action, ...]]:
        """A prohibition, and nothing else: to keep still, unless that is what is forbidden."""
        whole = self._guesses([plain(said)])[0]
        if whole.other == "social" and whole.certainty < _LEAST_COMMAND:
            return "social", ()
        about = [plain(part) for part in forbidden if part]
        is_still = about and all(self._is_among(part, self._still) for part in about)
        return "forbidden", () if is_still or self._idle is None else (self._idle,)

    def _is_among(self, text: str, phrases: NDArray[np.floating]) -> bool:
        """Whether a text is one of some phrases that this robot knows."""
        return bool((phrases @ self._encode([text])[0] > _KNOWN).any())

    def _is_addressed(self, heard: Heard) -> bool:
        """Whether words of nobody are clearly meant for the robot."""
        guess = self._guesses([plain(heard.said)])[0]
        return max(guess.certainty, guess.social) > _LEAST_OF_NOBODY

    def _guesses(self, texts: Sequence[str]) -> list[_Guess]:
        """What some texts may mean."""
        scores = self._classifier.scores(texts)
        return [self._guess(*each) for each in zip(scores, shares(scores), strict=True)]

    def _guess(self, scores: NDArray[np.float64], fits: NDArray[np.float64]) -> _Guess:
        """What the scores and probabilities of all labels come to."""
        commands, kinds = self._split(fits)
        best = max(self._split(scores)[0].values())
        danger = kinds["dangerous"] + _IMPOSSIBLE_IN_DANGER * kinds["impossible"]
        return _Guess(
            action=max(commands, key=commands.__getitem__),
            certainty=sum(commands.values()) if best > _LEAST_SCORE else 0.0,
            of_it=max(commands.values()) / (sum(commands.values()) or 1.0),
            other=max(kinds, key=kinds.__getitem__) if scores.max() > _LEAST_SENSE else "nonsense",
            social=kinds["social"],
            danger=danger,
            refusal="dangerous" if kinds["dangerous"] > kinds["impossible"] else "impossible",
        )

    def _split(self, fits: NDArray[np.float64]) -> tuple[dict[Action, float], dict[Kind, float]]:
        commands: dict[Action, float] = {}
        kinds: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        for label, fit in zip(self._classifier.labels, fits, strict=True):
            if isinstance(label, Action):
                commands[label] = float(fit)
            else:
                kinds[label] = float(fit)
        return commands, kinds

    def _nearest(self, heard: Heard) -> tuple[float, Sensed | None]:
        """The example most like it, of those in which somebody speaks as well, or nobody does."""
        vector = self._encode([_key(heard)])[0]
        best: tuple[float, Sensed | None] = (-1.0, None)
        for (other, example), alike in zip(self._heard, self._vectors @ vector, strict=False):
            if bool(other.said) == bool(heard.said) and alike > best[0]:
                best = float(alike), example
        return best

    def _show(
        self, felt: Sequence[str], example: Sensed | None, meant: Sequence[Action] = ()
    ) -> tuple[Action, ...]:
        """The feelings shown: as it is asked for, as an example has them, or by what is felt."""
        shown: list[Action] = []
        for spec in self._shown:
            values = {folded(value): value for value in spec.values or ()}
            told = (*meant, *(example.actions if example else ()))
            given = [each.value for each in told if each.type == spec.type]
            names = [*given, *" ".join(felt).split()]
            names = [folded(name) for name in names if folded(name) in values]
            shown += [Action(type=spec.type, value=values[name]) for name in names[:1]]
        return tuple(shown)

    def _felt(self, kind: str, heard: Heard) -> list[str]:
        """Names of feelings, the most fitting first."""
        names = _names()
        if kind in ("act", "forbidden"):
            return names
        if kind == "silence":
            return names[::-1]
        if kind != "social":
            return names[1:]
        alike = self._feeling_vectors @ self._encode([plain(heard.said)])[0]
        first = self._feelings[int(alike.argmax())][0]
        return [first, *(name for name in names if name != first)]

    def _answer(
        self,
        kind: Verdict,
        felt: Sequence[str],
        example: Sensed | None,
        moves: Sequence[Action],
    ) -> tuple[str, bool]:
        """What is said where the model's sentence is not, and whether that is in any case.

        It is where nothing is done, for comfort, and where two things are done, of which a model of
        this size tells one.
        """
        is_sad = kind == "social" and felt[0] == _names()[_SAD]
        is_fixed = len(moves) > 1 or is_sad or kind not in ("act", "social")
        said = [each.value for each in example.actions if self._is_spoken(each)] if example else []
        plainly = phrasebook().told(moves) if kind == "act" else phrasebook().answers[kind]
        return (*said, phrasebook().answers["sad"] if is_sad else plainly)[0], is_fixed

    def _is_spoken(self, action: Action) -> bool:
        return action.type not in self._moves and all(
            action.type != spec.type for spec in self._shown
        )

    def _moves_of(self, example: Sensed) -> Iterator[Action]:
        """What an example moves, in this vocabulary; not the idle action."""
        for action in example.actions:
            spec = self._moves.get(action.type)
            if spec is not None and action.value in (spec.values or ()) and action != self._idle:
                yield action

    def _phrases(self) -> Iterator[str]:
        """All texts that will be needed again."""
        yield from (said for _, said in by_name(self._vocabulary))
        yield from map(plain, phrasebook().said())
        for heard, _ in self._heard:
            yield _key(heard)
            yield from map(plain, wishes(heard.said))

    def _labelled(self) -> Iterator[tuple[Label, str]]:
        """What the classifier learns: this robot's own phrases, and what all robots hear."""
        own: list[tuple[Label, str]] = [*by_name(self._vocabulary)]
        phrases = list(by_phrasebook(self._vocabulary))
        others: list[tuple[Label, str]] = [
            *((kind, plain(said)) for kind in KINDS for said in phrasebook().others[kind]),
            *(("social", plain(said)) for said in phrasebook().abilities),
        ]
        still = (each for each in (*own, *phrases) if each[0] == self._idle)
        own += self._by_example(self.make_classifier([*still, *others], self._encode))
        mine = [said for _, said in (*own, *phrases)]
        own_vectors = self._encode(mine)
        yield from dict.fromkeys((*own, *phrases))
        for label, said in dict.fromkeys(others):
            is_kept = label in ("dangerous", "social")
            if is_kept or (own_vectors @ self._encode([said])[0]).max() < _SAME:
                yield label, said
        own_vectors = own_vectors[: len(own)]
        for said in dict.fromkeys(for_others(self._vocabulary)):
            if said not in mine and (own_vectors @ self._encode([said])[0]).max() < _SAME:
                yield _UNKNOWN, said

    def _by_example(self, base: Classifier[Label]) -> Iterator[tuple[Label, str]]:
        """What the robot's examples say; those that move nothing are told apart by the others."""
        for heard, example in self._heard:
            if not heard.said:
                continue
            moves = list(self._moves_of(example))
            parts = wishes(heard.said)
            if len(moves) == 1:
                yield moves[0], plain(heard.said)
            elif moves and len(moves) == len(parts):
                yield from zip(moves, map(plain, parts), strict=True)
            elif not moves:
                fits = base.probabilities([plain(heard.said)])[0]
                yield base.labels[int(fits.argmax())], plain(heard.said)


def _is_negated(said: str) -> bool:
    """Whether a phrase has a negation, be it one that is taken back."""
    return any(unwound(part)[1] != part for part in wishes(said))


def _names() -> list[str]:
    """The feelings, by their names: happy, sad and curious."""
    return list(phrasebook().feelings)


def _key(heard: Heard) -> str:
    """By what a situation is compared with examples."""
    return plain(heard.said) if heard.said else plain(heard.scene)
