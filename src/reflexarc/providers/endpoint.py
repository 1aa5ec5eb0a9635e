"""What a server has shown of itself, so that nothing is refused twice.

A server tells what it cannot do by refusing a field, by ignoring it, or by its name; each costs one
request, and the rest of a robot's day is spent knowing it. Nothing is asked beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from reflexarc.checks import Form
from reflexarc.errors import BadRequestError, ContextOverflowError, LLMError
from reflexarc.llm import Request
from reflexarc.providers.dialect import Dialect
from reflexarc.types import Json

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

# No text has more bytes a token on average; a prompt so much longer than another, but of about
# as many tokens, was not read as a whole; and no server has less context. (Fewer tokens are told by
# servers that leave out what they had in their cache.)
_MOST_BYTES_A_TOKEN = 8
_LONGER_BY = 1.1
_LEVEL = 0.9
_LEAST_CONTEXT = 1000

# Answers after which what was given up is tried again, doubled each time that it is given up.
_PATIENCE = 8


class Endpoint:
    """What one server accepts, as far as is known.

    Parameters
    ----------
    dialect : Dialect
        How requests to it are written.
    forms : sequence of Form
        What may hold the answer, best first.
    renames : bool, default True
        Whether the token limit can be sent by its other name.

    Attributes
    ----------
    amended : dict
        Fields to set in every request, None to leave one out; see `Request`.
    most_turns : int or None
        Turns of history that fit, once some did not.
    """

    def __init__(self, dialect: Dialect, forms: Sequence[Form], *, renames: bool = True) -> None:
        self._dialect = dialect
        self._renames = renames
        self.amended: dict[str, object] = {}
        self.most_turns: int | None = None
        self._forms = list(forms)
        self._form = 0
        self._dropped: set[str] = set()
        self._longest: dict[str, tuple[int, int]] = {}  # bytes and tokens of a prompt, by form
        self._told_of_cuts = False
        self._good = 0  # answers since the last step down
        self._patience = _PATIENCE

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
            sent = self._dialect.body(request)
            for field in error.fields:  # of which a sentence may name others, too, as the remedy
                if field in _LIMITS and field in sent:
                    self._rename(field, request)
                elif field not in _LIMITS:
                    self._refused(field, request, sent)
            return (self.form, self.amended) != (request.form, request.amended)
        if isinstance(error, ContextOverflowError):
            return self._overflowed(request)
        return is_formless and self._ignored(request)

    def answered(self, request: Request, tokens: int) -> None:
        """Learn from an answer, and from the server's count whether it has read all of the prompt.

        Some cut a prompt that is too long, at its beginning, and answer with status 200. What was
        given up without a refusal is tried again after some answers, each time after twice as many.

        Parameters
        ----------
        request : Request
            As it was sent.
        tokens : int
            Of the prompt, as the server has counted them; 0 if it has not.
        """
        size = sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)
        if self._is_cut(request.form, size, tokens):
            self._overflowed(request)
            self._tell_of_cuts(size, tokens)
            return
        self._good += 1
        if self._good >= self._patience and (self._form or self.most_turns is not None):
            self._good = self._form = 0
            self.most_turns = 2 * self.most_turns + 2 if self.most_turns is not None else None

    def _is_cut(self, form: str, size: int, tokens: int) -> bool:
        longest, most = self._longest.get(form, (0, 0))
        if tokens > most:
            self._longest[form] = size, tokens
        if tokens < _LEAST_CONTEXT:
            return False
        is_level = _LEVEL * most <= tokens <= most and size > _LONGER_BY * longest
        return is_level or tokens * _MOST_BYTES_A_TOKEN < size

    def _tell_of_cuts(self, size: int, tokens: int) -> None:
        if not self._told_of_cuts:
            self._told_of_cuts = True
            _log.warning(
                "The server has read %d tokens of a prompt of %d bytes: it cuts the "
                "beginning off, and with it the robot's laws. Give it more context (Ollama: "
                "OLLAMA_CONTEXT_LENGTH), or shorten the prompt or history_length.",
                tokens,
                size,
            )

    def _step_down(self) -> None:
        self._good = 0
        self._patience *= 2

    def _refused(self, field: str, request: Request, sent: Json) -> None:
        if field in _HOLDING.get(request.form, ()):
            self._drop(request.form)
        elif field == "reasoning_effort" and sent.get(field) != "none":
            self._amend(field, "none")  # OpenAI takes tools with no other
        elif field in request.config.extra_params or (
            field in sent and field not in _NEVER_LEFT_OUT
        ):
            self._amend(field, None)

    def _rename(self, name: str, request: Request) -> None:
        """Send the token limit by its other name; there is always one."""
        other = _LIMITS[name]
        if self._renames and other not in self.amended:
            self._amend(name, None)
            self.amended[other] = request.config.max_tokens

    def _ignored(self, request: Request) -> bool:
        """Go to the next form; after the last one the model is to blame, so back to the first."""
        if request.form == self.form:
            last = self._form == len(self._forms) - 1
            self._form = 0 if last else self._form + 1
            self._step_down()
            if last:
                return False
            _log.warning("The server ignores '%s'; asking by '%s' now.", request.form, self.form)
        return True

    def _overflowed(self, request: Request) -> bool:
        """Show half as many turns from now on; whether there were any."""
        if request.turns:
            half = request.turns // 2
            self.most_turns = half if self.most_turns is None else min(half, self.most_turns)
            self._step_down()
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
