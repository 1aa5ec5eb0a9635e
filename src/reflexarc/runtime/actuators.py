"""What the robot does things with."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from reflexarc.errors import ReflexarcError
from reflexarc.opened import Opened
from reflexarc.types import Action


class ActuatorError(ReflexarcError, OSError):
    """An action could not be performed; the message is a sentence that says why."""

    kind = "actuator"


class Actuator(Opened, ABC):
    """Performs actions.

    Constructing it opens nothing. Use it inside ``async with``, or call `open` and `aclose`; both
    do nothing unless an actuator has something to open.

    Attributes
    ----------
    timeout_s : float
        Seconds that one action may take; then it is cancelled, and the robot goes on.
    """

    timeout_s: float = 10.0

    @abstractmethod
    async def perform(self, action: Action) -> None:
        """Perform one action; return when it is done, or well under way.

        Parameters
        ----------
        action : Action
            Legal in the robot's vocabulary.

        Raises
        ------
        ActuatorError
            If it cannot be done.
        """

    async def open(self) -> None:
        """Make ready what the actions need."""
        return

    async def aclose(self) -> None:
        """Close what was opened; may be called twice, and without `open`."""
        return


class Body(Actuator):
    """All actuators of a robot: hands each action to the one for its type.

    An action for whose type there is none needs nothing done here: whoever observes shows it.

    Parameters
    ----------
    actuators : mapping of str to Actuator
        By the type of the actions; one may stand for several types, and is opened once.

    Attributes
    ----------
    timeout_s : float
        The longest that one of them may take; each is held to its own.
    """

    def __init__(self, actuators: Mapping[str, Actuator]) -> None:
        self._actuators = dict(actuators)
        self._opened = AsyncExitStack()
        limits = [each.timeout_s for each in self._actuators.values()]
        self.timeout_s = max(limits, default=Actuator.timeout_s)

    def __repr__(self) -> str:
        return f"Body({self._actuators})"

    async def perform(self, action: Action) -> None:
        """Hand it on.

        Raises
        ------
        TimeoutError
            If it took longer than its actuator may.
        """
        actuator = self._actuators.get(action.type)
        if actuator is None:
            return
        limit_s = actuator.timeout_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                await actuator.perform(action)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = f"it was not done within {limit_s:g} s, and was given up"
            raise TimeoutError(late) from error
        if limit.expired():
            raise TimeoutError(f"it was to be given up after {limit_s:g} s, and went on")

    async def open(self) -> None:
        """Open all; where one fails, those before it are closed again.

        Raises
        ------
        ActuatorError
            If one of them cannot be opened, with what it is for.
        """
        seen: set[int] = set()
        async with AsyncExitStack() as opened:
            for name, actuator in self._actuators.items():
                if id(actuator) in seen:
                    continue
                seen.add(id(actuator))
                try:
                    await opened.enter_async_context(actuator)
                except OSError as error:  # ActuatorError is one
                    raise ActuatorError(f"'{name}' cannot be opened: {told(error)}") from error
            self._opened = opened.pop_all()

    async def aclose(self) -> None:
        """Close all, also where one of them fails to."""
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()


class Held(Actuator):
    """An actuator that is held to rules up to the moment in which an action begins.

    An action may have waited for those before it since it was found right.

    Parameters
    ----------
    actuator : Actuator
        What performs; whoever opens it closes it.
    objection : callable
        Why an action is not to be done now, or None; `Guard.objection` is one.
    """

    def __init__(self, actuator: Actuator, objection: Callable[[Action], str | None]) -> None:
        self._actuator = actuator
        self._objection = objection
        self.timeout_s = actuator.timeout_s

    async def perform(self, action: Action) -> None:
        """Have it performed, unless there is an objection, which is an ActuatorError."""
        if (reason := self._objection(action)) is not None:
            raise ActuatorError(reason)
        await self._actuator.perform(action)


def told(error: OSError) -> str:
    """What the system says of a device, and what to do; a sentence of a part's own stays as it is.

    Parameters
    ----------
    error : OSError
        From making or opening a part.

    Returns
    -------
    str
    """
    if isinstance(error, ReflexarcError):
        return error.message
    said = str(error) or type(error).__name__
    return f"{said}; plug it in, check its config, or give this user the right to it"
