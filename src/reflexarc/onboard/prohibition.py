"""What a robot is told not to do: "don't jump", "no running", "I told you not to sit".

Plain rules for English. Where they are in doubt, something is forbidden: a move that is not made
can be asked for again.
"""

from __future__ import annotations

import re

_ISN_T = re.compile(
    r"\b(do|does|did|would|could|should|must|need|is|are|was|were|have|has|had|ought)"
    r"(?: ?n['’ ]?t| not)\b",
    re.IGNORECASE,
)
_IRREGULAR = (
    (re.compile(r"\b(?:can['’ ]?t|cannot|can not)\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon['’ ]?t\b", re.IGNORECASE), "will not"),
    (re.compile(r"\bshan['’ ]?t\b", re.IGNORECASE), "shall not"),
)

_GERUND = r"(?!(?:any|some|every|no)?thing\b|(?:morn|even|k|r|br)ing\b)[a-z]{2,}ing\b"
_DOING = re.compile(_GERUND, re.IGNORECASE)
_SAYING = "like|say|tell|ask|think|believe|allow|let|permit|advise|recommend|suggest|expect"
_WANTING = "want|wish|need"
_CARE = "mind|try|remember|make sure|be careful|take care|be sure|promise|better|best|rather"
_STILL_A_STOP = (
    "it|that|this|what|right|there|here|at|in|on|by|before|when|if|as|for|and|or|immediately"
    "|moving|exactly|where|once|whatever|everything|a|the|your|all"
)
_EMPHASIS = r"you|ever|even|dare|again|to|do not|never|\w+ any \w+|whatever (?:you do|happens)"
_ENDING = r"give up|leave off|lay off|keep from|hold off"
_FAILING = r"forget|hesitate|fail|neglect|be (?:too )?(?:afraid|scared|shy)"

# How a prohibition begins; what comes after it is forbidden.
_FORBIDDING = re.compile(
    "|".join(
        (
            rf"^(?:no )?(?:do|does|did|dare) not\b(?:[ ,]+(?:{_EMPHASIS})\b)*",
            rf"^(?:never|not|nor|neither)\b(?:[ ,]+(?:{_EMPHASIS})\b)*",
            (
                r"(?<!\bif )(?<!\bwhy )(?<!\bwhen )\b(?:you|we|dogs|robots)(?:['’](?:d|ll|ve))? "
                r"(?:(?!are\b|were\b|have\b)\w+ )?(?:not|never)\b(?: to\b)?"
            ),
            (
                r"\b(?:you|we)(?: a|['’])re not (?:allowed|permitted|supposed|meant|going|to)\b"
                r"(?: to\b)?"
            ),
            rf"^i (?:\w+ )?(?:not|never) (?:\w+ )?(?:{_SAYING})\b(?: you)?(?: to\b)?",
            (
                rf"^i (?:\w+ )?(?:not|never) (?:\w+ )?(?:{_WANTING})\b(?=.*\b(?:{_GERUND}"
                rf"|you (?:to|should|can|must|ought|{_GERUND})|(?:when|if|that) you\b))"
                r"(?: you)?(?: to\b)?"
            ),
            r"^i\b.*?\byou(?: \w+)?(?: to)? (?:not|never)\b(?: to\b)?",
            r"^i (?:hate|dislike) (?:it )?(?:when|if|that)?",
            rf"^(?:{_CARE})\b.*?\bnot\b(?: to\b)?",
            r"^let(?:['’]s| us| me) (?:not|never|do not)\b",
            r"^(?:there (?:is|will be) (?:to be )?)?no(?: more)?(?= [a-z])",
            r"^(?:nobody|no-?one|none)\b",
            (
                r"^(?:that is |that['’]s )?(?:stop|quit|cease|enough)\b"
                rf"(?: (?:it|of|with|the|this|that|all|your))*(?= {_GERUND})"
            ),
            rf"^(?:stop|quit|cease)(?! (?:{_STILL_A_STOP})\b)(?= [a-z])",
            rf"^(?:avoid|refrain|desist|{_ENDING})\b(?: from| on)?",
            rf"^(?:{_FAILING}) (?:to|about|of)\b",
            r"^(?:without|instead of|rather than)\b",
            (
                r"\b(?:forbid(?:den)?|prohibit(?:ed)?|banned|(?:must|should|may|shall|need) not"
                r"|better not|not (?:allowed|permitted)|out of the question|off limits"
                r"|(?:under|on|in|by) no (?:circumstances?|account|case|means))\b"
                r"(?: you)?(?: to\b)?"
            ),
            (
                r"^(?!i (?:am|can|could|have|will)\b).*?(?<!\bwhy )\b(?:not|never|no)\b"
                rf"(?=.*(?:\byou to\b|\bto (?!the\b|my\b|a\b|your\b|it\b)\w+|\b{_GERUND}))"
            ),
        )
    ),
    re.IGNORECASE,
)

# What is not done to a wish behind it: "don't be shy and give me your paw".
_FEELING = re.compile(r"^(?:be|worry|mind|panic|cry|care|feel|get)\b", re.IGNORECASE)
_AND = re.compile(r"[ ,]*\b(?:and|or|nor)\s*", re.IGNORECASE)
_OR = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)

# Within a wish, where what is forbidden begins: "sit don't jump", "right not left".
_NOT_BEFORE = (
    "i|you|we|they|he|she|it|who|why|that|which|if|when|have|has|had|will|would|should|could|can"
    "|may|might|must|need|ought|shall|is|are|was|were|am|be|do|does|did|people|dogs|robots|to|mind"
    "|try|remember|careful|sure|care|promise|better|best|rather|or|whether|really|no|there"
)
INSIDE = "".join(rf"(?<!\b{word})" for word in _NOT_BEFORE.split("|")) + (
    r"(?<!['’]s)(?<!['’]re)(?<!['’]m)(?<!['’]ve)(?<!['’]d)(?<!\A)"
    r"\s+(?=(?:do not|never|not|without|instead of|rather than)\b)"
)
"""A pattern of what stands before a prohibition in the middle of a sentence."""


def spelled_out(said: str) -> str:
    """What was said, with "do not" for "don't", "dont" and the like.

    Parameters
    ----------
    said : str
        What somebody said.

    Returns
    -------
    str
    """
    for pattern, words in _IRREGULAR:
        said = pattern.sub(words, said)
    return _ISN_T.sub(r"\1 not", said)


def unwound(wish: str) -> tuple[bool, str]:
    """Whether a wish forbids something, and what it is about: of two negations none is left.

    Parameters
    ----------
    wish : str
        As of `hearing.wishes`.

    Returns
    -------
    is_forbidden : bool
        Whether it is not to be done.
    about : str
        What it is about; the wish as it is where nothing is negated, and empty in a mere "don't".
    """
    found = _FORBIDDING.search(wish)
    if found is None:
        return False, wish
    about = (wish[: found.start()] + wish[found.end() :]).strip(" ,")
    is_forbidden, about = unwound(about)
    return not is_forbidden, about


def goes_on(wish: str, between: str, following: str) -> bool:
    """Whether a prohibition goes on in what follows it: "don't run and jump".

    Parameters
    ----------
    wish : str
        What may be a prohibition.
    between : str
        What stands behind it.
    following : str
        The part that comes next.

    Returns
    -------
    bool
    """
    is_forbidden, about = unwound(wish)
    if not is_forbidden or _FEELING.match(about):
        return False
    if not about or _DOING.match(following) or _OR.search(following):
        return "." not in between
    return _AND.fullmatch(between) is not None and not _DOING.match(about)
