"""What is sensed, as a person would take it: what was said, in which scene, in how many wishes.

Plain rules for English; where one does not fit, the text is left as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reflexarc.onboard.prohibition import INSIDE, goes_on, spelled_out, unwound

_SPEAKING = (
    r"says?|said|asks?|shouts?|calls?|cries|yells?|whispers?|tells?|adds?|mutters?|hears?|heard"
)
_SOURCE = r"voice|speech|asr|audio|microphone|user|human|person"

# "A person says: sit!", "You hear: sit!", and an input's name in front, as OM1 has it.
_SAID = re.compile(
    rf"^(?:(?P<before>.*\b(?:{_SPEAKING})\b[^:.!?]{{0,40}})|(?:{_SOURCE})\b[^:.!?]{{0,40}})"
    r":\s*(?P<said>\S.*)$",
    re.IGNORECASE,
)

# How a sentence begins that describes something.
_DESCRIBING = re.compile(
    r"^(?:an?|the|it|its|there|you|your|he|she|they|we|his|her|their|this|that|these|those|no|none|not"
    r"|nobody|nothing|no-?one|some\w*|every\w*|any\w*|all|many|several|two|three|four|five|\d+|in|on|at)\b|^\w+:",
    re.IGNORECASE,
)

# Words around a wish that do not belong to it.
_AROUND = re.compile(
    r"\b(?:come on,?|um+|uh+|er+|erm|hmm+|please|kindly|just|(?:hey|hi)(?! there)|okay|ok|well|so"
    r"|now|right so"
    r"|why (?:do not|don['’]?t) (?:you|we)(?! (?:ever|like|love|have|know|think|want|talk)\b)"
    r"|why not(?= \w)|(?:won|can|couldn|wouldn|shouldn)['’]?t you(?: like to)?"
    r"|don['’]?t you (?:(?:want|like|wish|have|need) to|feel like|think you should)"
    r"|(?<!\bwhat )(?:would|could|can|will|may|should|must) you"
    r"|you (?:should|must|can|may|have to|need to)(?!['’])"
    r"|i want you to|i need you to|i(?: would|'d) like you to|let(?:'s| us| me) see you"
    r"|for (?:me|us)|if you (?:don't mind|can|like)"
    r"|(?<!\bgood )(?:robot|boy|girl|dog(?:gy|gie)?|puppy))\b,?",
    re.IGNORECASE,
)
_TWICE = re.compile(r"\b(\w+)(?:[ ,]+\1\b)+", re.IGNORECASE)

# What a sentence has that says no, and what one has that tells of oneself.
_DECLINING = re.compile(
    r"\b(?:no|not|cannot|never|nothing|sorry|unable|afraid)\b|n['’]t\b", re.IGNORECASE
)
_OF_ONESELF = re.compile(r"\b(?:i|my|mine|me|we|us|our|here)\b|\blet['’]s\b", re.IGNORECASE)

# Two wishes: what stands between them, and what turns them round.
_BETWEEN = re.compile(
    r"\s*(?:[,;]?\s+(?:and then|and after(?:wards| that)|then|after that|afterwards"
    r"|(?:and,? )?(?:when|as soon as|once) (?:that is|that's|you are|you're|you have|you've)"
    r" (?:done|there|finished|arrived|ready|up|down|back)\b,?"
    r"|and|but)\s+|[;.!?]+\s+(?:(?:once|as soon as|when) (?:you are|you're|you have|you've)"
    r" (?:done|there|finished|arrived|ready|up|down|back)\b,?\s+)?|,\s+)|" + INSIDE,
    re.IGNORECASE,
)
_ARRIVED = re.compile(
    r"(?:done|there|finished|arrived|ready|up|down|back)\b(?: with (?:it|that))?,?", re.IGNORECASE
)
_OF_ME = re.compile(r"i\b|(?:do not|never)\b", re.IGNORECASE)
_IT = re.compile(r"(?:(?:do )?(?:it|that|this|so))?", re.IGNORECASE)
_ORDER = re.compile(r"^(?:first(?:ly)?|and|then|next|finally)\b[,:]?\s*", re.IGNORECASE)
_LATER_FIRST = (
    re.compile(r"^before(?: you)?\s+(?P<second>[^,]+),\s*(?P<first>.+)$", re.IGNORECASE),
    re.compile(r"^(?P<second>.+?),? but first,? (?P<first>.+)$", re.IGNORECASE),
    re.compile(
        r"^(?P<second>.+?),? but (?P<first>.+?) before (?:you do|that|it)[.!]*$", re.IGNORECASE
    ),
    re.compile(
        r"^(?P<second>.+?),? (?:though |but )?not (?:until|before) you(?: have|'ve)? "
        r"(?P<first>.+)$",
        re.IGNORECASE,
    ),
    re.compile(r"^(?P<second>.+?),? but (?P<first>.+?) first[.!]*$", re.IGNORECASE),
    re.compile(
        r"^(?P<second>.+?)(?<!\band),? (?:after|once|as soon as|when) you(?: have|'ve| are)?\s+"
        r"(?P<first>.+)$",
        re.IGNORECASE,
    ),
)
_EARLIER_FIRST = (
    re.compile(
        r"^(?:after|once|as soon as|when) you(?: have|'ve| are)?\s+(?P<first>[^,]+),\s*"
        r"(?P<second>.+)$",
        re.IGNORECASE,
    ),
    re.compile(r"^(?P<first>.+?),? before you\s+(?P<second>.+)$", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is sensed, taken apart.

    Parameters
    ----------
    scene : str
        What is seen and otherwise sensed; may be empty.
    said : str
        What somebody said to the robot; empty where nobody did.
    by_somebody : bool, default True
        Whether it says who has said it; else it may be but a scene in few words.
    """

    scene: str
    said: str
    by_somebody: bool = True

    @property
    def whole(self) -> str:
        """Both as one text."""
        return " ".join(filter(None, (self.scene, self.said)))


