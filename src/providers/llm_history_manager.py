"""A stand-in for OM1's record of past turns, as its generation A keeps it."""

import asyncio
import functools
import logging
import typing as T
from dataclasses import dataclass

from llm import LLMConfig

ACTION_MAP = {
    "emotion": "**** felt: {}.",
    "speak": "**** said: {}",
    "move": "**** performed this motion: {}.",
}

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
    system_prompt : str, optional
        What who summarises is told first; ``****`` is the robot's name.
    summary_command : str, optional
        What it is told last.
    """

    def __init__(
        self,
        config: LLMConfig,
        client: T.Any,
        system_prompt: str = "You remember for ****.",
        summary_command: str = "\nSummarize this for ****.",
    ):
        name = T.cast(str, config.agent_name)
        self.client = client
        self.config = config
        self.agent_name: str = name
        self.system_prompt = system_prompt.replace("****", name)
        self.summary_command = summary_command.replace("****", name)
        self.frame_index = 0
        self.history: T.List[ChatMessage] = []
        self._summary_task: T.Optional[asyncio.Task[ChatMessage]] = None

    def get_messages(self) -> T.List[T.Dict[str, str]]:
        """
        Give the past as a plugin is told it.

        Returns
        -------
        list of dict
            Each with role and content.
        """
        return [{"role": each.role, "content": each.content} for each in self.history]

    async def summarize_messages(self, messages: T.List[ChatMessage]) -> ChatMessage:
        """
        Have turns summarised by the client.

        Parameters
        ----------
        messages : list of ChatMessage
            The turns.

        Returns
        -------
        ChatMessage
            By the assistant; by the system where there is no summary.
        """
        told = "\n".join(message.content for message in messages)
        ask = [
            {"role": "system", "content": self.system_prompt},
            {"role": "user", "content": told + self.summary_command},
        ]
        try:
            response: T.Any = await asyncio.wait_for(
                self.client.chat.completions.create(
                    model=self.config.model, messages=ask
                ),
                _LONGEST_SUMMARY_S,
            )
        except Exception as error:  # noqa: BLE001 - as OM1 does
            logging.error(f"Error summarizing messages: {error}")  # noqa: G004, LOG015
            return ChatMessage("system", "Error summarizing state")
        summary = response.choices[0].message.content
        return ChatMessage("assistant", f"Previously, {summary}")

    async def start_summary_task(self, messages: T.List[ChatMessage]) -> None:
        """
        Have turns replaced by their summary, in the background.

        Parameters
        ----------
        messages : list of ChatMessage
            Becomes one turn of the assistant; without its oldest two on failure.
        """
        if self._summary_task and not self._summary_task.done():
            return

        def replace(task: asyncio.Task[ChatMessage]) -> None:
            if not task.cancelled():
                summary = task.result()
                is_one = summary.role == "assistant"
                messages[:] = [summary] if is_one else messages[2:]

        self._summary_task = asyncio.create_task(
            self.summarize_messages(messages.copy())
        )
        self._summary_task.add_done_callback(replace)

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
                        ACTION_MAP[action.type.lower()].format(action.value)
                        for action in response.actions
                        if action.type.lower() in ACTION_MAP
                    ).replace("****", name)
                    manager.history.append(ChatMessage("user", f"{name} acted: {told}"))
                    if 0 < (manager.config.history_length or 0) < len(manager.history):
                        await manager.start_summary_task(manager.history)
                manager.frame_index += 1
                return response

            return wrapper

        return decorator
