"""``reflexarc run``: a robot that hears, acts, remembers, and shows what it thinks."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import sys
import webbrowser
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.markup import escape

from reflexarc.cli import completion
from reflexarc.cli.brain import Llm, guarded, switch_of, vocabulary_of
from reflexarc.cli.outcome import WORLD_FAILED, failures, finish
from reflexarc.cli.report import AsJson, Report
from reflexarc.cli.telemetry import Telemetry, telemetry_of
from reflexarc.config import AgentAction, Plugin, RobotConfig
from reflexarc.errors import ConfigError, StorageError
from reflexarc.memory import Memory, Tick
from reflexarc.memory.place import memory_of
from reflexarc.prompt import Prompt
from reflexarc.runtime.actuators import Body, Held
from reflexarc.runtime.events import Observer, TickEvent
from reflexarc.runtime.inputs import Board, Inbox, Input, Lines, Script
from reflexarc.runtime.loop import Loop
from reflexarc.runtime.parts import (
    known_connectors,
    known_inputs,
    knows_connector,
    knows_input,
    load_actuators,
    load_inputs,
    meant,
)
from reflexarc.runtime.switch import Switch

if TYPE_CHECKING:
    from reflexarc.web import PageServer

Robot = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A robot, in OM1's JSON5 format.", autocompletion=completion.robot
    ),
]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line asks for."""

    say: list[str] | None = None
    page: tuple[str, int | None] | None = None
    opens: bool = False


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a robot is made of, before the event loop runs: plugins are read from disk."""

    switch: Switch[Any]
    body: Body
    inputs: list[Input]
    telemetry: Telemetry


def run(
    file: Robot,
    say: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Sense this, one text a tick, then end, without the page; repeatable.",
        ),
    ] = None,
    llm: Llm = None,
    as_json: AsJson = False,
    no_web: Annotated[bool, typer.Option("--no-web", help="Without the page.")] = False,
    web: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the page is. With another than this machine's own address it has a token; "
            "port 8000 gives way to one that is free.",
        ),
    ] = "127.0.0.1:8000",
    opens: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser, where there is a screen.")
    ] = False,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Replace hardware that is not here by console and page."),
    ] = False,
) -> None:
    """Run a robot: it hears what you type or say on its page, and acts."""
    report = Report(as_json=as_json)
    with failures(report):
        wish = _Wish(say, None if no_web or say else _address(web), opens)
        robot = _with_what_is_here(RobotConfig.load(file, llm=llm), report, simulate=simulate)
        with _marked(file, robot, report):
            _start(robot, wish, report)


def chat(file: Robot, llm: Llm = None, as_json: AsJson = False) -> None:
    """Talk to a robot in the terminal: without its page, and whatever hardware it has."""
    report = Report(as_json=as_json)
    with failures(report):
        robot = RobotConfig.load(file, llm=llm)
        with _marked(file, robot, report):
            _start(_without(robot, robot.agent_inputs, robot.agent_actions), _Wish(), report)


@contextmanager
def _marked(file: Path, robot: RobotConfig, report: Report) -> Generator[None]:
    """Mark a robot's file as being run, and tell where another program does so already.

    The mark is a lock of the system's: it ends with the program, however that does, leaves nothing
    behind, and keeps nobody from the file.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # not every file system has locks
            mark = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, mark)
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report.aside(
                    f"Another program runs {robot.name} already: both write one memory and move "
                    "the same hardware; end one of them."
                )
        yield


def _start(robot: RobotConfig, wish: _Wish, report: Report) -> None:
    """Run a robot to its end, and leave with the exit code that it deserves."""
    typed = not wish.say and sys.stdin is not None and sys.stdin.isatty()
    body = load_actuators(robot.agent_actions)
    switch = switch_of(robot)
    telemetry, objection = telemetry_of(
        robot, vocabulary_of(robot), switch, os.environ, has_page=wish.page is not None
    )
    if objection:
        report.aside(objection)
    parts = _Parts(switch, body, _inputs(robot, wish), telemetry)
    try:
        failed = finish(_live(robot, parts, wish, report))
    except KeyboardInterrupt:
        if not typed:
            raise
        failed = 0  # as the person was told, this is how it ends
    if failed and not typed:
        raise typer.Exit(WORLD_FAILED)


