"""What the robot does things with."""

from __future__ import annotations

from abc import ABC, abstractmethod

from reflexarc.types import Action


class Actuator(ABC):
    """Performs actions.

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
        """
