"""Write docs/reference/, the pages about settings, commands and Python names, from the code itself.

Run it after a change of a model's field, a command's help or a public docstring; a test holds the
pages to it.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from types import FunctionType, UnionType
from typing import Any, get_args

import annotated_types
import json5
import typer
from pydantic import BaseModel

from reflexarc.checks import Seconds
from reflexarc.cli.app import app
from reflexarc.config import AgentAction, LLMConfig, Plugin, RobotConfig, Sensed
from reflexarc.observing import Observing
from reflexarc.registry import PROVIDERS
from reflexarc.remembering import Remembering
from reflexarc.rules import Limit, Never
from reflexarc.runtime.parts import CONNECTORS, INPUTS
from reflexarc.telemetry.names import CAPTURE_CONTENT
from reflexarc.types import Action

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
INTRODUCTION = """
A robot is one JSON5 file in OM1's format: comments, single quotes and trailing commas are welcome.
`${NAME}` is the environment's variable of that name, `${NAME:-text}` the same with a default. A
setting that does not exist is refused, with line, column and the one that was probably meant.
`reflexarc config check FILE` does so without running the robot, and `reflexarc config schema`
prints a JSON Schema, which editors complete from. None, in what follows, is a setting that is left
out.
""".strip()
STREAMS = """
Answers for programs go to standard output, words for people to standard error. The exit status is
0 when all is done, 1 when the world failed, and 2 when something was asked for that cannot be.
""".strip()
WRITTEN = "<!-- Written by scripts/write_reference.py; change the code, and run it. -->"

# How each setting may be written; the script stops where the model would refuse it.
EXAMPLES: Mapping[type[BaseModel], Mapping[str, str]] = {
    RobotConfig: {
        "name": '"spot"',
        "hertz": "0.5",
        "system_prompt_base": '"You are Spot, a friendly robot dog."',
        "system_governance": '"You must not harm a human."',
        "system_prompt_examples": "\"If a person says 'sit', you might:\\n    Move: 'sit'\"",
        "agent_inputs": '[{ type: "ConsoleInput" }]',
        "cortex_llm": '{ type: "OnboardLLM" }',
        "agent_actions": '[{ name: "speak", llm_label: "speak" }]',
        "simulators": "[]",
        "examples": '[{ sensed: "Rain.", actions: [{ type: "move", value: "walk" }] }]',
        "never": '[{ type: "move", value: "run" }]',
        "limits": '[{ type: "speak", per: 5 }]',
        "memory": "{ max_days: 30 }",
        "telemetry": "{ content: true }",
        "brains": '[{ type: "MistralLLM" }]',
        "version": '"v1.0.0"',
        "api_key": '"openmind_free"',
        "mode": '"default"',
        "unitree_ethernet": '"eth0"',
        "URID": '"default"',
        "robot_ip": '"192.168.1.5"',
        "knowledge_base": "{}",
        "$schema": '"./schema/robot.schema.json"',
    },
    LLMConfig: {
        "type": '"MistralLLM"',
        "model": '"mistral-small-latest"',
        "base_url": '"http://192.168.1.20:11434"',
        "api_key": '"${MISTRAL_API_KEY}"',
        "allow_plain_http": "true",
        "timeout": "3",
        "first_action_timeout": "1.5",
        "stall_timeout": "2",
        "max_tokens": "256",
        "temperature": "0.2",
        "seed": "7",
        "transport": '"http"',
        "structured": '["tools", "json"]',
        "history_length": "10",
        "agent_name": '"Rex"',
        "examples": '[{ sensed: "Rain.", actions: [{ type: "move", value: "walk" }] }]',
        "llms": '[{ type: "MistralLLM" }, { type: "OnboardLLM" }]',
        "fallback": '"onboard"',
        "hedge_after": "0.8",
        "idle_action": '{ type: "move", value: "stand still" }',
        "extra_params": "{ top_p: 0.9 }",
    },
    Plugin: {"type": '"MockInput"', "config": "{ port: 8765 }"},
    AgentAction: {
        "name": '"gripper"',
        "llm_label": '"gripper"',
        "connector": '"http"',
        "implementation": '"passthrough"',
        "config": '{ url: "http://127.0.0.1:8080/act" }',
        "exclude_from_prompt": "true",
        "values": '["open", "close"]',
        "description": '"Move the gripper."',
    },
    Sensed: {"sensed": '"Rain."', "actions": '[{ type: "move", value: "walk" }]'},
    Action: {"type": '"move"', "value": '"sit"'},
    Never: {"type": '"move"', "value": '"run"', "while": '["stairs", "a child"]', "hold": "5"},
    Limit: {"type": '"speak"', "value": '"Hello!"', "most": "2", "per": "60"},
    Observing: {
        "traces": "false",
        "max_mb": "20",
        "max_days": "7",
        "metrics": "false",
        "otlp": '"http://127.0.0.1:4318"',
        "content": "true",
    },
    Remembering: {"path": '"~/spot.sqlite3"', "max_mb": "50", "max_days": "30"},
}


@dataclass(frozen=True)
class Told:
    """What is known of a setting: what it takes, its default, and what it does."""

    takes: str
    default: str
    text: str


_SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(r"^(\w[\w, ]*?) : (.*)\n((?:    .*\n?)+)", re.MULTILINE)
_DEFAULTS = {
    "None": "",
    "()": "[]",
    "True": "true",
    "False": "false",
    "Remembering()": "{}",
    "Observing()": "{}",
}
_WORDS = (
    (r" or None\b", ""),
    (r"\b(SecretStr|str|Path)\b", "text"),
    (r"\bfloat\b", "number"),
    (r"\bint\b", "whole number"),
    (r"\bbool\b", "true or false"),
    (r"\b(dict|mapping of text to text)\b", "object"),
    (r"\btuple of ", "list of "),
    (r"[{}]", ""),
    (r"\bLLMConfig\b", "[brain](#a-brain)"),
    (r"\bPlugin\b", "[plugin](#an-input-or-a-simulator)"),
    (r"\bAgentAction\b", "[its actions](#an-action-that-it-can-do)"),
    (r"\bSensed\b", "[example](#an-example)"),
    (r"\bAction\b", "[action](#an-action-as-it-is-done)"),
    (r"\bNever\b", "[rule](#what-it-never-does)"),
    (r"\bLimit\b", "[limit](#how-often-it-does-something)"),
    (r"\bRemembering\b", "[memory](#its-memory)"),
    (r"\bObserving\b", "[telemetry](#what-it-tells-of-itself)"),
)

_ABOVE_0_S = "above 0 s"

UNITS = {
    "hertz": "times a second",
    "max_tokens": "in tokens",
    "history_length": "in ticks",
    "max_mb": "in megabytes",
    "max_days": "in days",
    "timeout": "in seconds",
    "heartbeat": "in seconds",
}

# What is read from the environment beside the keys of providers.
VARIABLES = {
    "REFLEXARC_TOKEN": "token of the page, where it is not only for this machine; without it one "
    "is made up",
    "XDG_STATE_HOME": "memories and traces are below it; `~/.local/state` by default",
    "XDG_DATA_HOME": "models are below it; `~/.local/share` by default",
    "XDG_CACHE_HOME": "what makes the start faster is below it; `~/.cache` by default",
    "OTEL_SDK_DISABLED": "`true`: no spans, whatever else is set",
    "OTEL_TRACES_EXPORTER": "`otlp`, `console`, `otlp,console` or `none`, as OpenTelemetry has it",
    CAPTURE_CONTENT: "`true`: what was said is in spans, as `content` of `telemetry` has it",
    "NO_COLOR": "anything: no colours in the terminal",
}

PARTS = {  # heading: where it stands in a robot's file, and what it is
    RobotConfig: ("A robot", "The whole file is one object."),
    LLMConfig: (
        "A brain",
        "`cortex_llm`, each of `brains`, each of `llms`; flat, or as `{ type: …, config: { … } }`.",
    ),
    Plugin: ("An input, or a simulator", "Each of `agent_inputs` and `simulators`."),
    AgentAction: ("An action that it can do", "Each of `agent_actions`."),
    Sensed: ("An example", "Each of `examples`."),
    Action: ("An action as it is done", "`idle_action`, and each of `actions` in an example."),
    Never: ("What it never does", "Each of `never`."),
    Limit: ("How often it does something", "Each of `limits`."),
    Observing: ("What it tells of itself", "`telemetry`; `false` is nothing."),
    Remembering: ("Its memory", "`memory`; `false` keeps none."),
}

ANSWERS = (
    "Event TextDelta ActionReady ActionRefused AttemptFailed Usage Finished Action "
    "CortexOutputModel"
)
SEVERAL = {  # page: its title, and what is on it: modules, or some names of one
    "errors": ("Python: errors", ("reflexarc.errors",)),
    "answers": ("Python: answers, as they come", (f"reflexarc: {ANSWERS}",)),
    "python": ("Python: brains and prompts", ("reflexarc",)),
    "resilience": (
        "Python: resilience, and the robot's rules",
        ("reflexarc.resilience", "reflexarc.guard"),
    ),
    "runtime": (
        "Python: the robot's loop and its parts",
        (
            "reflexarc.runtime.loop",
            "reflexarc.runtime.inputs",
            "reflexarc.runtime.actuators",
            "reflexarc.runtime.parts",
            "reflexarc.runtime.push",
            "reflexarc.runtime.mock_input",
        ),
    ),
    "providers": (
        "Python: what a provider is made of",
        (
            "reflexarc.providers.provider",
            "reflexarc.providers.dialect",
            "reflexarc.providers.reply",
            "reflexarc.providers.failure",
        ),
    ),
    "memory": ("Python: memory", ("reflexarc.memory",)),
    "telemetry": ("Python: telemetry", ("reflexarc.telemetry",)),
    "testing": (
        "Python: doubles and promises for tests",
        ("reflexarc.testing", "reflexarc.testing.conformance", "reflexarc.testing.rules"),
    ),
}


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    written = {"configuration.md": configuration(), "commands.md": commands()}
    shown: set[int] = set()
    for name, (title, modules) in SEVERAL.items():
        written[f"{name}.md"] = python(title, modules, shown)
    return written


def configuration() -> str:
    """The page of all that may stand in a robot's file, and of the environment."""
    lines = [
        "# Configuration",
        WRITTEN,
        INTRODUCTION,
        "```json5\n" + _whole_robot() + "\n```",
    ]
    for model, (title, where) in PARTS.items():
        lines += [f"## {title}", where, _settings_of(model)]
    lines += ["## Connectors", "`connector` of an action, with what its `config` takes."]
    lines += [_part(name, path) for name, path in CONNECTORS.items()]
    lines.append("`console`, or none, only shows the action. Other packages may add connectors.")
    lines += ["## Inputs", "`type` of an input, with what its `config` takes."]
    lines += [_part(name, path) for name, path in INPUTS.items()]
    lines.append("Other packages may [add inputs and connectors](../parts.md#write-your-own).")
    lines += ["## Types of brains, and the environment", _brains(), _variables()]
    return "\n\n".join(lines) + "\n"


