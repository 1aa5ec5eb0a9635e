"""A stand-in for OM1's process-wide record, as its generation B keeps it: by ticks."""

import typing as T
from dataclasses import dataclass, field


@dataclass
class Input:
    """Something sensed, and in which tick."""

    input: str
    tick: int = 0


@dataclass
class IOProvider:
    """What a plugin tells about a question, and is told about its prompt."""

    inputs: T.Dict[str, Input] = field(default_factory=dict)
    tick_counter: int = 0
    fuser_system_prompt: T.Optional[str] = None
    fuser_inputs: T.Optional[str] = None
    llm_prompt: T.Optional[str] = None
    llm_start_time: T.Optional[float] = None
    llm_end_time: T.Optional[float] = None

    def set_llm_prompt(self, prompt: str) -> None:
        """Keep the prompt of the question that begins."""
        self.llm_prompt = prompt