def listen(sensed: str) -> Heard:
    """Take apart what is sensed.

    Parameters
    ----------
    sensed : str
        One line a source. A single line that nobody says, and that does not begin like a
        description, may have been said to the robot.

    Returns
    -------
    Heard
    """
    scenes: list[str] = []
    words: list[str] = []
    for line in sensed.splitlines():
        found = _SAID.match(line.strip())
        if found is None:
            scenes.append(line.strip())
            continue
        before = found["before"] or ""
        scenes.append(before[: max(before.rfind(mark) for mark in ".!?") + 1])
        words.append(found["said"].strip().strip("\"'“”"))
    scene = " ".join(filter(None, scenes))
    if not words and len(scenes) == 1 and not _DESCRIBING.match(scene):
        return Heard("", scene, by_somebody=False)
    return Heard(scene, " ".join(words))


def plain(said: str) -> str:
    """A wish without what stands around it: politeness, fillers, words said twice.

    Parameters
    ----------
    said : str
        What somebody said.

    Returns
    -------
    str
        In lower case, without marks at its ends; never empty where `said` was not.
    """
    text = _TWICE.sub(r"\1", _AROUND.sub(" ", said))
    text = re.sub(r"\s+([,.!?])", r"\1", text)
    text = " ".join(text.split()).strip(" ,.!?;:").lower()
    return text or " ".join(said.lower().split())


def affirms(sentence: str) -> bool:
    """Whether a sentence tells of oneself, and says no to nothing.

    Parameters
    ----------
    sentence : str
        What the robot may say.

    Returns
    -------
    bool
    """
    return _OF_ONESELF.search(sentence) is not None and _DECLINING.search(sentence) is None


def is_description(part: str) -> bool:
    """Whether a part of what was said describes something, and is no wish by itself.

    Parameters
    ----------
    part : str
        As of `wishes`.

    Returns
    -------
    bool
    """
    return _DESCRIBING.match(part) is not None and not part.lower().startswith(
        ("a ", "an ", "not ")
    )


def wishes(said: str) -> tuple[str, ...]:
    """The parts of what was said that may each be a wish, in the order in which they are meant.

    Parameters
    ----------
    said : str
        What somebody said.

    Returns
    -------
    tuple of str
        One, the whole, where there is nothing to part.
    """
    said = spelled_out(_AROUND.sub(" ", said).strip())
    for pattern in (*_LATER_FIRST, *_EARLIER_FIRST):
        found = pattern.match(said)
        if found and not (_ARRIVED.match(found["first"]) or _OF_ME.match(found["second"])):
            return (*wishes(found["first"]), *wishes(found["second"]))
    parts: list[str] = []
    at, between = 0, ""
    for found in (*_BETWEEN.finditer(said), None):
        part = _ORDER.sub("", said[at : found.start() if found else None]).strip(" ,.!?;")
        if parts and goes_on(parts[-1], between, part):
            parts[-1] += between + part
        elif part:
            parts.append(part)
        if found:
            at, between = found.end(), found[0]
    is_forbidden, about = unwound(parts[-1]) if parts else (False, said)
    if is_forbidden and _IT.fullmatch(about):  # "sit, no, don't": all of it
        return (" ".join((parts[-1], *parts[:-1])),)
    return tuple(parts) or (said,)
