"""A stand-in for OM1's process-wide record of what goes in and out."""

import typing as T
from dataclasses import dataclass, field


@dataclass
class Input:
    """
    Something sensed.

    Parameters
    ----------
    input : str
        As text.
    timestamp : float, optional
        When, in seconds since the epoch.
    """

    input: str
    timestamp: T.Optional[float] = None


@dataclass
class _IOProvider:
    """
    What a plugin tells about a question, and is told about its prompt.

    Parameters
    ----------
    inputs : dict of str to Input
        What was sensed last, by the name of the sense.
    fuser_system_prompt : str, optional
        Beginning of every prompt, the same at every tick.
    fuser_inputs : str, optional
        What was sensed, as it stands in the prompt.
    llm_prompt : str, optional
        The last prompt.
    llm_start_time : float, optional
        When the last question began, in seconds since the epoch.
    llm_end_time : float, optional
        When it ended.
    """

    inputs: T.Dict[str, Input] = field(default_factory=dict[str, Input])
    fuser_system_prompt: T.Optional[str] = None
    fuser_inputs: T.Optional[str] = None
    llm_prompt: T.Optional[str] = None
    llm_start_time: T.Optional[float] = None
    llm_end_time: T.Optional[float] = None

    def add_input(self, key: str, value: str, timestamp: T.Optional[float]) -> None:
        """
        Keep what was sensed.

        Parameters
        ----------
        key : str
            Name of the sense.
        value : str
            As text.
        timestamp : float or None
            When, in seconds since the epoch.
        """
        self.inputs[key] = Input(value, timestamp)

    def set_llm_prompt(self, prompt: str) -> None:
        """
        Keep the prompt of the question that begins.

        Parameters
        ----------
        prompt : str
            As the model is told it.
        """
        self.llm_prompt = prompt


_RECORD = _IOProvider()


def IOProvider() -> _IOProvider:  # noqa: N802 - OM1's name
    """
    Give the one record of this process; a function, as it is in OM1.

    Returns
    -------
    _IOProvider
        The same at every call.
    """
    return _RECORD
