"""What is compared with a brain: doing nothing, and the example most like it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

from reflexarc.config import Sensed
from reflexarc.llm import LLM, Messages
from reflexarc.onboard.phrasebook import phrasebook
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.types import Action, ActionReady, CortexOutputModel, Event, Finished
from reflexarc.vocabulary import Vocabulary

_WORD = re.compile(r"[^\W_]+")


class Baseline(LLM[CortexOutputModel]):
    """A brain that does not think; for comparison."""

    def actions(self, sensed: str) -> Sequence[Action]:
        """What it does.

        Parameters
        ----------
        sensed : str
            What is sensed.

        Returns
        -------
        sequence of Action
        """
        raise NotImplementedError

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Answer at once; see `LLM.stream`."""
        actions = [*self.actions(read_prompt(prompt, messages).situation)]
        for index, action in enumerate(actions):
            yield ActionReady(action, index, 0.0)
        answer = CortexOutputModel(actions=actions)
        yield Finished(answer, self.name, "", 0.0 if actions else None, 0.0, None)


class Idle(Baseline):
    """Does nothing, and says nothing.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the robot.
    """

    name = "idle"

    def __init__(self, vocabulary: Vocabulary) -> None:
        idle = phrasebook().idle(vocabulary)
        self._actions = [idle] if idle else []

    def actions(self, sensed: str) -> Sequence[Action]:
        """The same each time; see `Baseline.actions`."""
        return self._actions


class Nearest(Baseline):
    """Does what the example does that shares most words, the rare ones counting more.

    Parameters
    ----------
    examples : sequence of Sensed
        The robot's; without any it does nothing.
    """

    name = "nearest example"

    def __init__(self, examples: Sequence[Sensed]) -> None:
        self._examples = examples
        words = [_words(example.sensed) for example in examples]
        counts = Counter(word for each in words for word in each)
        self._weight = {word: math.log(1 + len(words) / count) for word, count in counts.items()}
        self._rows = [self._row(each) for each in words]

    def actions(self, sensed: str) -> Sequence[Action]:
        """Those of the nearest; see `Baseline.actions`."""
        if not self._examples:
            return []
        row = self._row(_words(sensed))
        alike = [
            sum(row.get(word, 0.0) * each for word, each in other.items()) for other in self._rows
        ]
        return self._examples[alike.index(max(alike))].actions

    def _row(self, words: set[str]) -> dict[str, float]:
        row = {word: self._weight[word] for word in words if word in self._weight}
        length = math.sqrt(sum(weight * weight for weight in row.values())) or 1.0
        return {word: weight / length for word, weight in row.items()}


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