def commands() -> str:
    """The page of the command line: every command's help."""
    lines = [
        "# Command line",
        WRITTEN,
        STREAMS,
    ]
    root: Any = typer.main.get_command(app)
    for path, command in _walk("reflexarc", root):
        lines.append(f"## {path}")
        lines.append(" ".join((command.help or command.short_help or "").split()))
        if subcommands := getattr(command, "commands", {}):
            lines.append(_table(["command", "does"], _listed(path, subcommands)))
        else:
            lines.append(f"```text\n{_usage(path, command)}\n```")
        if rows := [_option(each) for each in command.params if not each.hidden]:
            lines.append(_table(["argument or option", "default", "does"], rows))
    return "\n\n".join(lines) + "\n"


def python(title: str, modules: Iterable[str], shown: set[int]) -> str:
    """A page of modules: what is in them as a table, and marks where the site has their text.

    What is shown already, by its id, is not shown in full again.
    """
    lines = [f"# {title}", WRITTEN]
    for each in modules:
        name, _, chosen = each.partition(": ")
        module = import_module(name)
        path = Path(module.__file__ or "").relative_to(ROOT)
        first = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]
        names = chosen.split() or public_names(name)
        members = {each: getattr(module, each) for each in names}
        rows = [(f"`{each}`", _line_of(member)) for each, member in members.items()]
        if not chosen:
            rows += [(f"`{each}`", _prose(text)) for each, text in constants(name)]
        new = [each for each, member in members.items() if id(member) not in shown]
        shown.update(map(id, members.values()))
        lines += [
            f"## {name}",
            f"{_prose(first)} ([source](../../{path}))",
            _table(["name", ""], rows),
            "\n".join(
                f"<!-- docstring: {name}.{each}{_like_its_base(members[each])} -->" for each in new
            ),
        ]
    return "\n\n".join(lines) + "\n"


