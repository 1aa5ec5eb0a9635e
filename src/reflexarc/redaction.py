"""Texts without the keys that stand in them."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from urllib.parse import quote

SHORTEST_SECRET = 6
"""Characters a key has at least, to be one."""


def hidden(text: str, secret: str) -> str:
    """A text without a secret, however it is written there.

    Parameters
    ----------
    text : str
        Somebody else's words.
    secret : str
        One of less than `SHORTEST_SECRET` characters is none, and may be a part of any word.

    Returns
    -------
    str
        With ``***`` in its place: also where it is percent-encoded, in base64 as of a ``Basic``
        header, or folded into several lines.
    """
    return text if len(secret) < SHORTEST_SECRET else _written(secret).sub("***", text)


@lru_cache(maxsize=32)  # a robot has few, and asks for the same ones at every failure
def _written(secret: str) -> re.Pattern[str]:
    data = secret.encode()
    spellings = {secret, quote(secret, safe="")}
    for before in range(3):  # by what stands before it; what of it shares a digit is left out
        digits = b64encode(bytes(before) + data).decode().rstrip("=")
        shared = (0, 2, 3)[before], 1 if (before + len(data)) % 3 else 0
        spellings.add(digits[shared[0] : len(digits) - shared[1]])
    fold = r"(?:\\[rnt]|\s)*"  # also as JSON writes it
    longest_first = sorted(spellings, key=len, reverse=True)
    pattern = "|".join(fold.join(map(re.escape, each)) for each in longest_first)
    return re.compile(pattern, re.IGNORECASE)  # %2b is %2B


# Vendors' keys have a prefix, or letters and digits in one long row, as no name of a model has.
_LIKE_A_KEY = re.compile(
    r"\b(?:sk|xai|gsk|om1)[-_](?:[A-Za-z0-9]+[-_])*(?=[A-Za-z]*\d)[A-Za-z0-9]{12,}[\w-]*"
    r"|\bAIza[\w-]{12,}|\bLLM\|\d+\|[\w-]{8,}"
    r"|(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{20,}"
)


def blotted(text: str) -> str:
    """A text without what looks like a key, which may have been put where none belongs.

    Parameters
    ----------
    text : str
        Of a configuration, or about it.

    Returns
    -------
    str
        With ``***`` in its place.
    """
    return _LIKE_A_KEY.sub("***", text)
