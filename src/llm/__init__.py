"""OM1's package for language models, in the shape its plugins are written for."""

import importlib
import re
import typing as T
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from llm import plugins
from providers.io_provider import IOProvider

R = T.TypeVar("R", bound=BaseModel)


class LLMConfig(BaseModel):
    """
    Settings of one language model; unknown ones are kept.

    Parameters
    ----------
    base_url : str, optional
        Server to ask.
    api_key : str, optional
        Key to send.
    model : str, optional
        Model to ask for.
    timeout : int, optional
        Seconds a question may take.
    agent_name : str, optional
        What the robot is called.
    history_length : int, optional
        Past turns the model is shown.
    extra_params : dict
        Further settings.
    """

    model_config = ConfigDict(extra="allow")

    base_url: T.Optional[str] = None
    api_key: T.Optional[str] = Field(default=None, repr=False)
    model: T.Optional[str] = None
    timeout: T.Optional[int] = 10
    agent_name: T.Optional[str] = "IRIS"
    history_length: T.Optional[int] = 0
    extra_params: T.Dict[str, T.Any] = Field(default_factory=dict)

    def __getitem__(self, item: str) -> T.Any:
        """
        Look a setting up, here and then in `extra_params`.

        Parameters
        ----------
        item : str
            Its name.

        Returns
        -------
        Any
            Its value.

        Raises
        ------
        KeyError
            If there is no such setting.
        """
        if item in type(self).model_fields or item in (self.model_extra or {}):
            return getattr(self, item)
        return self.extra_params[item]


class LLM(T.Generic[R]):
    """
    Base of every plugin.

    Parameters
    ----------
    output_model : Type[R]
        What an answer becomes.
    config : LLMConfig, optional
        Settings of the plugin.
    """

    def __init__(self, output_model: T.Type[R], config: T.Optional[LLMConfig] = None):
        self._output_model = output_model
        self._config = config
        self.io_provider = IOProvider()

    async def ask(
        self, prompt: str, messages: T.Optional[T.List[T.Dict[str, str]]] = None
    ) -> T.Optional[R]:
        """
        Ask the model.

        Parameters
        ----------
        prompt : str
            Everything it is told.
        messages : list of dict, optional
            Past turns.

        Returns
        -------
        R or None
            The answer, or None where there is none.
        """
        raise NotImplementedError


def load_llm(name: str) -> T.Type[LLM[T.Any]]:
    """
    Find a plugin's class; only the module that holds it is imported.

    Parameters
    ----------
    name : str
        Name of the class.

    Returns
    -------
    Type[LLM]
        The class, not an instance.

    Raises
    ------
    ValueError
        If no plugin has such a class.
    """
    definition = re.compile(rf"^class\s+{re.escape(name)}\s*\(", re.MULTILINE)
    for folder in plugins.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            if definition.search(path.read_text(encoding="utf-8", errors="replace")):
                module = importlib.import_module(f"llm.plugins.{path.stem}")
                found: T.Any = getattr(module, name, None)
                if LLM in getattr(found, "__mro__", ()):
                    return found
    raise ValueError(f"LLM type {name} not found")
