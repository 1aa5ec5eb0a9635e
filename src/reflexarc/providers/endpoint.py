"""What a server has shown of itself, so that nothing is refused twice.

A server tells what it cannot do by refusing a field, by ignoring it, or by its name; each costs one
request, and the rest of a robot's day is spent knowing it. Nothing is asked beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from reflexarc.errors import BadRequestError, ContextOverflowError, LLMError
from reflexarc.llm import Request
from reflexarc.providers.dialect import Dialect, Form

_log = logging.getLogger(__name__)

# The fields by which a form holds an answer; where one is refused, the form is.
_HOLDING: Mapping[str, frozenset[str]] = {
    "grammar": frozenset({"grammar"}),
    "schema": frozenset({"response_format", "json_schema"}),
    "tools": frozenset({"tools"}),
    "json": frozenset({"response_format", "json_object"}),
}
# What a sentence may name beside the field that it refuses, and no request can do without.
_NEVER_LEFT_OUT = frozenset({"model", "messages", "stream"}).union(*_HOLDING.values())
_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

# No text has more bytes a token on average; a prompt so much longer than another, but of no
# more tokens, was not read as a whole; and no server has less context. (Fewer tokens are told by
# servers that leave out what they had in their cache.)
_MOST_BYTES_A_TOKEN = 8
_LONGER_BY = 1.1
_LEAST_CONTEXT = 1000


class Endpoint:
    """What one server accepts, as far as is known.

    Parameters
    ----------
    dialect : Dialect
        How requests to it are written.
    forms : sequence of Form
        What may hold the answer, best first.

    Attributes
    ----------
    amended : dict
        Fields to set in every request, None to leave one out; see `Request`.
    most_turns : int or None
        Turns of history that fit, once some did not.
    """

    def __init__(self, dialect: Dialect, forms: Sequence[Form]) -> None:
        self._dialect = dialect
        self.amended: dict[str, object] = {}
        self.most_turns: int | None = None
        self._forms = list(forms)
        self._form = 0
        self._dropped: set[str] = set()
        self._longest: dict[str, tuple[int, int]] = {}  # bytes and tokens of a prompt, by form
        self._told_of_cuts = False

    @property
    def form(self) -> Form:
        """How the next answer is to be held."""
        return self._forms[self._form]

    def prefer(self, form: Form) -> None:
        """Put a form first, unless it is known already or was refused.

        Parameters
        ----------
        form : Form
            What the server turns out to understand.
        """
        if form not in self._forms and form not in self._dropped:
            self._forms.insert(0, form)
            self._form = 0

    def learn(self, error: LLMError, request: Request, *, is_formless: bool) -> bool:
        """Learn from a failure.

        Parameters
        ----------
        error : LLMError
            How the request failed.
        request : Request
            As it was sent.
        is_formless : bool
            Whether the answer had nothing of the form that was asked for.

        Returns
        -------
        bool
            Whether another request may do better.
        """
        if isinstance(error, BadRequestError):
            sent = self._dialect.body(request).keys()
            for field in error.fields:  # of which a sentence may name others, too, as the remedy
                if field in _LIMITS and field in sent:
                    self._rename(field, request)
                elif field not in _LIMITS:
                    self._refused(field, request, is_sent=field in sent)
            return (self.form, self.amended) != (request.form, request.amended)
        if isinstance(error, ContextOverflowError):
            return self._overflowed(request)
        return is_formless and self._ignored(request)

    def count(self, request: Request, tokens: int) -> None:
        """Learn from the server's own count whether it has read the whole prompt.

        Some cut a prompt that is too long, at its beginning, and answer with status 200.

        Parameters
        ----------
        request : Request
            As it was sent.
        tokens : int
            Of the prompt, as the server has counted them.
        """
        size = sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)
        longest, most = self._longest.get(request.form, (0, 0))
        cut = tokens >= _LEAST_CONTEXT and (
            tokens * _MOST_BYTES_A_TOKEN < size or (tokens <= most and size > _LONGER_BY * longest)
        )
        if not cut:
            if tokens > most:
                self._longest[request.form] = size, tokens
            return
        self._overflowed(request)
        if not self._told_of_cuts:
            self._told_of_cuts = True
            _log.warning(
                "The server has read %d tokens of a prompt of %d bytes: it cuts the "
                "beginning off, and with it the robot's laws. Give it more context (Ollama: "
                "OLLAMA_CONTEXT_LENGTH), or shorten the prompt or history_length.",
                tokens,
                size,
            )

    def _refused(self, field: str, request: Request, *, is_sent: bool) -> None:
        if field in _HOLDING.get(request.form, ()):
            self._drop(request.form)
        elif field == "reasoning_effort" and field not in self.amended:
            self._amend(field, "none")  # OpenAI takes tools with no other
        elif field in request.config.extra_params or (is_sent and field not in _NEVER_LEFT_OUT):
            self._amend(field, None)

    def _rename(self, name: str, request: Request) -> None:
        """Send the token limit by its other name, and if that is refused too, not at all."""
        other = _LIMITS[name]
        self._amend(name, None)
        self.amended.setdefault(other, request.config.max_tokens)

    def _ignored(self, request: Request) -> bool:
        """Go to the next form; after the last one the model is to blame, so back to the first."""
        if request.form == self.form:
            last = self._form == len(self._forms) - 1
            self._form = 0 if last else self._form + 1
            if last:
                return False
            _log.warning("The server ignores '%s'; asking by '%s' now.", request.form, self.form)
        return True

    def _overflowed(self, request: Request) -> bool:
        """Show half as many turns from now on; whether there were any."""
        if request.turns:
            self.most_turns = min(request.turns // 2, self.most_turns or request.turns)
        return request.turns > 0

    def _drop(self, form: str) -> None:
        left: list[Form] = [each for each in self._forms if each != form]
        if left and len(left) < len(self._forms):
            here = self.form
            self._dropped.add(form)
            self._forms = left
            # Those before it were ignored, and stay behind.
            self._form = left.index(here) if here in left else min(self._form, len(left) - 1)
            _log.warning("The server refuses '%s'; asking by '%s' now.", form, self.form)

    def _amend(self, field: str, value: object) -> None:
        if field not in self.amended or self.amended[field] != value:
            done = "left out" if value is None else f"sent as {value!r}"
            _log.warning("The server refuses '%s'; it is %s from now on.", field, done)
            self.amended[field] = value
