"""The line form of an answer, one action a line, for models too small to write JSON well.

``move sit`` costs 0.4 of the time of its JSON and is given out at its line break. A value that
begins with another one (``walk back`` beside ``walk``) is spelled the other way round, ``back
walk``: a small model that has written ``walk`` ends the line there, whatever the examples say
(measured; it lifted a dog from 45 to 57 of 63 situations).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from reflexarc.decoder import ActionDecoder, Ending, Judge
from reflexarc.parameters import describe, grammar_of, rules_for
from reflexarc.specs import ActionSpec, folded
from reflexarc.types import Action, ToolCallDelta
from reflexarc.vocabulary import Refusal, Vocabulary

LONGEST_LINE = 160
"""Characters a free text may have on its line."""

_TEXT = f'[^\\x00-\\x20] [^\\x00-\\x1f]{{0,{LONGEST_LINE - 1}}} "\\n"'


class LineForm:
    """A vocabulary as lines.

    Parameters
    ----------
    vocabulary : Vocabulary
        The robot's actions.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._word_of = {spec.type: _words(spec.values or ()) for spec in vocabulary.specs}
        self._value_of = {
            folded(type_): {folded(word): value for value, word in words.items()}
            for type_, words in self._word_of.items()
        }

    def write(self, actions: Iterable[Action]) -> str:
        """Actions as lines.

        Parameters
        ----------
        actions : iterable of Action
            Of this vocabulary; others are written as they are. White space in a free text, line
            breaks too, becomes single spaces.

        Returns
        -------
        str
            Each line with its line break.
        """
        return "".join(f"{action.type} {self._spell(action)}\n" for action in actions)

    def _spell(self, action: Action) -> str:
        known = self._word_of.get(action.type, {}).get(action.value)
        return " ".join(action.value.split()) if known is None else known

    def judge(self, type_: str, value: object) -> Action | Refusal:
        """Decide about an action that is spelled as in its line; see `Vocabulary.judge`.

        Parameters
        ----------
        type_ : str
            Name of the action.
        value : object
            The rest of the line.

        Returns
        -------
        Action or Refusal
        """
        words = self._value_of.get(folded(type_), {})
        spelled = words.get(folded(value), value) if isinstance(value, str) else value
        return self.vocabulary.judge(type_, spelled)

    def describe(self) -> str:
        """The actions as text for a model, one a line.

        Returns
        -------
        str
        """
        return "\n".join(f"{spec.type}: {self._values_of(spec)}" for spec in self.vocabulary.specs)

    def _values_of(self, spec: ActionSpec) -> str:
        if spec.parameters is not None:
            return describe(spec.parameters)
        return ", ".join(self._word_of[spec.type].values()) or "a short sentence"

    def grammar(self) -> str:
        """A GBNF grammar: each action at most once, in the order of the configuration.

        Measured, a small model under a free list repeats itself or walks down the list of values.

        Returns
        -------
        str
        """
        specs = self.vocabulary.specs
        rules = [f"root ::= {' '.join(f'a{index}?' for index in range(len(specs)))}"]
        rules += [f"a{index} ::= {self._rule(spec)}" for index, spec in enumerate(specs)]
        return "\n".join(rules + rules_for(rules)) + "\n"

    def sentence_grammar(self) -> str:
        """A GBNF grammar of the rest of a line with a free text, from the space on.

        Returns
        -------
        str
            With the space, as models have words with the space before them.
        """
        return f'root ::= " " {_TEXT}\n'

    def _rule(self, spec: ActionSpec) -> str:
        # GBNF's escapes are those of C; JSON's are the ones among them that a line can need.
        head = json.dumps(f"{spec.type} ", ensure_ascii=False)
        if spec.parameters is not None:
            return f'{head} {grammar_of(spec.parameters)} "\\n"'
        if spec.values is None:
            return f"{head} {_TEXT}"
        words = self._word_of[spec.type].values()
        alternatives = " | ".join(json.dumps(word, ensure_ascii=False) for word in words)
        return f'{head} ( {alternatives} ) "\\n"'


def _words(values: tuple[str, ...]) -> dict[str, str]:
    """How each value is spelled in its line: the other way round where that helps and is unique."""
    words = {value: value for value in values}
    taken = {folded(value) for value in values}
    for value in values:
        for start in values:
            rest = value.removeprefix(f"{start} ")
            turned = f"{rest} {start}"
            helps = rest != value and not any(turned.startswith(f"{each} ") for each in values)
            if helps and folded(turned) not in taken:
                words[value] = turned
                taken.add(folded(turned))
    return words


class LineActions(ActionDecoder):
    """Actions one a line, ``move sit``: the short form for small models.

    Parameters
    ----------
    judge : callable
        Decides about each action.
    begun : str, default ""
        What the first line begins with, where the model only goes on with it.
    """

    def __init__(self, judge: Judge, begun: str = "") -> None:
        super().__init__(judge)
        self._line: list[str] = [begun]

    def _text(self, text: str) -> list[Action | Refusal]:
        first, *rest = text.split("\n")
        self._line.append(first)
        verdicts: list[Action | Refusal] = []
        for part in rest:
            verdicts += self._end_line()
            self._line.append(part)
        return verdicts

    def _end_line(self) -> list[Action | Refusal]:
        type_, _, value = "".join(self._line).strip().partition(" ")
        self._line.clear()
        return [self._decide(type_, value)] if type_ else []

    def _tool_call(self, delta: ToolCallDelta) -> list[Action | Refusal]:
        return []

    def close(self, ending: Ending) -> list[Action | Refusal]:
        """End the answer, whose last line need not have a line break; see `Decoder.close`."""
        finished = ending == "finished"
        verdicts = self._end_line() if finished else []
        self._check(whole=finished, may_be_empty=not self._beginning.strip())
        return verdicts