def _address(text: str) -> tuple[str, int | None]:
    """A host and a port; the port is None where another one may take its place."""
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ConfigError(f"--web {text} is no address; write host and port, as in 127.0.0.1:8000")
    return host.removeprefix("[").removesuffix("]"), None if port == "8000" else int(port)


async def _live(robot: RobotConfig, parts: _Parts, wish: _Wish, report: Report) -> int:
    """Run a robot to its end; how often something failed."""
    if not wish.say and sys.stdin is None and not wish.page:  # pyright: ignore[reportUnnecessaryComparison] - under `<&-`
        raise ConfigError(
            "standard input is closed, so nothing can be typed; `reflexarc run` takes --say TEXT"
        )
    inbox = Inbox()
    observers: list[Observer] = []

    def observe(event: TickEvent) -> None:
        for each in observers:
            each(event)

    async with AsyncExitStack() as stack:
        observers += [*await parts.telemetry.enter(stack), report.event]
        memory = _memory_of(robot)
        if memory is not None:
            await stack.enter_async_context(memory)
        guard = await stack.enter_async_context(guarded(robot, parts.switch))
        await stack.enter_async_context(parts.body)
        if wish.page:
            from reflexarc.web import MOST_TICKS, Page, PageServer  # most commands do without

            past = await _past(memory, MOST_TICKS, report)
            page = Page(robot.name, vocabulary_of(robot), parts.switch, past)
            observers.append(page.observe)
            host, port = wish.page
            server = PageServer(
                page,
                inbox.say,
                memory,
                host=host,
                port=port,
                token=os.environ.get("REFLEXARC_TOKEN") or None,
                metrics=parts.telemetry.metrics,
            )
            await stack.enter_async_context(server)
            await _show(server, wish, report)
        gc.freeze()  # a pass over all that was imported stops the event loop for 30 ms (measured)
        loop = Loop(
            parts.telemetry.around(guard),
            Prompt.for_robot(robot),
            hertz=robot.hertz,
            history_length=parts.switch.history_length,
            inputs=[*parts.inputs, *([inbox] if wish.page else [])],
            observe=observe,
            actuator=Held(parts.body, guard.objection),
            memory=memory,
        )
        loop.board.listen(guard.sense)
        if not wish.say and sys.stdin is not None:  # pyright: ignore[reportUnnecessaryComparison]
            report.say(
                f"[bold]{escape(robot.name)}[/] listens. Type what a person says, and press Enter; "
                "Ctrl-C ends it."
            )
        await loop.run()
    return loop.failures


def _inputs(robot: RobotConfig, wish: _Wish) -> list[Input]:
    if wish.say:
        return [Script(map(sayable, wish.say))]
    typed: list[Input] = [] if sys.stdin is None else [_Typed()]  # pyright: ignore[reportUnnecessaryComparison]
    others = (each for each in robot.agent_inputs if each.type != "ConsoleInput")  # it is typed
    return [*typed, *load_inputs(others)]


class _Typed(Lines):
    """What a person types, or another program writes to standard input.

    With its end the robot ends. One that is empty, as a service has it, is none.
    """

    async def run(self, board: Board) -> None:
        await super().run(board)
        self.ends_all = self.count > 0 or sys.stdin.isatty()


def _memory_of(robot: RobotConfig) -> Memory | None:
    path, kept = memory_of(robot, os.environ), robot.memory
    if path is None or kept is None:
        return None
    return Memory(path, robot.name, robot.agent_actions, max_mb=kept.max_mb, max_days=kept.max_days)


