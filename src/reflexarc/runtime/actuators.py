"""What the robot does things with."""

from __future__ import annotations

from abc import ABC, abstractmethod

from reflexarc.types import Action


class Actuator(ABC):
    """Performs actions."""

    @abstractmethod
    async def perform(self, action: Action) -> None:
        """Perform one action; return when it is done, or well under way.

        Parameters
        ----------
        action : Action
            Legal in the robot's vocabulary.
        """
