"""Examples that stand as prose in a robot's file, as OM1 has them in ``system_prompt_examples``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reflexarc.config import Sensed
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

_BETWEEN = re.compile(r"^\s*\d+[.)]\s+|\n\s*\n", re.MULTILINE)
_SAYS = re.compile(
    r"\b(?:says?|asks?|tells? you)\b[^'\"“]{0,20}(?P<quote>['\"“])(?P<said>.+?)['\"”]\s*[,:]"
)
_SCENE = re.compile(r"^(?:if|when) (?P<scene>[^,:\n]+)", re.IGNORECASE)
_ACTION = re.compile(r"^\s*[-*]?\s*(?P<type>[\w-]+)\s*:\s*(?P<value>\S.*?)\s*$")
_SENTENCE = re.compile(r"^\{+\s*['\"]\w+['\"]\s*:\s*(?P<value>.+?)\s*\}+$")


def read_prose(text: str, vocabulary: Vocabulary) -> tuple[Sensed, ...]:
    """Read examples: ``If a person says 'sit', you might:`` and then an action a line.

    Parameters
    ----------
    text : str
        With numbers or empty lines between them; what is no example is left out.
    vocabulary : Vocabulary
        Of the robot; an action that it does not have is left out.

    Returns
    -------
    tuple of Sensed
        Those with at least one action.
    """
    return tuple(_examples(text, vocabulary))


def _examples(text: str, vocabulary: Vocabulary) -> Iterator[Sensed]:
    for block in _BETWEEN.split(text):
        head, *lines = block.strip().splitlines() or [""]
        said, scene = _SAYS.search(head), _SCENE.match(head)
        if said:
            sensed = f"A person says: {_plain(said['said'])}"
        elif scene:
            sensed = f"{scene['scene'][:1].upper()}{scene['scene'][1:].strip()}."
        else:
            continue
        found = (_ACTION.match(line) for line in lines)
        verdicts = [vocabulary.judge(each["type"], _value(each["value"])) for each in found if each]
        actions = tuple(each for each in verdicts if isinstance(each, Action))
        if actions:
            yield Sensed(sensed=sensed, actions=actions)


def _value(text: str) -> str:
    """A value without what stands around it: quotes, or OM1's ``{{'sentence': '…'}}``."""
    if found := _SENTENCE.match(text):
        text = found["value"]
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        text = text[1:-1]
    return _plain(text)


def _plain(text: str) -> str:
    return text.replace("\\'", "'").replace('\\"', '"').strip()
