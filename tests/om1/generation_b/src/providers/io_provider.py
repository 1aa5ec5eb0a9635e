"""A stand-in for OM1's process-wide record, as its generation B keeps it: by ticks."""

import typing as T
from dataclasses import dataclass, field


@dataclass
class Input:
    """Something sensed, and in which tick."""

    input: str
    timestamp: T.Optional[float] = None
    tick: T.Optional[int] = None


@dataclass
class _IOProvider:
    """What a plugin tells about a question, and is told about its prompt."""

    inputs: T.Dict[str, Input] = field(default_factory=dict)
    tick_counter: int = 0
    fuser_system_prompt: T.Optional[str] = None
    fuser_inputs: T.Optional[str] = None
    llm_prompt: T.Optional[str] = None
    llm_start_time: T.Optional[float] = None
    llm_end_time: T.Optional[float] = None

    def add_input(self, key: str, value: str, timestamp: T.Optional[float]) -> None:
        """Keep what was sensed in this tick."""
        self.inputs[key] = Input(value, timestamp, self.tick_counter)

    def set_llm_prompt(self, prompt: str) -> None:
        """Keep the prompt of the question that begins."""
        self.llm_prompt = prompt


_RECORD = _IOProvider()


def IOProvider() -> _IOProvider:  # noqa: N802 - OM1's name
    """Give the one record of this process; a function, as it is in OM1."""
    return _RECORD
