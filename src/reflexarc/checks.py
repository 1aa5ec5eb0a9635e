"""What a single value of a configuration may be, and that no key of it is unknown."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from reflexarc.errors import did_you_mean
from reflexarc.types import as_object


def _check_base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not a URL; write it as http://host:port/v1")
    if "@" in parts.netloc:
        raise ValueError("has a user or password in it; write the key as api_key")
    if parts.port == 0 or any(map(str.isspace, url)):  # asking for the port checks it, too
        raise ValueError("has a port or white space that no URL has")
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/completions"):
        raise ValueError("goes on too long; write it up to and with /v1, as http://host:port/v1")
    return url.rstrip("/")


# Names by which a key would stand among the fields of a request, which are shown and logged.
_NAMES_OF_KEYS = frozenset({"apikey", "xapikey", "authorization", "password", "secret"})


def _check_json(fields: dict[str, Any]) -> dict[str, Any]:
    for name in fields:
        if name.casefold().replace("-", "").replace("_", "") in _NAMES_OF_KEYS:
            raise ValueError("has a key in it, and what is in it is shown; write it as api_key")
    try:
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("holds a value that JSON cannot") from None
    return fields


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take it for 1 or 0
        raise ValueError("must be a number, not true or false")
    return value


def _check_seconds(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError("must be a number of seconds above 0")
    return seconds


def check_key(key: SecretStr) -> SecretStr:
    """Refuse what cannot be a key, before it is put into a header.

    Parameters
    ----------
    key : SecretStr
        From a file or the environment.

    Returns
    -------
    SecretStr
        The same.

    Raises
    ------
    ValueError
        Says what is wrong, and nothing of the key.
    """
    text = key.get_secret_value()
    if not text.strip():
        raise ValueError("is empty; write the key, ${VARIABLE}, or leave the line out")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "holds a space, line break or other character that no key has; copy it again"
        )
    return key


_FORMS = ("grammar", "schema", "tools", "json", "text")


def _check_structured(mode: object) -> object:
    if isinstance(mode, list | tuple):
        forms = tuple(cast("list[object]", mode))
        if forms and len(set(forms)) == len(forms) and all(form in _FORMS for form in forms):
            return forms
    elif mode in ("auto", *_FORMS[:-1]):
        return mode
    raise ValueError(
        f"must be auto, {', '.join(_FORMS[:-1])}, or a list of {', '.join(_FORMS)} "
        "in the order in which they are tried"
    )


NoBool = BeforeValidator(_refuse_bool)

Seconds = Annotated[float, NoBool, AfterValidator(_check_seconds)]
BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
ApiKey = Annotated[SecretStr, AfterValidator(check_key)]
ExtraParams = Annotated[dict[str, Any], AfterValidator(_check_json)]

Form = Literal["grammar", "schema", "tools", "json", "text"]
"""How an answer is held to what the robot can do: a GBNF grammar, a strict JSON Schema, tool calls,
JSON of any shape, or by the prompt alone."""

Structured = Annotated[
    Literal["auto", "schema", "tools", "json", "grammar"] | tuple[Form, ...],
    BeforeValidator(_check_structured),
]


# Where pydantic's words are Python's, by its type of mistake.
_AN_OBJECT = "must be an object; write it in braces, { … }"
_IN_JSON = {
    "tuple_type": "must be a list; write it in brackets, [ … ]",
    "dict_type": _AN_OBJECT,
    "model_type": _AN_OBJECT,
}


def told(mistake: ErrorDetails) -> str:
    """What is wrong with a setting, in words of its file.

    Parameters
    ----------
    mistake : ErrorDetails
        As pydantic has it.

    Returns
    -------
    str
        With the setting's name, where it has one.
    """
    said = _IN_JSON.get(mistake["type"]) or mistake["msg"].removeprefix("Value error, ")
    name = ".".join(map(str, mistake["loc"]))
    return f"'{name}': {said[0].lower()}{said[1:]}" if name else said


class Frozen(BaseModel):
    """Settings that do not change; an unknown key is refused with a "did you mean"."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in as_object(data) or ():
            if key not in known:
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}'; {hint}",
                    {"key": key, "hint": did_you_mean(key, known)},
                )
        return data
