"""What the robot does things with."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
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
        """Open all; where one fails, those before it are closed again."""
        each_once = {id(each): each for each in self._actuators.values()}
        async with AsyncExitStack() as opened:
            for actuator in each_once.values():
                await opened.enter_async_context(actuator)
            self._opened = opened.pop_all()

    async def aclose(self) -> None:
        """Close all, also where one of them fails to."""
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()
