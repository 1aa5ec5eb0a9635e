"""One kind of action: its name, what it takes, and how it is read from files and tools."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import cast

from reflexarc.config import AgentAction
from reflexarc.errors import ConfigError, did_you_mean
from reflexarc.interfaces import INTERFACES
from reflexarc.parameters import properties_of
from reflexarc.types import Json, as_object

# The strictest rule for a tool's name among the servers we speak to (Mistral's, protocols of 2026).
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One kind of action.

    Parameters
    ----------
    type : str
        Its name, as in `Action.type`; letters, digits, ``_`` and ``-``, at most 64.
    values : tuple of str or None
        The legal values; None is free text of up to `LONGEST_TEXT` characters.
    description : str, default ""
        What it is for, for the model.
    parameters : dict or None, default None
        JSON Schema of its arguments where it takes several: its value is then a JSON object of
        them, as text, and `values` is None.
    """

    type: str
    values: tuple[str, ...] | None
    description: str = ""
    parameters: Json | None = field(default=None, hash=False)


def spec_of_action(action: AgentAction) -> ActionSpec:
    """Read an entry of OM1's ``agent_actions``.

    Parameters
    ----------
    action : AgentAction
        The entry.

    Returns
    -------
    ActionSpec

    Raises
    ------
    ConfigError
        If its interface is unknown and it has no ``values`` or ``description``.
    """
    known = INTERFACES.get(action.name)
    if known is None and action.values is None and action.description is None:
        raise ConfigError(
            f"agent_actions names the interface '{action.name}', whose values are not known here; "
            f'add "values": [...] to it (or "description" alone for free text); '
            f"{did_you_mean(action.name, INTERFACES)}"
        )
    description, values = known or ("", None)
    return ActionSpec(
        type=action.llm_label,
        values=values if action.values is None else action.values,
        description=description if action.description is None else action.description,
    )


def spec_of_tool(tool: Json) -> ActionSpec:
    """Read an OpenAI-style tool definition, such as OM1's function schemas.

    A tool with one argument, a text, is an action with that value, as OM1 converts calls; any other
    is one with parameters, and so is an MCP server's, whose name begins with ``mcp_``.

    Parameters
    ----------
    tool : dict
        With ``function: {name, description, parameters}``.

    Returns
    -------
    ActionSpec
    """
    function = as_object(tool.get("function")) or {}
    name, description = str(function.get("name") or ""), str(function.get("description") or "")
    about = " ".join(description.split())
    parameters = as_object(function.get("parameters")) or {"type": "object", "properties": {}}
    properties = list(properties_of(parameters).values())
    only = properties[0] if len(properties) == 1 else {}
    values = only.get("enum")
    if only.get("type") != "string" or name.startswith("mcp_"):
        return ActionSpec(name, None, about, parameters)
    texts = tuple(map(str, cast("list[object]", values))) if isinstance(values, list) else None
    return ActionSpec(name, texts, about)


def check_spec(spec: ActionSpec) -> None:
    """Refuse what no model could be told.

    Parameters
    ----------
    spec : ActionSpec
        One kind of action.

    Raises
    ------
    ConfigError
        If its name cannot name a tool, or a value is empty, twice or not on one line.
    """
    if not _LABEL.fullmatch(spec.type):
        raise ConfigError(
            f"the llm_label '{spec.type}' cannot name a tool; "
            "use 1 to 64 letters, digits, '_' and '-'"
        )
    if spec.values is None:
        return
    if not spec.values:
        raise ConfigError(
            f"the action '{spec.type}' has an empty list of values; name at least one"
        )
    for value in spec.values:
        if value != value.strip() or not value.isprintable() or not value:
            raise ConfigError(
                f"the value {value!r} of '{spec.type}' must be plain text on one line"
            )
    if len({folded(value) for value in spec.values}) < len(spec.values):
        raise ConfigError(f"the action '{spec.type}' has the same value twice")


def folded(text: str) -> str:
    """Text without what `Vocabulary.judge` forgives: letter case and white space.

    Parameters
    ----------
    text : str
        A type or a value.

    Returns
    -------
    str
    """
    return " ".join(text.casefold().split())
