"""JSON with holes: ``{name}`` in a text stands for a value that is put there later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from reflexarc.types import Json

OMIT: Final = object()
"""The key, or the item of a list, whose value this is disappears."""

_NAME = re.compile(r"\{([a-z_]+)\}")


def fill(template: object, values: Mapping[str, object]) -> object:
    """Fill the holes of a template.

    Parameters
    ----------
    template : object
        JSON. A text that is one hole becomes the value, of any type; within one it becomes text.
    values : mapping of str to object
        By the name of the hole; `OMIT` leaves out what holds it.

    Returns
    -------
    object
        JSON that shares nothing with the template but its plain values.
    """
    if isinstance(template, dict):
        filled = {key: fill(value, values) for key, value in cast("Json", template).items()}
        return {key: value for key, value in filled.items() if value is not OMIT}
    if isinstance(template, list):
        items = [fill(item, values) for item in cast("list[object]", template)]
        return [item for item in items if item is not OMIT]
    if not isinstance(template, str):
        return template
    if name := _NAME.fullmatch(template):
        return values[name[1]]
    return _NAME.sub(lambda name: str(values[name[1]]), template)
