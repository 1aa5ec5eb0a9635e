"""Which name means which input or actuator: one table each, plus what other packages announce.

A package adds an actuator by the entry-point group ``reflexarc.actuators``, and an input by
``reflexarc.inputs``: name it as ``connector`` or ``type`` in a robot's file does, and point to the
class. It gets what the file has as ``config``, by keyword.

What other packages announce stands in files of theirs: call these functions before the event loop
runs, or in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Generic, TypeVar

from reflexarc.config import AgentAction, Plugin
from reflexarc.errors import ConfigError, did_you_mean
from reflexarc.runtime.actuators import Actuator, Body, told
from reflexarc.runtime.inputs import Input

P = TypeVar("P", Actuator, Input)

ACTUATORS_GROUP = "reflexarc.actuators"
INPUTS_GROUP = "reflexarc.inputs"

CONSOLE = "console"
"""The connector of actions that are only shown."""

CONNECTORS: Mapping[str, str] = {
    "http": "reflexarc.runtime.push:HttpActuator",
    "websocket": "reflexarc.runtime.push:WebSocketActuator",
}
"""Connector and ``module:Class``; the module is imported on use."""

INPUTS: Mapping[str, str] = {
    "ConsoleInput": "reflexarc.runtime.inputs:Lines",
    "MockInput": "reflexarc.runtime.mock_input:MockInput",
}
"""Type and ``module:Class``; the module is imported on use."""

# So alike are "lmap" and "lamp"; of OM1's names none is to one of ours, "GoogleASRInput" and
# "ConsoleInput" come nearest with 0.69.
_SLIP = 0.75


def known_connectors() -> list[str]:
    """What ``connector`` may be in a robot's file, as it is installed here.

    Returns
    -------
    list of str
        Sorted; `CONSOLE` among them.
    """
    return sorted({CONSOLE, *CONNECTORS, *_announced(ACTUATORS_GROUP)})


def known_inputs() -> list[str]:
    """What ``type`` of an input may be in a robot's file, as it is installed here.

    Returns
    -------
    list of str
        Sorted.
    """
    return sorted({*INPUTS, *_announced(INPUTS_GROUP)})


def knows_connector(name: str | None) -> bool:
    """Whether actions by this connector can be performed here.

    Parameters
    ----------
    name : str or None
        As in a robot's file; without one an action is only shown.

    Returns
    -------
    bool
    """
    return not name or name == CONSOLE or name in CONNECTORS or name in known_connectors()


def knows_input(name: str) -> bool:
    """Whether there is such an input here.

    Parameters
    ----------
    name : str
        As in a robot's file.

    Returns
    -------
    bool
    """
    return name in INPUTS or name in known_inputs()


def meant(name: str, known: Iterable[str]) -> str | None:
    """The name that somebody meant who made a slip in it.

    Parameters
    ----------
    name : str
        As it is written.
    known : iterable of str
        What it may be, such as `known_connectors`.

    Returns
    -------
    str or None
        None where it looks like no slip but like the name of something else.
    """
    by_case = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), by_case, n=1, cutoff=_SLIP)
    return by_case[near[0]] if near else None


def load_actuators(actions: Iterable[AgentAction]) -> Body:
    """Make the actuators of a robot. Nothing is opened or sent yet.

    Parameters
    ----------
    actions : iterable of AgentAction
        Those with the same connector and the same ``config`` share one actuator; those of the
        console, and those that the model may not use, need none.

    Returns
    -------
    Body

    Raises
    ------
    ConfigError
        If a connector is unknown, cannot be imported, or does not take its ``config``.
    """
    made: dict[str, Actuator] = {}
    body: dict[str, Actuator] = {}
    for action in actions:
        name = action.connector
        if not name or name == CONSOLE or action.exclude_from_prompt:
            continue
        key = json.dumps([name, action.config], sort_keys=True, default=repr)
        if key not in made:
            made[key] = _ACTUATOR.make(name, action.config, f"'{action.llm_label}' by '{name}'")
        body[action.llm_label] = made[key]
    return Body(body)


def load_inputs(inputs: Iterable[Plugin]) -> list[Input]:
    """Make the inputs of a robot. Nothing is opened yet.

    Parameters
    ----------
    inputs : iterable of Plugin
        As in a robot's file.

    Returns
    -------
    list of Input

    Raises
    ------
    ConfigError
        If a type is unknown, cannot be imported, or does not take its ``config``.
    """
    return [_INPUT.make(each.type, each.config, f"'{each.type}'") for each in inputs]


def _announced(group: str) -> Mapping[str, Any]:
    from importlib.metadata import entry_points  # 15 ms and 2 MB that most robots do without

    return {point.name: point for point in entry_points(group=group)}


@dataclass(frozen=True, slots=True)
class _Kind(Generic[P]):
    """One kind of part, and where its names are found."""

    base: type[P]
    noun: str
    table: Mapping[str, str]
    group: str
    names: Callable[[], list[str]]

    def make(self, name: str, config: Mapping[str, Any], place: str) -> P:
        """Make the part that an entry of the robot's file describes."""
        maker = self._find(name)
        if misfit := _misfit(maker, config):
            raise ConfigError(f"{place}: {misfit}")
        try:
            made: object = maker(**config)
        except OSError as error:
            raise ConfigError(f"{place} cannot be made: {told(error)}") from error
        except (TypeError, ValueError) as error:  # ConfigError is one
            raise ConfigError(f"{place}: {error}") from error
        if not isinstance(made, self.base):
            wrong = (
                f"{type(made).__name__}, which is no {self.base.__module__}.{self.base.__name__}"
            )
            raise ConfigError(f"{place}: the package that announces it makes a {wrong}")
        return made

    def _find(self, name: str) -> Callable[..., object]:
        if target := self.table.get(name):
            module, _, attribute = target.partition(":")
            return getattr(import_module(module), attribute)
        point = _announced(self.group).get(name)
        if point is None:
            hint = did_you_mean(name, self.names())
            raise ConfigError(f"there is no {self.noun} '{name}'; {hint}")
        try:
            return point.load()
        except Exception as error:  # whatever a driver raises where its hardware is missing
            raise ConfigError(
                f"the {self.noun} '{name}' is announced as {point.value}, which cannot be imported "
                f"({type(error).__name__}: {error}); install what it needs, or that package again"
            ) from error


_ACTUATOR = _Kind(Actuator, "connector", CONNECTORS, ACTUATORS_GROUP, known_connectors)
_INPUT = _Kind(Input, "input", INPUTS, INPUTS_GROUP, known_inputs)


def _misfit(maker: Callable[..., object], config: Mapping[str, Any]) -> str:
    """Which setting is unknown or missing, as a sentence; empty if all fit."""
    taken = signature(maker).parameters
    if any(each.kind is Parameter.VAR_KEYWORD for each in taken.values()):
        return ""
    for key in config:
        if key not in taken:
            hint = did_you_mean(key, taken) if taken else "it has none"
            return f"there is no setting '{key}'; {hint}"
    for name, each in taken.items():
        is_optional = each.default is not Parameter.empty or each.kind is Parameter.VAR_POSITIONAL
        if name not in config and not is_optional:
            return f"write '{name}' in its config"
    return ""
