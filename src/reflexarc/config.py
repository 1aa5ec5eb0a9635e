"""Configuration: robots in OM1's JSON5 format, and the settings of one language model.

Every value is frozen and every unknown key is refused with a "did you mean". The environment is
read where a file is, or handed in; nothing else here looks at it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from reflexarc.checks import (
    ApiKey,
    BaseUrl,
    ExtraParams,
    Frozen,
    NoBool,
    Seconds,
    Structured,
    told,
)
from reflexarc.errors import ConfigError
from reflexarc.hosts import is_open
from reflexarc.observing import Observed, Observing
from reflexarc.redaction import SHORTEST_SECRET
from reflexarc.remembering import Remembered, Remembering
from reflexarc.rules import Limit, Never
from reflexarc.source import Source, expand
from reflexarc.types import Action, as_object

M = TypeVar("M", bound=BaseModel)


class Sensed(Frozen):
    """An example: what is sensed, and what the robot does about it.

    Parameters
    ----------
    sensed : str
        What the inputs say, as text.
    actions : tuple of Action
        The right answer.
    """

    sensed: str
    actions: tuple[Action, ...]


class LLMConfig(Frozen):
    """Which model answers, and under which limits.

    Parameters
    ----------
    type : str
        Provider: an OM1 class name such as ``"MistralLLM"`` or ``"OnboardLLM"``.
    model : str or None, default None
        Model name as the server knows it; None takes the provider's default.
    base_url : str or None, default None
        Server to ask, with or without ``/v1``; None is the vendor's own.
    api_key : SecretStr or None, default None
        None takes the provider's variable from the environment, for the vendor's own host only.
    allow_plain_http : bool, default False
        Whether `api_key` may travel unencrypted to a `base_url` on another machine.
    timeout : float, default 10.0
        Seconds that the whole answer may take to arrive, with all that is tried for it.
    first_action_timeout : float or None, default None
        Seconds until the first complete action; None leaves it to `timeout`.
    stall_timeout : float, default 5.0
        Longest silence in seconds between two useful pieces of the answer.
    max_tokens : int, default 512
        Longest answer, in tokens.
    temperature : float or None, default None
        Sampling temperature, 0 to 2; None is the provider's default.
    seed : int or None, default None
        Makes sampling repeatable, as far as the server can.
    transport : {"auto", "sdk", "http"}, default "auto"
        The vendor's SDK or our own client; ``auto`` takes the SDK for the vendor's own host only.
    structured : {"auto", "schema", "tools", "json", "grammar"} or tuple of str, default "auto"
        How the answer is held to the robot's vocabulary; several, ``"text"`` among them, are tried
        in their order.
    history_length : int, default 0
        Past ticks that ``reflexarc run`` shows the model; in an entry of `llms`, that this one is
        shown at most.
    agent_name : str, default "IRIS"
        OM1's field and default; accepted, and not used here.
    examples : tuple of Sensed, default ()
        The robot's examples, where a file of OM1's has no other place for them.
    llms : tuple of LLMConfig, default ()
        The brains of a FailoverLLM, best first.
    fallback : {"onboard"} or None, default None
        Short for a FailoverLLM of this brain and an OnboardLLM.
    hedge_after : float or {"auto", "p95", "off"}, default "auto"
        When the next brain is started beside one that has not acted yet: after so many seconds;
        ``"p95"``, when it is later than in 19 of 20 of its last answers; ``"auto"``, the same
        unless both are paid for; or never.
    idle_action : Action or None, default None
        What the robot does where no brain acts in time; None makes that an error.
    extra_params : dict, default {}
        Fields added to the request body as they are.
    """

    type: str
    model: str | None = None
    base_url: BaseUrl | None = None
    api_key: ApiKey | None = None
    allow_plain_http: bool = False
    timeout: Seconds = 10.0
    first_action_timeout: Seconds | None = None
    stall_timeout: Seconds = 5.0
    max_tokens: Annotated[int, NoBool] = Field(default=512, gt=0)
    temperature: Annotated[float | None, NoBool] = Field(default=None, ge=0, le=2)
    seed: Annotated[int | None, NoBool] = Field(default=None, ge=0)
    transport: Literal["auto", "sdk", "http"] = "auto"
    structured: Structured = "auto"
    history_length: Annotated[int, NoBool] = Field(default=0, ge=0)
    agent_name: str = "IRIS"
    examples: tuple[Sensed, ...] = ()
    llms: tuple[LLMConfig, ...] = ()
    fallback: Literal["onboard"] | None = None
    hedge_after: Seconds | Literal["auto", "p95", "off"] = "auto"
    idle_action: Action | None = None
    extra_params: ExtraParams = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, data: Any) -> Any:
        """Take OM1's ``{type, config: {…}}`` as well as the flat form."""
        fields = as_object(data) or {}
        settings = as_object(fields.get("config"))
        if settings is None:
            return data
        return {key: value for key, value in fields.items() if key != "config"} | settings

    @property
    def is_chain(self) -> bool:
        """Whether there is more to it than one brain: others behind it, or an idle action."""
        is_more = self.fallback is not None or self.idle_action is not None
        return is_more or self.type == "FailoverLLM"

    def check_route(self) -> None:
        """Refuse to show the key to everybody on the way to the server.

        Raises
        ------
        ConfigError
            If it would travel unencrypted to another machine, and that is not allowed.
        """
        url = self.base_url or ""
        key = self.api_key.get_secret_value() if self.api_key else ""
        if len(key) >= SHORTEST_SECRET and is_open(url) and not self.allow_plain_http:
            place = urlsplit(url).netloc
            raise ConfigError(
                f"the api_key of {self.type} would travel unencrypted to {place}; write "
                f"https://{place}, leave api_key out if that server wants none, or, where "
                "the network is yours alone, allow_plain_http: true"
            )


