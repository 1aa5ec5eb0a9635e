"""By when an answer is needed, as everybody below a `Deadline` can ask.

The moments are in the context of the running task, as those of anyio's and trio's scopes are, so
that no LLM in between has to hand them on.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from reflexarc.errors import ConnectError, Phase


class Due:
    """By when whoever asks needs an answer; the loop's time, infinite where nobody has said.

    Parameters
    ----------
    first_action : float, default math.inf
        The first action, or the end of an answer without any.
    whole : float, default math.inf
        All of it.
    stall_s : float, default math.inf
        Longest silence in seconds between two useful pieces of an answer.
    outer : Due or None, default None
        What holds around it: nobody inside can put that off, but whoever has set it can.
    has_next : bool, default False
        Whether another brain can act at once if this one fails.
    """

    __slots__ = ("_cut", "_first_action", "_has_next", "_outer", "_sought", "_stall_s", "_whole")

    def __init__(
        self,
        first_action: float = math.inf,
        whole: float = math.inf,
        stall_s: float = math.inf,
        outer: Due | None = None,
        *,
        has_next: bool = False,
    ) -> None:
        self._first_action = first_action
        self._whole = whole
        self._stall_s = stall_s
        self._outer = outer
        self._has_next = has_next
        self._cut: Phase | None = None
        self._sought: str | None = None

    @property
    def first_action(self) -> float:
        """When the first action is due."""
        outer = self._outer
        return self._first_action if outer is None else min(self._first_action, outer.first_action)

    @property
    def whole(self) -> float:
        """When all of it is due."""
        return self._whole if self._outer is None else min(self._whole, self._outer.whole)

    @property
    def stall_s(self) -> float:
        """Longest silence in seconds."""
        return self._stall_s if self._outer is None else min(self._stall_s, self._outer.stall_s)

    @property
    def has_next(self) -> bool:
        """Whether another brain can act at once if this one fails."""
        return self._has_next or (self._outer is not None and self._outer.has_next)

    @property
    def cut(self) -> Phase | None:
        """By which limit whoever asks has given up, if that is why a call is cancelled."""
        return self._cut or (self._outer.cut if self._outer else None)

    @property
    def is_sought(self) -> bool:
        """Whether a server is being connected to, or could not be."""
        return self._sought is not None

    def seek(self, server: str | None) -> None:
        """Note that a connection is made, or by None that it is there.

        All that hold around it are told as well: whoever is late is to say why.

        Parameters
        ----------
        server : str or None
            Its URL.
        """
        if self is not NEVER:
            self._sought = server
            if self._outer is not None:
                self._outer.seek(server)

    def no_connection(self, given: str) -> ConnectError | None:
        """That there was no connection in time, if that is so.

        Parameters
        ----------
        given : str
            How long there was, such as ``"timeout = 4 s"``.

        Returns
        -------
        ConnectError or None
            To be raised in place of a `DeadlineError`; None where the server was reached.
        """
        if self._sought is None:
            return None
        tls = " and speaks TLS (else write http://)" if self._sought.startswith("https:") else ""
        return ConnectError(
            f"no connection to {self._sought} within {given}; check base_url, that the server "
            f"runs{tls}, and that neither the network nor a firewall stops what is sent to it"
        )

    def put_off(self, first_action: float) -> None:
        """Need the first action at another moment, as far as what holds around it allows that.

        Parameters
        ----------
        first_action : float
            The loop's time.
        """
        self._first_action = first_action

    def give_up(self, phase: Phase) -> None:
        """Note that a limit is over, before whoever is asked is cancelled.

        Parameters
        ----------
        phase : str
            Which limit.
        """
        self._cut = phase

    def limit(self, heard_at: float | None, *, is_served: bool) -> tuple[float, Phase]:
        """When the wait for the next useful piece ends, and by which limit.

        Parameters
        ----------
        heard_at : float or None
            When the last one came; the loop's time. None where none did.
        is_served : bool
            Whether the first action is out.

        Returns
        -------
        float
            The loop's time.
        str
            ``"first_action"``, ``"stall"`` or ``"total"``.
        """
        until, phase = self.whole, "total"
        if not is_served and self.first_action < until:
            until, phase = self.first_action, "first_action"
        if heard_at is not None and heard_at + self.stall_s < until:
            until, phase = heard_at + self.stall_s, "stall"
        return until, phase


NEVER = Due()
"""What holds where nobody has said anything."""

_due: ContextVar[Due] = ContextVar("due", default=NEVER)


def due() -> Due:
    """By when the answer of the running call is needed.

    Returns
    -------
    Due
    """
    return _due.get()


@contextmanager
def due_by(moments: Due) -> Generator[None]:
    """Need the answer by these moments.

    Parameters
    ----------
    moments : Due
        For what is called in the block; those that hold already are around them.

    Yields
    ------
    None
    """
    token = _due.set(moments)
    try:
        yield
    finally:
        _due.reset(token)
