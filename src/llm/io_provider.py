"""A stand-in for OM1's process-wide record of what goes in and out."""

import typing as T
from dataclasses import dataclass


@dataclass
class IOProvider:
    """
    What a plugin tells about a question, and is told about its prompt.

    Parameters
    ----------
    fuser_system_prompt : str, optional
        Beginning of every prompt, the same at every tick.
    llm_prompt : str, optional
        The last prompt.
    llm_start_time : float, optional
        When the last question began, in seconds since the epoch.
    llm_end_time : float, optional
        When it ended.
    """

    fuser_system_prompt: T.Optional[str] = None
    llm_prompt: T.Optional[str] = None
    llm_start_time: T.Optional[float] = None
    llm_end_time: T.Optional[float] = None

    def set_llm_prompt(self, prompt: str) -> None:
        """
        Keep the prompt of the question that begins.

        Parameters
        ----------
        prompt : str
            As the model is told it.
        """
        self.llm_prompt = prompt