class Plugin(Frozen):
    """An input or a simulator of the robot, by OM1's class name.

    Parameters
    ----------
    type : str
        Class name.
    config : dict, default {}
        Its settings; not shown, since a key may be among them.
    """

    type: str
    config: dict[str, Any] = Field(default_factory=dict, repr=False)


class AgentAction(Frozen):
    """One entry of OM1's ``agent_actions``.

    Parameters
    ----------
    name : str
        OM1's interface, e.g. ``"move"`` or ``"move_go2_autonomy"``.
    llm_label : str
        What the model calls it: the `type` of an `Action`.
    connector : str or None, default None
        OM1's connector that performs it.
    implementation : str or None, default None
        OM1's implementation; ``"passthrough"`` in most files.
    config : dict, default {}
        The connector's settings, likewise not shown.
    exclude_from_prompt : bool, default False
        Whether the model may not use it.
    values : tuple of str or None, default None
        Legal values; None takes those of the known interface `name`.
    description : str or None, default None
        What the action is for, for the model.
    """

    name: str
    llm_label: str
    connector: str | None = None
    implementation: str | None = None
    config: dict[str, Any] = Field(default_factory=dict, repr=False)
    exclude_from_prompt: bool = False
    values: tuple[str, ...] | None = None
    description: str | None = None


