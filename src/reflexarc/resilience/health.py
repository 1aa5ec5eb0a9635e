"""What a failure says of who failed, and how quick one usually is."""

from __future__ import annotations

import math
from collections import deque

from reflexarc.errors import LLMError, RestingError

# These say something of the question, or that nobody was asked.
_NOT_COUNTED = {"bad_request", "closed", "context_overflow", "refused", "resting"}

# Of one who was asked for a text, these do not say how well he acts.
_NOT_COUNTED_OF_TEXT = {"timeout", "bad_output", "truncated"}

# These do not pass by themselves.
_LASTING = {"auth", "quota"}

FIRST_REST_S = 5.0
LONGEST_REST_S = 60.0
_GROWTH = 2.0


def is_counted(error: LLMError, *, is_plain: bool = False) -> bool:
    """Whether a failure says that the provider is not well.

    Parameters
    ----------
    error : LLMError
        How a call failed.
    is_plain : bool, default False
        Whether it was asked for plain text.

    Returns
    -------
    bool
        False where the question was at fault, or the provider was not asked.
    """
    return error.kind not in (_NOT_COUNTED | _NOT_COUNTED_OF_TEXT if is_plain else _NOT_COUNTED)


def is_lasting(error: LLMError) -> bool:
    """Whether the next call is sure to fail as well.

    Parameters
    ----------
    error : LLMError
        How a call failed.

    Returns
    -------
    bool
        True for a key that is refused and a quota that is used up.
    """
    return error.kind in _LASTING


class Rest:
    """How long one who has failed is left alone.

    Parameters
    ----------
    first_s : float, default FIRST_REST_S
        Seconds after the first failure; doubled at each further one in a row.
    longest_s : float, default LONGEST_REST_S
        Most seconds, whatever a server asks for.

    Attributes
    ----------
    era : int
        Rests so far. Whoever asks notes it: what becomes of a try that began before a rest neither
        ends it nor makes the next one longer.
    """

    def __init__(self, first_s: float = FIRST_REST_S, longest_s: float = LONGEST_REST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.era: int = 0
        self._times = 0
        self._until = -math.inf
        self._why = ""

    def begin(self, error: LLMError, now: float, era: int, *, is_plain: bool = False) -> None:
        """Begin a rest, as long as its record and the server ask for.

        Parameters
        ----------
        error : LLMError
            Why; one that does not count begins none.
        now : float
            The loop's time.
        era : int
            When the try began.
        is_plain : bool, default False
            Whether it was asked for plain text.
        """
        asked_s = min(self._longest_s, error.retry_after_s or 0.0)
        if isinstance(error, RestingError):  # somebody inside has begun it already
            self._until = max(self._until, now + asked_s)
        if not is_counted(error, is_plain=is_plain):
            return
        rest_s = self._longest_s if is_lasting(error) else asked_s
        if era == self.era:
            # The exponent is bounded, or a robot left alone for months would overflow a float.
            grown_s = self._first_s * _GROWTH ** min(self._times, 32)
            rest_s = max(rest_s, min(self._longest_s, grown_s))
            self._times += 1
            self.era += 1
        self._until = max(self._until, now + rest_s)
        self._why = error.kind

    def end(self, era: int) -> None:
        """Forget all failures: an answer has arrived.

        Parameters
        ----------
        era : int
            When the try began.
        """
        if era == self.era:
            self._times = 0
            self._until = -math.inf

    def left_s(self, now: float) -> float:
        """Seconds for which it is still left alone.

        Parameters
        ----------
        now : float
            The loop's time.

        Returns
        -------
        float
            0 if it is not.
        """
        return max(0.0, self._until - now)

    def error(self, name: str, now: float) -> RestingError:
        """Why it is not asked.

        Parameters
        ----------
        name : str
            Who is left alone.
        now : float
            The loop's time.

        Returns
        -------
        RestingError
        """
        left_s = self.left_s(now)
        return RestingError(
            f"{name} has failed ({self._why}) and is left alone for another {left_s:.1f} s; "
            "wait, or name another provider",
            provider=name,
            retry_after_s=left_s,
        )


_KEPT = 50
_ENOUGH = 8
_PERCENTILE = 0.95


class Latencies:
    """Seconds to the first action of the last 50 answers of one brain."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        """Note one.

        Parameters
        ----------
        seconds : float
            To the first action; of one that was overtaken, as long as it had.
        """
        self._seconds.append(seconds)

    @property
    def p95(self) -> float | None:
        """The time that 19 of 20 keep; None until there are eight."""
        if len(self._seconds) < _ENOUGH:
            return None
        return sorted(self._seconds)[math.ceil(_PERCENTILE * len(self._seconds)) - 1]
