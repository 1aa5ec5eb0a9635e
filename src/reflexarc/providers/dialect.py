"""How a request is written in the OpenAI chat dialect, and what each vendor spells differently."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from reflexarc.checks import Form
from reflexarc.llm import Request
from reflexarc.types import Json, Message


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a family of models wants otherwise than its vendor's other models.

    Parameters
    ----------
    names : str
        Regular expression that the beginning of the model's name matches.
    without : frozenset of str, default frozenset()
        Fields of a request that it refuses.
    added : mapping of str to object, default {}
        Fields that it wants.
    """

    names: str
    without: frozenset[str] = frozenset()
    added: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Dialect:
    """What servers of the OpenAI chat dialect spell differently in a request.

    Parameters
    ----------
    max_tokens : str, default "max_tokens"
        Name of the token limit.
    seed : str, default "seed"
        Name of the random seed.
    stream_usage : bool, default True
        Whether ``stream_options`` is understood; Mistral refuses it and sends usage unasked.
    must_call : str, default "required"
        The ``tool_choice`` that forces a call.
    cache_key : bool, default False
        Whether ``prompt_cache_key`` is understood, by which a vendor finds the prompt's beginning
        among what it has read before.
    forms : tuple of {"grammar", "schema", "tools", "json", "text"}
        What holds an answer here, best first; the default is all but a grammar.
    shows_calls : bool, default True
        Whether past tool calls may be shown as calls; Gemini wants its signature back with each.
    added : mapping of str to object, default {}
        Fields that every request has.
    models : tuple of ModelFacts, default ()
        The first that matches a model's name counts.
    """

    max_tokens: str = "max_tokens"
    seed: str = "seed"
    stream_usage: bool = True
    must_call: str = "required"
    cache_key: bool = False
    forms: tuple[Form, ...] = ("schema", "tools", "json", "text")
    shows_calls: bool = True
    added: Mapping[str, object] = field(default_factory=dict[str, object])
    models: tuple[ModelFacts, ...] = ()

    def body(self, request: Request) -> Json:
        """The request as JSON.

        Parameters
        ----------
        request : Request
            What to ask.

        Returns
        -------
        dict
            Always a streamed request: servers stop generating when a stream is closed, and go on
            when another request is (llama.cpp, measured: 137 s).
        """
        config = request.config
        body: Json = {
            "model": request.model,
            "messages": [_written(message) for message in request.messages],
            "stream": True,
            self.max_tokens: config.max_tokens,
            **self.added,
        }
        if self.stream_usage:
            body["stream_options"] = {"include_usage": True}
        if self.cache_key and request.messages[0].role == "system":
            body["prompt_cache_key"] = _digest(request.messages[0].content)
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if config.seed is not None:
            body[self.seed] = config.seed
        if request.grammar is not None:
            body["grammar"] = request.grammar
        elif request.tools is not None:
            body["tools"] = request.tools
            body["tool_choice"] = self.must_call
        elif request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.json_object:
            body["response_format"] = {"type": "json_object"}
        facts = self._facts(request.model)
        amended = {**dict.fromkeys(facts.without), **facts.added}
        return _amend(_amend(body, amended) | config.extra_params, request.amended)

    def _facts(self, model: str) -> ModelFacts:
        return next((facts for facts in self.models if re.match(facts.names, model)), _PLAIN)


_PLAIN = ModelFacts("")


def _amend(body: Json, amended: Mapping[str, object]) -> Json:
    """Set fields, and leave out those whose value is None."""
    return {name: value for name, value in {**body, **amended}.items() if value is not None}


def _written(message: Message) -> Json:
    written: Json = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        written["tool_call_id"] = message.tool_call_id
    return written


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