def public_names(name: str) -> list[str]:
    """The classes and functions that a module offers: of its ``__all__``, else its own."""
    module = import_module(name)
    members = {each: getattr(module, each) for each in getattr(module, "__all__", vars(module))}
    is_listed = hasattr(module, "__all__")
    return [
        each
        for each, member in members.items()
        if isinstance(member, UnionType | type | FunctionType)
        and (is_listed or (not each.startswith("_") and member.__module__ == name))
    ]


def constants(name: str) -> list[tuple[str, str]]:
    """The constants that a module offers and says something of, with that."""
    module = import_module(name)
    found: list[tuple[str, str]] = []
    for each in getattr(module, "__all__", vars(module)):
        if each.isupper() and not each.startswith("_"):
            sources = [name, *(other for other in sys.modules if other.startswith(f"{name}."))]
            told = (_told_of(other, each) for other in sources)
            found += [(each, text) for text in told if text]
    return found


def _told_of(name: str, constant: str) -> str:
    """The first line of the text below a constant, where a module has one."""
    lines = ast.parse(inspect.getsource(sys.modules[name])).body
    for line, after in itertools.pairwise(lines):
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        named = any(isinstance(each, ast.Name) and each.id == constant for each in targets)
        if named and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return inspect.cleandoc(str(after.value.value)).split("\n\n")[0]
    return ""


