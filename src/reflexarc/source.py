"""A JSON5 text that knows where each of its values stands.

Variables are filled in after parsing, string by string, so that a value can neither break the file
nor add keys to it.

The `json5` package parses (the same one OM1 uses, so both accept and refuse the same files), but
its result carries no positions. `Source` adds them with one pass over the tokens, made only when an
error has to be located.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import json5

from reflexarc.errors import ConfigError
from reflexarc.redaction import blotted
from reflexarc.types import as_object, whole_characters

# `<string>:5 Unexpected """ at column 3`, the only form json5 0.10 to 0.17 raises.
_PARSE_ERROR = re.compile(
    r"^<string>:(?P<line>\d+) (?P<what>.*) at column (?P<column>\d+)$", re.DOTALL
)

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|//[^\n\r]*|/\*.*?\*/)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<mark>[{}\[\]:,])
    |(?P<word>[^\s{}\[\]:,"'/]+|/)
    """,
    re.VERBOSE | re.DOTALL,
)

_MAY_BE_SECRET = re.compile(r"key|token|secret|password|authorization|//[^/\s]*@", re.IGNORECASE)

_ENTRY_BEGINS = re.compile(r"[,{\[]")
_NOT_TAB = re.compile(r"[^\t]")

# OM1's own pattern, so that OM1's files mean the same here.
_VARIABLE = re.compile(r"\$\{([^}:-]+)(?::-(.*?))?\}")

Location = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Source:
    """One JSON5 text and the name it goes by in error messages.

    Parameters
    ----------
    text : str
        The JSON5 text; empty where the values were never written as one.
    name : str
        File name, or ``"--llm"`` and the like.
    """

    text: str
    name: str

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a file as UTF-8.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Source

        Raises
        ------
        ConfigError
            If the file is missing, unreadable or not UTF-8.
        """
        try:
            return cls(path.read_text(encoding="utf-8-sig"), str(path))
        except FileNotFoundError:
            raise ConfigError("there is no such file; check the path", path=str(path)) from None
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"the file is no UTF-8 from byte {error.start} on; save it as such", path=str(path)
            ) from error
        except OSError as error:
            raise ConfigError(
                f"the file cannot be read: {error.strerror}", path=str(path)
            ) from error

    def parse(self) -> Any:
        """Parse the text; a key written twice is refused.

        Returns
        -------
        object
            Dicts, lists, strings, numbers, booleans and None.

        Raises
        ------
        ConfigError
            With line and column, the line itself and a caret under the place.
        """
        if not self.text.strip():
            raise ConfigError("nothing stands here; write one object, { … }", path=self.name)
        try:
            value = json5.loads(self.text, allow_duplicate_keys=False)
        except RecursionError:
            raise ConfigError(
                "the text is nested too deeply to be a configuration", path=self.name
            ) from None
        except ValueError as error:
            raise self._not_json5(str(error)) from None
        # json5 leaves an emoji that is written as two escapes, as json.dumps does, in two halves.
        return _whole(value) if "\\u" in self.text else value

    def _not_json5(self, said: str) -> ConfigError:
        found = _PARSE_ERROR.match(said)
        if found:
            line, column = int(found["line"]), int(found["column"])
            what = found["what"].replace("\n", "\\n")
            return self.error(f"not JSON5: {what}{self._hint(line, column)}", line, column)
        seen: set[tuple[str | int, ...]] = set()
        for path, offset in _places(self.text):
            if path in seen:  # json5 names a key written twice, but not its place
                return self._error_at_offset(offset, f"'{path[-1]}' is written twice; keep one")
            seen.add(path)
        return ConfigError(f"not JSON5: {said}", path=self.name)

    def _hint(self, line: int, column: int) -> str:
        """What to do about the usual slips, judged by what stands before the place."""
        lines = self.text.split("\n")
        offset = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
        found = self.text[offset : offset + 1]
        before = [each for each in _TOKEN.finditer(self.text[:offset]) if not each["skip"]]
        last = before[-1] if before else None
        is_word = found.isalnum() or found in {"_", "$"}
        if found == "#" or (last and last[0].startswith("#")):
            return "; begin a comment with //"
        if found == "\n":
            return "; close the quote on the same line"
        if last is None or not (is_word or found in {'"', "'", "{", "["}):
            return ""
        if is_word and (last["mark"] in {":", "[", ","} or (last["word"] and last.end() == offset)):
            return "; put a text in quotes, and write true, false and null so"
        if last["mark"] in {None, "}", "]"}:
            return "; check whether a comma or a colon is missing before it"
        return ""

    def error(self, message: str, line: int, column: int) -> ConfigError:
        """Build an error that shows the line with a caret under the column.

        A line that may hold a secret is not shown, nor one that goes on with an entry that may;
        what looks like a key is blotted out of all that is. Where there is no text, there is no
        place either.

        Parameters
        ----------
        message : str
            What is wrong.
        line, column : int
            Where, from 1.

        Returns
        -------
        ConfigError
        """
        message = blotted(message)
        if not self.text:
            return ConfigError(message, path=self.name)
        lines = self.text.split("\n")  # as json5 counts them; splitlines() knows other breaks too
        shown = lines[line - 1].rstrip() if 0 < line <= len(lines) else ""
        entry = _ENTRY_BEGINS.split("\n".join(lines[: line - 1]))[-1]
        if not (_MAY_BE_SECRET.search(entry + shown) or blotted(shown) != shown):
            under = _NOT_TAB.sub(" ", shown[: column - 1]).ljust(column - 1)
            message = f"{message}\n    {shown}\n    {under}^"
        return ConfigError(message, path=self.name, line=line, column=column)

    def error_at(
        self, location: Location, message: str, *, transparent: str | None = None
    ) -> ConfigError:
        """Build an error about the value at `location`.

        Parameters
        ----------
        location : sequence of str or int
            Keys and list positions from the top. Where the text ends earlier than the location
            does, the deepest part that exists is meant.
        message : str
            What is wrong there.
        transparent : str or None, default None
            A key of the text that `location` leaves out, such as OM1's ``config``.

        Returns
        -------
        ConfigError
        """
        best, best_length = 0, 0
        for path, offset in _places(self.text):
            length = _common(path, location, transparent)
            if length > best_length:
                best, best_length = offset, length
        return self._error_at_offset(best, message)

    def _error_at_offset(self, offset: int, message: str) -> ConfigError:
        line = self.text.count("\n", 0, offset) + 1
        return self.error(message, line, offset - self.text.rfind("\n", 0, offset))


def expand(value: Any, environ: Mapping[str, str], source: Source, location: Location = ()) -> Any:
    """Replace ``${VAR}`` and ``${VAR:-default}`` in every string of parsed JSON.

    Parameters
    ----------
    value : object
        Parsed JSON.
    environ : mapping of str to str
        The variables; an empty one counts as unset.
    source : Source
        The text `value` came from, to show the place of a mistake.
    location : sequence of str or int, default ()
        Where `value` stands in `source`.

    Returns
    -------
    object
        A copy with the strings expanded.

    Raises
    ------
    ConfigError
        If a variable without default is unset.
    """
    if (fields := as_object(value)) is not None:
        return {
            key: expand(item, environ, source, (*location, key)) for key, item in fields.items()
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [
            expand(item, environ, source, (*location, index)) for index, item in enumerate(items)
        ]
    if not isinstance(value, str):
        return value

    def substitute(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = environ.get(name) or default
        if found is None:
            raise source.error_at(
                location,
                f"this needs the environment variable {name}, which is not set; "
                f"set it, or write ${{{name}:-a default}}",
            )
        return found

    return _VARIABLE.sub(substitute, value)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_whole(item) for item in cast("list[Any]", value)]
    if (fields := as_object(value)) is not None:
        return {whole_characters(key): _whole(item) for key, item in fields.items()}
    return value


def _common(path: Location, location: Location, transparent: str | None) -> int:
    """How many parts of `location` the `path` has; 0 if it leads elsewhere."""
    length = 0
    for part in path:
        if length < len(location) and part == location[length]:
            length += 1
        elif part != transparent:
            return 0
    return length


def _places(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield the path and offset of every key and list element, in order."""
    open_at: list[
        str | int
    ] = []  # one entry an open object (its current key) or list (its position)
    previous = ""
    previous_offset = 0
    starts_element = False
    for token in _TOKEN.finditer(text):
        mark, offset = token["mark"], token.start()
        if token["skip"]:
            continue
        if starts_element and mark != "]":
            yield tuple(open_at), offset
        starts_element = mark == "["
        if mark in {"{", "["}:
            open_at.append(0 if mark == "[" else "")
        elif mark in {"}", "]"} and open_at:
            open_at.pop()
        elif mark == ":" and open_at and isinstance(open_at[-1], str):
            open_at[-1] = previous.strip("\"'")
            yield tuple(open_at), previous_offset
        elif mark == "," and open_at and isinstance(open_at[-1], int):
            open_at[-1] += 1
            starts_element = True
        previous, previous_offset = token[0], offset
