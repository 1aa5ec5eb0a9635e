"""Every way a call can fail, as one tree.

::

    ReflexarcError
    ├── ConfigError               config            the caller's mistake; nothing was sent
    ├── StorageError              storage           the robot's memory cannot be read or written
    └── LLMError                                    a call to a model failed
        ├── AuthError             auth              the key is missing or refused
        ├── QuotaError            quota             the account is used up; waiting does not help
        ├── RateLimitedError      rate_limited      too many calls; wait and try again
        ├── DeadlineError         timeout           one of our three clocks ran out; see `phase`
        ├── ConnectError          connection        no connection, or it broke
        ├── ServerError           server            the server says it failed
        ├── UnavailableError      unavailable       the model is missing or retired
        │   ├── LoadingError      loading           the model is still loading; ask again soon
        │   └── RestingError      resting           it has failed, and is left alone for a while
        ├── BadRequestError       bad_request       the server does not accept what we sent
        ├── ContextOverflowError  context_overflow  the prompt is longer than the model's context
        ├── RefusedError          refused           the model or a filter declined to answer
        ├── ClosedError           closed            the LLM was closed, and not opened again
        └── BadOutputError        bad_output        the answer holds nothing the robot may do
            └── TruncatedError    truncated         the answer ended before it was complete

An error is classified once, at the provider's edge: by exception type, then status, then the
provider's own code field, never by words in a message. Every message is a sentence that says what
happened and what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from reflexarc.redaction import hidden

if TYPE_CHECKING:
    from reflexarc.attempts import Attempt

Phase = Literal["first_action", "stall", "total"]


class ReflexarcError(Exception):
    """Root of every error this package raises on purpose.

    Parameters
    ----------
    message : str
        What happened and what to do, as a sentence.
    provider : str or None, default None
        Name of the provider that failed, e.g. ``"MistralLLM"``.
    model : str or None, default None
        Model asked for.
    status : int or None, default None
        HTTP status, where there was one.
    request_id : str or None, default None
        The provider's id of the request, for its support.
    retryable : bool or None, default None
        Whether the same call may succeed later; None takes the class's usual answer.
    retry_after_s : float or None, default None
        Seconds the provider asked us to wait, as it said it (not clamped).
    elapsed_s : float or None, default None
        Seconds from the start of the call to the failure.
    """

    kind: ClassVar[str] = "error"
    usually_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
        retry_after_s: float | None = None,
        elapsed_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retryable = self.usually_retryable if retryable is None else retryable
        self.retry_after_s = retry_after_s
        self.elapsed_s = elapsed_s

    def hide(self, secret: str) -> None:
        """Blot a secret out of the message; servers quote the key that they refuse.

        Parameters
        ----------
        secret : str
            One of less than `SHORTEST_SECRET` characters is none, and may be a part of any word.
        """
        self.message = hidden(self.message, secret)
        self.request_id = self.request_id and hidden(self.request_id, secret)
        self.args = (self.message,)

    def to_dict(self) -> dict[str, object]:
        """The error as plain data, unknown fields left out.

        Returns
        -------
        dict
            ``kind``, ``message``, ``retryable`` always; the other attributes where known.
        """
        known = {name: value for name, value in vars(self).items() if value is not None}
        known.pop("attempts", None)
        return {"kind": self.kind, **known}


class ConfigError(ReflexarcError, ValueError):
    """The caller's configuration or arguments are wrong; nothing was sent.

    Parameters
    ----------
    message : str
        What is wrong and what to write instead.
    path : str or None, default None
        File the mistake is in.
    line, column : int or None, default None
        Where in the file, from 1.
    variable : str or None, default None
        The environment's variable that is missing, where nothing else is wrong.
    """

    kind = "config"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        variable: str | None = None,
    ) -> None:
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.path = path
        self.line = line
        self.column = column
        self.variable = variable


class StorageError(ReflexarcError):
    """The robot's memory cannot be read or written; the robot itself goes on.

    `retryable` where the same may succeed later, as on a disk that is full now.
    """

    kind = "storage"


class LLMError(ReflexarcError):
    """A call to a model failed; the subclass says how.

    Attributes
    ----------
    attempts : tuple of Attempt
        Every try of the call that ended in this error.
    """

    attempts: tuple[Attempt, ...] = ()

    def copy(self) -> Self:
        """The same error once more, for what is known only outside of who has raised it.

        Returns
        -------
        LLMError
            With the same cause and traceback. A program may raise one object again and again, so
            what is written into it would be told of the next call as well.
        """
        kind = type(self)
        again = kind.__new__(kind, *self.args)
        vars(again).update(vars(self))
        again.__cause__ = self.__cause__
        return again.with_traceback(self.__traceback__)


class AuthError(LLMError):
    """The provider refused the key, or there was none."""

    kind = "auth"


class QuotaError(LLMError):
    """The account's quota or balance is used up."""

    kind = "quota"


