"""What a model answers in OM1: the actions of one tick."""

import typing as T

from pydantic import BaseModel, Field


class Action(BaseModel):
    """
    One thing the robot does.

    Parameters
    ----------
    type : str
        Kind of action, such as move, speak or emotion.
    value : str
        What to do, such as sit, or the sentence to say.
    """

    type: str = Field(description="The kind of action: move, speak, emotion, ...")
    value: str = Field(description="What to do, or the sentence to say.")


class CortexOutputModel(BaseModel):
    """
    The answer to one prompt.

    Parameters
    ----------
    actions : list of Action
        In order.
    """

    actions: T.List[Action] = Field(description="The actions to perform, in order.")