def _like_its_base(member: object) -> str:
    """The mark of an error that is made as the one above it is, which is told there."""
    is_error = isinstance(member, type) and issubclass(member, Exception)
    return ", made as its base" if is_error and "__init__" not in vars(member) else ""


def _whole_robot() -> str:
    """A robot that says everything, as the tables do."""
    brain = ", ".join(f"{name}: {EXAMPLES[LLMConfig][name]}" for name in ("model", "timeout"))
    arm = EXAMPLES[AgentAction]
    gripper = [f"{name}: {arm[name]}" for name in ("name", "llm_label", "connector")]
    written = EXAMPLES[RobotConfig] | {
        "cortex_llm": f'{{ type: "MistralLLM", config: {{ {brain} }} }}',
        "agent_actions": f"""[
    {{
      {", ".join(gripper)},
      values: {arm["values"]}, config: {arm["config"]},
    }},
    {{ name: "move", llm_label: "move", connector: "console" }},
    {{ name: "speak", llm_label: "speak", connector: "console" }},
  ]""",
    }
    used = list(written)[: list(written).index("version")]
    robot = "\n".join(["{", *(f"  {name}: {written[name]}," for name in used), "}"])
    RobotConfig.model_validate(json5.loads(robot))
    return robot


def _settings_of(model: type[BaseModel]) -> str:
    """A model's fields, each under a heading of its own; the examples are tried."""
    told = _parameters(model)
    examples = EXAMPLES[model]
    fields = {field.alias or name: (name, field) for name, field in model.model_fields.items()}
    assert fields.keys() == examples.keys(), f"EXAMPLES of {model.__name__}: {fields.keys()}"
    needed = {name: json5.loads(examples[name]) for name in fields if fields[name][1].is_required()}
    lines: list[str] = []
    for shown, (name, field) in fields.items():
        model.model_validate(needed | {shown: json5.loads(examples[shown])})
        bounds = dict.fromkeys(_bounds(field.metadata, field.annotation))
        unit = "in seconds" if _ABOVE_0_S in bounds else UNITS.get(name)
        takes = [told[name].takes, *(each.removesuffix(" s") for each in bounds), unit]
        default = f"default `{told[name].default}`" if told[name].default else "may be left out"
        facts = (
            ", ".join(filter(None, takes)),
            "needed" if field.is_required() else default,
            f"as in `{shown}: {examples[shown]}`",
        )
        lines += [f"### `{shown}`", told[name].text, " · ".join(facts)]
    return "\n\n".join(lines)


def _part(name: str, path: str) -> str:
    """An input or connector, with what its constructor takes."""
    module, _, attribute = path.partition(":")
    part = getattr(import_module(module), attribute)
    first = inspect.cleandoc(part.__doc__).split("\n\n")[0]
    taken = inspect.signature(part).parameters
    rows = [
        (
            f"`{each}`",
            ", ".join(filter(None, (told.takes, UNITS.get(each)))),
            "needed" if taken[each].default is Parameter.empty else _code(told.default),
            told.text,
        )
        for each, told in _parameters(part).items()
        if each != "fd"  # which no file sets
    ]
    table = _table(["setting", "takes", "default", ""], rows) if rows else "It takes nothing."
    return f"### {name}\n\n{_prose(first)}\n\n{table}"


