"""JSON Schemas that strict servers accept, from pydantic models."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic import BaseModel


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model in the form that strict mode asks for.

    Parameters
    ----------
    model : type
        A pydantic model.

    Returns
    -------
    dict
        Every object closed and all of its properties required, also those with defaults; titles
        and defaults left out, and of a class's docstring all but its first paragraph.
    """
    return cast("dict[str, Any]", _strict(model.model_json_schema()))


def _strict(node: object, *, names_properties: bool = False) -> object:
    if isinstance(node, list):
        return [_strict(item) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, object]", node)
    strict = {
        key: _strict(
            value, names_properties=key in {"properties", "$defs"} and not names_properties
        )
        for key, value in fields.items()
        if names_properties or key not in {"title", "default"}
    }
    properties = strict.get("properties")
    if not names_properties and isinstance(properties, dict):
        strict["required"] = list(cast("dict[str, object]", properties))
        strict["additionalProperties"] = False
        # A docstring's lists of parameters are for people; a model pays for them at every tick.
        if isinstance(about := strict.get("description"), str):
            strict["description"] = " ".join(about.partition("\n\n")[0].split())
    return strict


def model_instructions(schema: dict[str, Any]) -> str:
    """What a model is told where its answer is an object of a schema.

    Parameters
    ----------
    schema : dict
        JSON Schema of the answer.

    Returns
    -------
    str
    """
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON object and nothing else. It fits this JSON Schema:\n{text}"
