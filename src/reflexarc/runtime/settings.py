"""Settings of inputs and actuators, checked where one is made."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from reflexarc.checks import Frozen, told
from reflexarc.errors import ConfigError

S = TypeVar("S", bound=Frozen)


def checked(model: type[S], **given: Any) -> S:
    """Make a value of settings, or say what is wrong with them.

    Parameters
    ----------
    model : type
        What they must be.
    **given : object
        The settings by name.

    Returns
    -------
    Frozen
        An instance of `model`.

    Raises
    ------
    ConfigError
        For the first mistake, without the value.
    """
    try:
        return model(**given)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(told(mistake)) from None
