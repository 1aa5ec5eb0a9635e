"""Server-sent events, sans I/O: bytes in, events out.

The rules are those of the WHATWG HTML standard, section 9.2 (read 2026-11): lines end in LF, CR or
CRLF, a BOM is skipped, comments begin with a colon, one space after the colon is dropped, ``data``
lines are joined. Bytes are decoded a whole event at a time, so a character split over two reads is
whole again; what is not UTF-8 is replaced. One addition: a line that begins with ``{`` is reported
as it stands, since some servers write a failure in mid-stream as bare JSON.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from reflexarc.errors import BadOutputError

LARGEST_EVENT = 1 << 20
"""Bytes one event may have; more is no answer to a robot."""

_BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event.

    Parameters
    ----------
    name : str
        Its ``event`` field, ``"message"`` where there is none.
    data : str
        Its data lines, joined by line breaks.
    """

    name: str
    data: str


class EventParser:
    """The events of one response body."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # an unfinished line, in pieces
        self._rest_size = 0
        self._skip_newline = False  # the last piece ended in CR; a LF now belongs to it
        self._at_start = True
        self._name = b""
        self._data: list[bytes] = []
        self._data_size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes.

        Parameters
        ----------
        chunk : bytes
            Any length, also empty.

        Returns
        -------
        list of ServerEvent
            The events that these bytes complete.

        Raises
        ------
        BadOutputError
            If one event grows beyond `LARGEST_EVENT`.
        """
        if b"\r" in chunk or self._skip_newline:
            chunk = self._plain_newlines(chunk)
        *lines, rest = chunk.split(b"\n")
        if lines and self._rest:
            self._keep(lines[0])
            lines[0] = b"".join(self._rest)
            self._rest.clear()
            self._rest_size = 0
        events = [event for line in lines if (event := self._line(line))]
        if rest:
            self._keep(rest)
        return events

    def close(self) -> list[ServerEvent]:
        """End the body: an event without its blank line still counts if it is whole.

        Returns
        -------
        list of ServerEvent
            At most one, and only where what has arrived is a JSON object or list, or ``[DONE]``.
        """
        event = self._line(b"".join(self._rest)) if self._rest else None
        event = event or self._dispatch()
        return [event] if event and _is_whole(event.data) else []

    def _plain_newlines(self, chunk: bytes) -> bytes:
        if self._skip_newline and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._skip_newline = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, part: bytes) -> None:
        self._rest.append(part)
        self._rest_size += len(part)
        self._check(self._rest_size + self._data_size)

    def _line(self, line: bytes) -> ServerEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        if line.startswith(b"{"):
            return ServerEvent("message", line.decode("utf-8", "replace"))
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            self._check(self._data_size)
        elif field == b"event":
            self._name = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name.decode("utf-8", "replace") or "message", self._data
        self._name, self._data, self._data_size = b"", [], 0
        if not data:
            return None
        text = data[0] if len(data) == 1 else b"\n".join(data)
        return ServerEvent(name, text.decode("utf-8", "replace"))

    @staticmethod
    def _check(size: int) -> None:
        if size > LARGEST_EVENT:
            raise BadOutputError(
                f"the server sent one event of more than {LARGEST_EVENT // 1024} kB; "
                "check that base_url names a language model"
            )


def _is_whole(data: str) -> bool:
    """Whether data whose end nobody marked is all there; a cut may fall behind an inner brace."""
    text = data.strip()
    if text == "[DONE]":
        return True
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