class RateLimitedError(LLMError):
    """Too many calls; `retry_after_s` says how long to wait, where the provider did."""

    kind = "rate_limited"
    usually_retryable = True


class DeadlineError(LLMError):
    """One of our own clocks ran out.

    Parameters
    ----------
    message : str
        What was waited for and for how long.
    phase : {"first_action", "stall", "total"}, default "total"
        Which clock: until the first complete action, between two useful pieces, or the whole call.
    """

    kind = "timeout"
    usually_retryable = True

    def __init__(
        self, message: str, *, phase: Phase = "total", elapsed_s: float | None = None
    ) -> None:
        super().__init__(message, elapsed_s=elapsed_s)
        self.phase: Phase = phase


class ConnectError(LLMError):
    """No connection to the server, or the connection broke."""

    kind = "connection"
    usually_retryable = True


class ServerError(LLMError):
    """The server answered that it failed."""

    kind = "server"
    usually_retryable = True


class UnavailableError(LLMError):
    """The model cannot answer: it is loading, not installed, unknown or retired."""

    kind = "unavailable"
    usually_retryable = True


class LoadingError(UnavailableError):
    """The server runs and its model is still loading."""

    kind = "loading"


class RestingError(UnavailableError):
    """It has failed lately and was not asked; `retry_after_s` says for how much longer."""

    kind = "resting"


class BadRequestError(LLMError):
    """The server does not accept the request as we sent it.

    Attributes
    ----------
    fields : tuple of str
        Fields of the request that the server's answer names.
    """

    kind = "bad_request"
    fields: tuple[str, ...] = ()

    def hide(self, secret: str) -> None:
        """Blot a secret out of the message, and drop fields that are one."""
        super().hide(secret)
        if self.fields:
            self.fields = tuple(field for field in self.fields if secret not in field)


class ContextOverflowError(LLMError):
    """The prompt is longer than the model's context."""

    kind = "context_overflow"


class RefusedError(LLMError):
    """The model, or a filter in front of it, declined to answer."""

    kind = "refused"


class ClosedError(LLMError):
    """The LLM was closed before the answer was complete, and not opened again."""

    kind = "closed"


class BadOutputError(LLMError):
    """The answer holds nothing that the robot may do, or does not fit the model asked for."""

    kind = "bad_output"
    usually_retryable = True


class TruncatedError(BadOutputError):
    """The answer ended before it was complete; what was already handed over stands."""

    kind = "truncated"


def check_type(value: object, kind: type, what: str, advice: str) -> None:
    """Refuse an argument of another type, which would fail later and without a word to go by.

    Parameters
    ----------
    value : object
        What was handed in.
    kind : type
        What it has to be.
    what : str
        That it has to be that, such as ``"a prompt must be a text"``.
    advice : str
        What to write, such as ``"write ask(text)"``.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if not isinstance(value, kind):
        given = value.__name__ if isinstance(value, type) else f"of type {type(value).__name__}"
        raise ConfigError(f"{what}, not {given}; {advice}")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or all of them.

    Parameters
    ----------
    wrong : str
        What was written.
    known : iterable of str
        What may be written.

    Returns
    -------
    str
        ``"did you mean 'model'?"`` or ``"choose one of a, b, c"``.
    """
    words = sorted(known)
    lowered = {word.lower(): word for word in words}
    near = get_close_matches(wrong.lower(), lowered, n=1, cutoff=0.6)
    return f"did you mean '{lowered[near[0]]}'?" if near else f"choose one of {', '.join(words)}"


# What moves a terminal's cursor, or has it write from right to left.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def in_line(text: str) -> str:
    """Somebody else's words on one line, so that none of them passes for a line of ours.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        White space is single spaces; what would move a terminal's cursor is ``�``.
    """
    return _CONTROL.sub("�", " ".join(text.split()))


_LONGEST_QUOTE = 300


def quote(text: str) -> str:
    """Somebody else's words on one line, shortened, for a message.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        At most 300 characters; HTML is only named.
    """
    line = in_line(text)
    if line.startswith("<"):
        return "a web page"
    return line if len(line) <= _LONGEST_QUOTE else f"{line[: _LONGEST_QUOTE - 1]}…"
