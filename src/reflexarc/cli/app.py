"""The commands. Each reads its files and the environment here, and hands values to the library."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import aclosing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from reflexarc.cli import completion
from reflexarc.cli.brain import Llm, brain_of, guarded, switch_of
from reflexarc.cli.doctor import doctor
from reflexarc.cli.eval import evaluate
from reflexarc.cli.memory import memory
from reflexarc.cli.om1 import om1
from reflexarc.cli.outcome import WORLD_FAILED, failures, finish
from reflexarc.cli.replay import replay
from reflexarc.cli.report import AsJson, Report, duration
from reflexarc.cli.run import Absent, Robot, chat, run, sayable
from reflexarc.cli.trace import trace
from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError, LLMError, did_you_mean
from reflexarc.llm import LLM
from reflexarc.onboard.models import DEFAULT, MODELS, ModelStatus, ModelStore, default_root
from reflexarc.prompt import Prompt
from reflexarc.runtime.parts import load_actuators, load_inputs
from reflexarc.vocabulary import Vocabulary

WORTH_TELLING_S = 0.5

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
models = typer.Typer(no_args_is_help=True, help="The on-board models.")
config = typer.Typer(no_args_is_help=True, help="Robots' configuration files.")
app.add_typer(models, name="models")
app.add_typer(config, name="config")
app.add_typer(memory, name="memory")
app.add_typer(om1, name="om1")
app.command()(run)
app.command()(chat)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("reflexarc"))
        raise typer.Exit


@app.callback()
def reflexarc(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """The shortest path from what a robot senses to what it does, through a language model."""
    for name in ("race", "deadline"):  # what they warn of is among the events, which are shown
        logging.getLogger(f"reflexarc.resilience.{name}").setLevel(logging.ERROR)


Model = Annotated[
    str,
    typer.Argument(metavar="[NAME]", help="A known model.", autocompletion=completion.model),
]


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="What the robot senses.")],
    config: Annotated[
        Path,
        typer.Option(
            "--config", metavar="FILE", help="The robot.", autocompletion=completion.robot
        ),
    ],
    llm: Llm = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question, and show each action as soon as it is ready."""
    report = Report(as_json=as_json)
    with failures(report):
        robot = RobotConfig.load(config, llm=llm)
        finish(_ask(brain_of(robot), Prompt.for_robot(robot).at(sayable(text)), report))


async def _ask(brain: LLM[Any], prompt: Prompt, report: Report) -> None:
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with brain:
        if brain.is_on_board:  # elsewhere one question is sooner answered than prepared
            with suppress(LLMError):  # the question will meet the same, or go on from there
                await brain.warm(prompt)
        if (waited_s := clock() - begun) > WORTH_TELLING_S:
            report.aside(f"ready after {duration(waited_s)}")
        async with aclosing(brain.stream(prompt)) as events:
            async for event in events:
                report.event(event)


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show the known models, and which are here."""
    report = Report(as_json=as_json)
    with failures(report):
        store = _store()
        for name in MODELS:
            _show_model(store.status(name), report)


@models.command()
def pull(name: Model = DEFAULT, as_json: AsJson = False) -> None:
    """Fetch a model; does nothing if it is here and whole."""
    report = Report(as_json=as_json)
    with failures(report):
        store = _store()
        store.pull(name, report.plain)
        if as_json:
            _show_model(store.status(name), report)


@models.command()
def verify(name: Model = DEFAULT, as_json: AsJson = False) -> None:
    """Check a model's file against its hash."""
    report = Report(as_json=as_json)
    with failures(report):
        status = _store().verify(name)
        _show_model(status, report)
    if status.state != "intact":
        raise typer.Exit(WORLD_FAILED)


def _show_model(status: ModelStatus, report: Report) -> None:
    if not report.as_json:
        report.plain(f"{status.name:<24} {status.state:<8} {status.message}")
        return
    report.data(
        {
            "event": "model",
            "name": status.name,
            "state": status.state,
            "path": str(status.path),
            "message": status.message,
        }
    )


@config.command()
def schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of a robot's file, for editors."""
    typer.echo(json.dumps(RobotConfig.model_json_schema(), indent=None if as_json else 2))


@config.command()
def check(file: Robot, as_json: AsJson = False) -> None:
    """Check a robot's file; a mistake is shown with line and column."""
    report = Report(as_json=as_json)
    with failures(report):
        robot = RobotConfig.load(file)
        for brain in (robot.cortex_llm, *robot.brains):
            for each in (brain, *brain.llms):
                each.check_route()
        vocabulary = Vocabulary.from_actions(robot.agent_actions)
        absent = Absent.of(robot)
        if absent.slip:
            raise ConfigError(absent.slip)
        load_actuators(each for each in robot.agent_actions if each not in absent.actions)
        load_inputs(each for each in robot.agent_inputs if each not in absent.inputs)
        if absent:
            report.aside(absent.sentence)  # it may be right on the robot itself
        try:
            guarded(robot, switch_of(robot))
        except ConfigError as error:
            if error.variable is None:
                raise
            report.aside(error.message)  # nothing is wrong with the file
        types = [spec.type for spec in vocabulary.specs]
        if as_json:
            known = {"name": robot.name, "provider": robot.cortex_llm.type, "actions": types}
            report.data({"event": "config", "path": str(file), **known})
        else:
            report.plain(f"{file} is right: {robot.name} can {', '.join(types)}.")


def bench(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]",
            help="Some of import, decoder, chain, memory, page, telemetry, onboard.",
            autocompletion=completion.figure,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The robot for onboard.",
            autocompletion=completion.robot,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure this machine: import, decoder, and the on-board model's time to first action."""
    from reflexarc.bench import NAMES, measure

    report = Report(as_json=as_json)
    with failures(report):
        if unknown := sorted(set(what or ()) - set(NAMES)):
            raise ConfigError(
                f"'{unknown[0]}' cannot be measured; {did_you_mean(unknown[0], NAMES)}"
            )
        robot = RobotConfig.load(config) if config else None
        for figure in measure(what or NAMES, robot):
            if as_json:
                report.data({"event": "figure", **figure.to_dict()})
            else:
                report.plain(str(figure))


def _store() -> ModelStore:
    return ModelStore(default_root(os.environ))


# Help lists them as they are added: what most people look for first.
app.command()(doctor)
app.command()(trace)
app.command()(replay)
app.command("eval")(evaluate)
app.command()(bench)