class RobotConfig(Frozen):
    """A robot, in OM1's single-mode format.

    Parameters
    ----------
    name : str
        What the robot is called.
    hertz : float
        Ticks a second, above 0.
    system_prompt_base, system_governance, system_prompt_examples : str, default ""
        Persona, laws and examples, for the model.
    agent_inputs : tuple of Plugin, default ()
        What it senses.
    cortex_llm : LLMConfig
        Its brain.
    agent_actions : tuple of AgentAction
        What it can do; at least one.
    simulators : tuple of Plugin, default ()
        OM1's simulators.
    examples : tuple of Sensed, default ()
        Our addition: examples as data, which small models need.
    never : tuple of Never, default ()
        Our addition: rules in front of the actuators; see `reflexarc.guard`.
    limits : tuple of Limit, default ()
        Likewise.
    memory : Remembering or None, default Remembering()
        Our addition: where its ticks are kept, and how many; ``false``, which is None here, keeps
        none.
    telemetry : Observing or None, default Observing()
        Our addition: what the robot tells of itself; ``false``, which is None here, is nothing.
    brains : tuple of LLMConfig, default ()
        Our addition: further brains, which a person may switch to while the robot runs.
    version, mode, unitree_ethernet, URID, robot_ip : str or None, default None
        Of OM1's runtime; accepted so that the files stay OM1's, and not used here.
    api_key : SecretStr or None, default None
        OpenMind's key, likewise.
    knowledge_base : dict or None, default None
        Of OM1's runtime, likewise.
    schema_ : str or None, default None
        ``$schema``, for editors.
    """

    name: str
    hertz: Annotated[float, NoBool] = Field(gt=0, le=1000)
    system_prompt_base: str = ""
    system_governance: str = ""
    system_prompt_examples: str = ""
    agent_inputs: tuple[Plugin, ...] = ()
    cortex_llm: LLMConfig
    agent_actions: tuple[AgentAction, ...] = Field(min_length=1)
    simulators: tuple[Plugin, ...] = ()
    examples: tuple[Sensed, ...] = ()
    never: tuple[Never, ...] = ()
    limits: tuple[Limit, ...] = ()
    memory: Remembered = Field(default_factory=Remembering)
    telemetry: Observed = Field(default_factory=Observing)
    brains: tuple[LLMConfig, ...] = ()

    version: str | None = None
    api_key: ApiKey | None = None
    mode: str | None = None
    unitree_ethernet: str | None = None
    URID: str | None = None
    robot_ip: str | None = None
    knowledge_base: dict[str, Any] | None = None
    schema_: Annotated[str | None, BeforeValidator(str)] = Field(default=None, alias="$schema")

    @classmethod
    def load(
        cls,
        path: str | Path,
        environ: Mapping[str, str] | None = None,
        *,
        llm: str | None = None,
    ) -> Self:
        """Read a robot's file.

        Parameters
        ----------
        path : str or Path
            A JSON5 file.
        environ : mapping of str to str or None, default None
            Variables for ``${VAR}``; None is the process's environment.
        llm : str or None, default None
            JSON5 that takes the place of the file's ``cortex_llm``.

        Returns
        -------
        RobotConfig

        Raises
        ------
        ConfigError
            With file, line and column, and what to write instead.
        """
        environ = os.environ if environ is None else environ
        source = Source.read(Path(path))
        data = source.parse()
        if as_object(data) is None:
            raise ConfigError("a robot's configuration is one object, { … }", path=source.name)
        if llm is not None:
            brain = parse_llm(llm, environ, name="--llm")
            return validate(
                cls, {**data, "cortex_llm": None}, source, environ, given={"cortex_llm": brain}
            )
        return validate(cls, data, source, environ)


def parse_llm(text: str, environ: Mapping[str, str], *, name: str = "LLM settings") -> LLMConfig:
    """Read the settings of one model from JSON5 text.

    Parameters
    ----------
    text : str
        ``{"type": …, "model": …}``, flat or in OM1's ``{type, config}`` form.
    environ : mapping of str to str
        Variables for ``${VAR}``.
    name : str, default "LLM settings"
        What the text is called in messages.

    Returns
    -------
    LLMConfig

    Raises
    ------
    ConfigError
        With line and column, and what to write instead.
    """
    source = Source(text, name)
    return validate(LLMConfig, source.parse(), source, environ)


def validate(
    model: type[M],
    data: Any,
    source: Source,
    environ: Mapping[str, str],
    *,
    given: Mapping[str, Any] | None = None,
) -> M:
    """Expand the variables in parsed JSON and make a `model` of it.

    Parameters
    ----------
    model : type
        A pydantic model.
    data : object
        Parsed JSON.
    source : Source
        The text `data` came from, to show the place of a mistake.
    environ : mapping of str to str
        Variables for ``${VAR}``.
    given : mapping of str to object or None, default None
        Fields that are already validated and take the place of those in `data`.

    Returns
    -------
    pydantic.BaseModel
        An instance of `model`.

    Raises
    ------
    ConfigError
        For the first mistake in the text.
    """
    expanded = expand(data, environ, source)
    try:
        return model.model_validate({**expanded, **given} if given else expanded)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        location, message = mistake["loc"], told(mistake)
        if mistake["type"] == "unknown_key":
            location, message = (*location, mistake.get("ctx", {})["key"]), mistake["msg"]
        raise source.error_at(location, message, transparent="config") from None