async def _past(memory: Memory | None, last: int, report: Report) -> list[Tick]:
    if memory is None:
        return []
    try:
        return await memory.ticks(last)
    except StorageError as error:
        report.aside(error.message)
        return []


async def _show(server: PageServer, wish: _Wish, report: Report) -> None:
    """Tell where the page is, and open it where that is wished and there is a screen.

    A token that somebody has set is known to them, and what is told may be kept in a log. No token
    goes to a browser, since others see what it is started with.
    """
    url, _, token = server.url.partition("/?token=")
    if token:
        url += "/?token=" + ("$REFLEXARC_TOKEN" if os.environ.get("REFLEXARC_TOKEN") else token)
    report.say(f"Watch it think: [bold]{url}[/]")
    has_screen = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if wish.opens and has_screen and not token:
        await asyncio.to_thread(webbrowser.open, url)


def sayable(text: str) -> str:
    """An argument without what is no text: Python keeps bytes that are not UTF-8 as surrogates.

    Parameters
    ----------
    text : str
        As Python hands it over.

    Returns
    -------
    str
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Absent:
    """What a robot's file names and nobody here can drive.

    Parameters
    ----------
    inputs : tuple of Plugin
        Of unknown types.
    actions : tuple of AgentAction
        By unknown connectors.
    """

    inputs: tuple[Plugin, ...]
    actions: tuple[AgentAction, ...]

    @classmethod
    def of(cls, robot: RobotConfig) -> Self:
        """Look for it.

        Parameters
        ----------
        robot : RobotConfig
            Whose file it is.

        Returns
        -------
        Absent
            False where all is here.
        """
        return cls(
            tuple(each for each in robot.agent_inputs if not knows_input(each.type)),
            tuple(each for each in robot.agent_actions if not knows_connector(each.connector)),
        )

    def __bool__(self) -> bool:
        return bool(self.inputs or self.actions)

    @property
    def names(self) -> str:
        """All of it, as the file calls it."""
        names = {each.type for each in self.inputs}
        names |= {f"{each.llm_label} by {each.connector}" for each in self.actions}
        return ", ".join(sorted(names))

    @property
    def sentence(self) -> str:
        """What is wrong, and what to do."""
        return (
            f"the robot names hardware that is not here: {self.names}; "
            "add --simulate to use the console in its place"
        )

    @property
    def slip(self) -> str:
        """What looks like a slip in the name of something that is here; empty if nothing does."""
        for each in self.inputs:
            if near := meant(each.type, known_inputs()):
                return f"there is no input '{each.type}'; did you mean '{near}'?"
        for each in self.actions:
            if near := meant(str(each.connector), known_connectors()):
                return (
                    f"'{each.llm_label}': there is no connector '{each.connector}'; "
                    f"did you mean '{near}'?"
                )
        return ""


def _with_what_is_here(robot: RobotConfig, report: Report, *, simulate: bool) -> RobotConfig:
    """The robot without what it has and we cannot drive, which the console and page replace.

    Without `simulate` that is refused.
    """
    absent = Absent.of(robot)
    if not absent:
        return robot
    if not simulate:
        raise ConfigError(absent.slip or absent.sentence)
    if absent.slip:
        report.aside(absent.slip)
    report.say(f"[yellow]Simulated on the console:[/] {escape(absent.names)}")
    return _without(robot, absent.inputs, absent.actions)


def _without(
    robot: RobotConfig, inputs: Sequence[Plugin], actions: Sequence[AgentAction]
) -> RobotConfig:
    """The robot without these inputs, and with these actions only shown."""
    shown = (
        each.model_copy(update={"connector": None}) if each in actions else each
        for each in robot.agent_actions
    )
    heard = (each for each in robot.agent_inputs if each not in inputs)
    return robot.model_copy(update={"agent_actions": tuple(shown), "agent_inputs": tuple(heard)})