def _brains() -> str:
    rows: list[tuple[str, ...]] = []
    for name, path in PROVIDERS.items():
        module, _, attribute = path.partition(":")
        brain = getattr(import_module(module), attribute)
        facts = getattr(brain, "provider", None)
        said = [getattr(facts, each, None) for each in ("base_url", "key_variable", "model")]
        rows.append((f"`{name}`", _line_of(brain), *(f"`{each}`" if each else "" for each in said)))
    return _table(["type", "asks", "`base_url`", "key is in", "`model`"], rows)


def _variables() -> str:
    return _table(["variable", ""], [(f"`{name}`", text) for name, text in VARIABLES.items()])


def _parameters(member: type) -> dict[str, Told]:
    """What a NumPy docstring tells of each parameter, in the words of a file."""
    section = _SECTION.search(inspect.cleandoc(member.__doc__ or ""))
    found: dict[str, Told] = {}
    before = ""
    for names, kind, text in _ENTRY.findall(section[1] if section else ""):
        takes, _, default = kind.partition(", default ")
        before = before if text.strip() == "Likewise." else _prose(text)
        for name in names.split(", "):
            found[name] = Told(_in_json(takes), _DEFAULTS.get(default, default), before)
    return found


def _in_json(kind: str) -> str:
    """A Python type as what is written in JSON5."""
    for pattern, word in _WORDS:
        kind = re.sub(pattern, word, kind)
    return kind


def _bounds(metadata: Iterable[object], annotation: object) -> Iterator[str]:
    """The range of a field in words, also where it stands inside an Optional."""
    seconds = set(map(id, get_args(Seconds)[1:]))
    for each in metadata:
        match each:
            case annotated_types.Gt(gt=low):
                yield f"above {low}"
            case annotated_types.Ge(ge=low):
                yield f"at least {low}"
            case annotated_types.Le(le=high):
                yield f"at most {high:g}" if isinstance(high, float) else f"at most {high}"
            case annotated_types.MinLen(min_length=low):
                yield f"at least {low} of them"
            case _ if id(each) in seconds and type(each).__name__ == "AfterValidator":
                yield _ABOVE_0_S
            case _:
                pass
    for part in get_args(annotation):
        yield from _bounds(getattr(part, "__metadata__", ()), None)


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, each in sorted(getattr(command, "commands", {}).items()):
        yield from _walk(f"{path} {name}", each)


def _listed(path: str, subcommands: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (f"[{name}](#{f'{path} {name}'.replace(' ', '-')})", _first_sentence(each.help or ""))
        for name, each in sorted(subcommands.items())
    ]


def _first_sentence(text: str) -> str:
    return _prose(text).partition(". ")[0].removesuffix(".") + "."


def _usage(path: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    return " ".join([path, "[OPTIONS]", *(_metavar(each) for each in arguments)])


def _metavar(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).strip("[]")
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> tuple[str, ...]:
    if parameter.param_type_name == "argument":
        shown = f"`{_metavar(parameter)}`"
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
        shown = ", ".join(
            _code(f"{each}{value}") for each in parameter.opts + parameter.secondary_opts
        )
    default = parameter.default
    is_plain = isinstance(default, str | int | float | Path) and not isinstance(default, bool)
    known = f"`{default}`" if is_plain else ("needed" if parameter.required else "")
    return shown, known, _prose(parameter.help or "")


def _line_of(member: object) -> str:
    """The first line of a docstring."""
    if isinstance(member, UnionType):
        return f"One of {', '.join(f'`{each.__name__}`' for each in get_args(member))}."
    return _prose(inspect.getdoc(member).split("\n\n")[0])  # pyright: ignore[reportOptionalMemberAccess]


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _prose(text: str) -> str:
    """A docstring's text as Markdown: one line, and names in one backtick."""
    joined = " ".join(text.split()).replace("``", "`")
    return re.sub(r"(?<!\\)\|", r"\\|", joined)


def _table(head: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    print(FOLDER.relative_to(ROOT))
