import typing as T

from pydantic import BaseModel

from llm import LLM, LLMConfig
from providers.llm_history_manager import LLMHistoryManager

R = T.TypeVar("R", bound=BaseModel)


class OpenAILLM(LLM[R]):
    """
    OpenAI's models.

    Parameters
    ----------
    output_model : Type[R]
        What an answer becomes.
    config : LLMConfig, optional
        OM1's settings; those of reflexarc may stand beside them.
    """

    def __init__(self, output_model: T.Type[R], config: T.Optional[LLMConfig] = None):
        """Prepare the client; nothing is sent yet."""
        # Here, so that a missing package fails this plugin and no other.
        from reflexarc.om1.cortex import Cortex

        super().__init__(output_model, config or LLMConfig())
        self._skip_state_management = False
        self._cortex = Cortex(self, output_model, LLMHistoryManager)
        self._client = self._cortex.client
        self.history_manager = self._cortex.history_manager

    async def ask(
        self, prompt: str, messages: T.Optional[T.List[T.Dict[str, str]]] = None
    ) -> T.Optional[R]:
        """
        Ask the model; never raises.

        Parameters
        ----------
        prompt : str
            Everything it is told.
        messages : list of dict, optional
            Past turns, oldest first; the plugin's own history if left out.

        Returns
        -------
        R or None
            The answer, or None; one log line then says why.
        """
        return await self._cortex.ask(prompt, messages)

    async def close(self) -> None:
        """Close the connections."""
        await self._cortex.aclose()
