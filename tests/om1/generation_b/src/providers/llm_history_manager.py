"""A stand-in for OM1's record of past turns, as its generation B keeps it."""

import asyncio
import functools
import typing as T
from dataclasses import dataclass

from llm import LLMConfig


@dataclass
class ChatMessage:
    """One turn."""

    role: str
    content: str


class LLMHistoryManager:
    """Past turns; a client that is not OpenAI's own is called in a thread."""

    def __init__(self, config: LLMConfig, client: T.Any):
        self.client = client
        self.config = config
        self.frame_index = 0
        self.history: T.List[ChatMessage] = []
        self.summary_task: T.Optional[asyncio.Task] = None

    def get_messages(self) -> T.List[dict]:
        """Give the past as a plugin is told it."""
        return [{"role": each.role, "content": each.content} for each in self.history]

    async def start_summary_task(self, messages: T.List[ChatMessage]) -> None:
        """Have the turns there are replaced by their summary, in the background."""
        self.summary_task = asyncio.create_task(self._summarize(messages))

    async def _summarize(self, messages: T.List[ChatMessage]) -> None:
        count = len(messages)
        told = [{"role": each.role, "content": each.content} for each in messages]
        told.append({"role": "user", "content": "Summarize this."})
        create = functools.partial(
            self.client.chat.completions.create,
            model=self.config.model or "gpt-4o-mini",
            messages=told,
        )
        response = await asyncio.get_running_loop().run_in_executor(None, create)
        summary = response.choices[0].message.content
        messages[:count] = [ChatMessage("assistant", f"Previously, {summary}")]

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
                manager.history.append(ChatMessage("user", f"{name} sensed: {sensed}"))
                response = await func(
                    self, prompt, manager.get_messages(), *args, **kwargs
                )
                if response is None:
                    manager.history.pop()
                else:
                    told = " | ".join(f"{a.type} {a.value}" for a in response.actions)
                    manager.history.append(
                        ChatMessage(
                            "assistant", f"**** did: {told}".replace("****", name)
                        )
                    )
                    if len(manager.history) > manager.config.history_length:
                        await manager.start_summary_task(manager.history)
                manager.frame_index += 1
                return response

            return wrapper

        return decorator
