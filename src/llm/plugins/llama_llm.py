import typing as T

from pydantic import BaseModel

from llm import LLM, LLMConfig

R = T.TypeVar("R", bound=BaseModel)


class LlamaLLM(LLM[R]):
    """
    Meta's Llama models, on a server named by base_url.

    Parameters
    ----------
    output_model : Type[R]
        What an answer becomes.
    config : LLMConfig, optional
        OM1's settings; those of reflexarc (transport, structured, temperature,
        stall_timeout, ...) may stand beside them.
    """

    def __init__(self, output_model: T.Type[R], config: T.Optional[LLMConfig] = None):
        # Here, so that a missing package fails this plugin and no other.
        from reflexarc.om1.cortex import Cortex

        config = config or LLMConfig()
        super().__init__(output_model, config)
        self._cortex = Cortex("LlamaLLM", output_model, config)
        self._client = self._cortex.client

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
            Past turns, oldest first.

        Returns
        -------
        R or None
            The answer, or None; one log line then says why.
        """
        return await self._cortex.ask(prompt, messages, self.io_provider)

    async def close(self) -> None:
        """Close the connections."""
        await self._cortex.aclose()
