"""A stand-in for OM1's record of past turns, as its generation B keeps it."""

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


@dataclass
class ChatMessage:
    """One turn."""

    role: str
    content: str


class LLMHistoryManager:
    """Past turns; a client that is not OpenAI's own is called in a thread."""

    def __init__(
        self,
        config: LLMConfig,
        client: T.Any,
        system_prompt: str = "You remember for ****.",
        summary_command: str = "\nSummarize this for ****.",
    ):
        name = config.agent_name or ""
        self.client = client
        self.config = config
        self.agent_name = name
        self.system_prompt = system_prompt.replace("****", name)
        self.summary_command = summary_command.replace("****", name)
        self.frame_index = 0
        self.history: T.List[ChatMessage] = []
        self._summary_task: T.Optional[asyncio.Task] = None

    def get_messages(self) -> T.List[dict]:
        """Give the past as a plugin is told it."""
        return [{"role": each.role, "content": each.content} for each in self.history]

    async def summarize_messages(self, messages: T.List[ChatMessage]) -> ChatMessage:
        """Have turns summarised by the client, in a thread."""
        told = "\n".join(message.content for message in messages)
        create = functools.partial(
            self.client.chat.completions.create,
            model=self.config.model or "gpt-4o-mini",
            messages=[
                {"role": "system", "content": self.system_prompt},
                {"role": "user", "content": told + self.summary_command},
            ],
        )
        try:
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(None, create)
        except Exception as error:  # noqa: BLE001 - as OM1 does
            logging.error(f"Error summarizing messages: {error}")  # noqa: G004, LOG015
            return ChatMessage("system", "Error summarizing state")
        summary = response.choices[0].message.content
        return ChatMessage("assistant", f"Previously, {summary}")

    async def start_summary_task(self, messages: T.List[ChatMessage]) -> None:
        """Have the turns there are replaced by their summary, in the background."""
        if self._summary_task and not self._summary_task.done():
            return
        count = len(messages)

        def replace(task: asyncio.Task) -> None:
            if not task.cancelled():
                summary = task.result()
                if summary.role == "assistant":
                    messages[:count] = [summary]
                else:
                    del messages[:2]

        self._summary_task = asyncio.create_task(
            self.summarize_messages(messages.copy())
        )
        self._summary_task.add_done_callback(replace)

    @staticmethod
    def update_history() -> T.Any:
        """Decorate a plugin's `ask`, which is then handed the past."""

        def decorator(func: T.Any) -> T.Any:
            @functools.wraps(func)
            async def wrapper(
                self: T.Any,
                prompt: str,
                messages: T.Optional[T.List[dict]] = None,
                *args: T.Any,
                **kwargs: T.Any,
            ) -> T.Any:
                if getattr(self, "_skip_state_management", False):
                    return await func(self, prompt, messages, *args, **kwargs)
                manager = self.history_manager
                if self._config.history_length == 0:
                    response = await func(self, prompt, None, *args, **kwargs)
                    manager.frame_index += 1
                    return response
                name = self.agent_name = self._config.agent_name
                record = self.io_provider
                sensed = " | ".join(
                    f"{key}. {each.input}"
                    for key, each in record.inputs.items()
                    if each.tick == record.tick_counter
                )
                manager.history.append(
                    ChatMessage("user", f"{name} sensed the following: {sensed}")
                )
                response = await func(
                    self, prompt, manager.get_messages(), *args, **kwargs
                )
                if response is None:
                    manager.history.pop()
                else:
                    told = " | ".join(
                        ACTION_MAP[action.type.lower()].format(action.value)
                        for action in response.actions
                        if action.type.lower() in ACTION_MAP
                    ).replace("****", name)
                    manager.history.append(
                        ChatMessage("assistant", f"{name} acted: {told}")
                    )
                    if len(manager.history) > manager.config.history_length:
                        await manager.start_summary_task(manager.history)
                manager.frame_index += 1
                return response

            return wrapper

        return decorator
