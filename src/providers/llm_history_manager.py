"""A stand-in for OM1's record of past turns, as its generation A keeps it."""

import asyncio
import functools
import logging
import typing as T
from dataclasses import dataclass

from llm import LLMConfig

_MAP = {"emotion": "**** felt: {}.", "speak": "**** said: {}", "move": "**** did: {}."}
_LONGEST_SUMMARY_S = 10.0

Answering = T.Callable[..., T.Awaitable[T.Any]]


@dataclass
class ChatMessage:
    """
    One turn.

    Parameters
    ----------
    role : str
        Who speaks.
    content : str
        What is said.
    """

    role: str
    content: str


class LLMHistoryManager:
    """
    Past turns, and their summary once there are too many.

    Parameters
    ----------
    config : LLMConfig
        Its agent_name must be a name.
    client : object
        Of the shape of OpenAI's asynchronous client.
    """

    def __init__(self, config: LLMConfig, client: T.Any):
        self.client = client
        self.config = config
        self.agent_name: str = "****".replace("****", T.cast(str, config.agent_name))
        self.frame_index = 0
        self.history: T.List[ChatMessage] = []
        self.summary_task: T.Optional[asyncio.Task[None]] = None

    def get_messages(self) -> T.List[T.Dict[str, str]]:
        """
        Give the past as a plugin is told it.

        Returns
        -------
        list of dict
            Each with role and content.
        """
        return [{"role": each.role, "content": each.content} for each in self.history]

    async def start_summary_task(self, messages: T.List[ChatMessage]) -> None:
        """
        Have turns replaced by their summary, in the background.

        Parameters
        ----------
        messages : list of ChatMessage
            Becomes one turn of the assistant; without its oldest two on failure.
        """
        if self.summary_task is None or self.summary_task.done():
            self.summary_task = asyncio.create_task(self._summarize(messages))

    async def _summarize(self, messages: T.List[ChatMessage]) -> None:
        told = "\n".join(message.content for message in messages)
        ask = [
            {"role": "system", "content": f"You remember for {self.agent_name}."},
            {"role": "user", "content": f"{told}\nSummarize this."},
        ]
        try:
            response: T.Any = await asyncio.wait_for(
                self.client.chat.completions.create(
                    model=self.config.model, messages=ask
                ),
                _LONGEST_SUMMARY_S,
            )
            summary = response.choices[0].message.content
        except Exception as error:  # noqa: BLE001 - as OM1 does
            logging.error(f"Error summarizing messages: {error}")  # noqa: G004, LOG015
            del messages[:2]
        else:
            messages[:] = [ChatMessage("assistant", f"Previously, {summary}")]

    @staticmethod
    def update_history() -> T.Callable[[Answering], Answering]:
        """
        Decorate a plugin's `ask`, which is then handed the past.

        Returns
        -------
        callable
            The decorator.
        """

        def decorator(func: Answering) -> Answering:
            @functools.wraps(func)
            async def wrapper(
                self: T.Any, prompt: str, *args: T.Any, **kwargs: T.Any
            ) -> T.Any:
                manager: LLMHistoryManager = self.history_manager
                if self._config.history_length == 0:
                    response = await func(self, prompt, [], *args, **kwargs)
                    manager.frame_index += 1
                    return response
                name: str = self._config.agent_name
                self.agent_name = name
                sensed = " | ".join(
                    f"{key}. {each.input}"
                    for key, each in self.io_provider.inputs.items()
                )
                manager.history.append(
                    ChatMessage("user", f"{name} sensed the following: {sensed}")
                )
                response = await func(
                    self, prompt, manager.get_messages(), *args, **kwargs
                )
                if response is not None:
                    told = " | ".join(
                        _MAP[action.type.lower()].format(action.value)
                        for action in response.actions
                        if action.type.lower() in _MAP
                    ).replace("****", name)
                    manager.history.append(ChatMessage("user", f"{name} acted: {told}"))
                    if 0 < (manager.config.history_length or 0) < len(manager.history):
                        await manager.start_summary_task(manager.history)
                manager.frame_index += 1
                return response

            return wrapper

        return decorator
