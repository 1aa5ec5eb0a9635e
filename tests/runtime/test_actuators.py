"""A body hands each action to its actuator, holds it to its time, and opens and closes all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from reflexarc.prompt import Prompt
from reflexarc.runtime.actuators import Actuator, ActuatorError, Body, Held
from reflexarc.runtime.inputs import Script
from reflexarc.runtime.loop import Loop
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, CortexOutputModel

SIT = Action(type="move", value="sit")
SAY = Action(type="speak", value="Hello.")
ON = Action(type="light", value="on")


class Motor(Actuator):
    """An actuator that writes down what becomes of it."""

    def __init__(
        self,
        log: list[str],
        name: str = "motor",
        *,
        takes_s: float = 0.0,
        timeout_s: float = 10.0,
        fails_to: str = "",
    ) -> None:
        self.log = log
        self.name = name
        self.takes_s = takes_s
        self.timeout_s = timeout_s
        self.fails_to = fails_to

    async def open(self) -> None:
        """Open, or fail to."""
        self._note("open")

    async def perform(self, action: Action) -> None:
        """Take the time."""
        try:
            await asyncio.sleep(self.takes_s)
            self._note(action.value)
        except asyncio.CancelledError:
            self.log.append(f"{self.name} cancelled")
            raise

    async def aclose(self) -> None:
        """Close, or fail to."""
        self._note("close")

    def _note(self, what: str) -> None:
        if what == self.fails_to:
            raise ActuatorError(f"{self.name} fails to {what}")
        self.log.append(f"{self.name} {what}")


class Still(Actuator):
    """An actuator that overrides only what it must, and is not hashable."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    async def perform(self, action: Action) -> None:
        """Do nothing."""


async def test_each_action_goes_to_its_own() -> None:
    """An action reaches the actuator of its type, and no other; without one nothing is done."""
    log: list[str] = []
    async with Body({"move": Motor(log, "legs"), "light": Motor(log, "lamp")}) as body:
        for action in (SIT, ON, SAY):
            await body.perform(action)
    assert log == ["legs open", "lamp open", "legs sit", "lamp on", "lamp close", "legs close"]


async def test_one_for_two_types_is_opened_once() -> None:
    """An actuator may stand for several types of action; it is opened and closed once."""
    log: list[str] = []
    motor = Motor(log)
    async with Body({"move": motor, "light": motor}) as body:
        await body.perform(SIT)
        await body.perform(ON)
    assert log == ["motor open", "motor sit", "motor on", "motor close"]


async def test_an_actuator_needs_only_perform() -> None:
    """Opening and closing is there for those that need it; others leave it out."""
    async with Body({"move": Still(), "light": Still()}) as body:
        await body.perform(SIT)
    await Still().aclose()


async def test_each_is_held_to_its_own_time() -> None:
    """A slow type of action is given up at its own limit; the quick one goes on."""
    log: list[str] = []
    slow = Motor(log, "legs", takes_s=5, timeout_s=0.05)
    async with Body({"move": slow, "light": Motor(log, "lamp", timeout_s=20)}) as body:
        assert body.timeout_s == 20
        with pytest.raises(TimeoutError, match=r"^it was not done within 0\.05 s, and was given"):
            await body.perform(SIT)
        await body.perform(ON)
    assert log[2:4] == ["legs cancelled", "lamp on"]


async def test_a_timeout_of_its_own_is_told_as_it_is() -> None:
    """Where an actuator raises TimeoutError itself, its own words stay."""

    class Late(Actuator):
        async def perform(self, action: Action) -> None:
            raise TimeoutError("the arm did not answer the bus")

    with pytest.raises(TimeoutError, match="did not answer the bus"):
        await Body({"move": Late()}).perform(SIT)


async def test_who_cancels_is_obeyed() -> None:
    """A cancellation from outside is no timeout, and reaches the actuator."""
    log: list[str] = []
    body = Body({"move": Motor(log, takes_s=5)})
    performing = asyncio.create_task(body.perform(SIT))
    await asyncio.sleep(0.01)
    performing.cancel()
    await asyncio.wait({performing})
    assert performing.cancelled()
    assert log == ["motor cancelled"]


async def test_what_was_opened_is_closed_where_one_fails() -> None:
    """Where one cannot be opened, those before it are closed, and the failure is told."""
    log: list[str] = []
    body = Body({"move": Motor(log, "legs"), "light": Motor(log, "lamp", fails_to="open")})
    with pytest.raises(ActuatorError, match=r"^'light' cannot be opened: lamp fails to open$"):
        async with body:
            pytest.fail("it is not open")
    assert log == ["legs open", "lamp close", "legs close"]


class Port(Still):
    """An actuator whose device is not there."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    async def open(self) -> None:
        """Fail as the system does."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/dev/ttyUSB7"),
            "[Errno 2] No such file or directory: '/dev/ttyUSB7'",
        ),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied"),
        (TimeoutError(), "TimeoutError"),
    ],
)
async def test_a_device_that_is_not_there_is_a_sentence(error: OSError, says: str) -> None:
    """It names the first action that the device is for, and what to do."""
    port = Port(error)
    with pytest.raises(ActuatorError) as caught:
        async with Body({"speak": Still(), "drive": port, "lights": port}):
            pytest.fail("it is not open")
    assert str(caught.value) == (
        f"'drive' cannot be opened: {says}; "
        "plug it in, check its config, or give this user the right to it"
    )


async def test_all_are_closed_where_one_fails_to() -> None:
    """Where one cannot be closed, the others are, and the failure is told."""
    log: list[str] = []
    body = Body({"move": Motor(log, "legs"), "light": Motor(log, "lamp", fails_to="close")})
    with pytest.raises(ActuatorError, match="fails to close"):
        async with body:
            pass
    assert log == ["legs open", "lamp open", "legs close"]
    await body.aclose()


def test_an_empty_body_waits_as_long_as_any() -> None:
    """Without actuators the limit is the usual one, and the body shows what it is made of."""
    assert Body({}).timeout_s == Actuator.timeout_s
    assert repr(Body({})) == "Body({})"


@pytest.mark.parametrize(
    "limits",
    [(0.05, 10.0), (0.05, 0.05)],
    ids=["shorter than the longest", "the longest"],
)
async def test_a_loop_goes_on_past_a_slow_one(limits: tuple[float, float]) -> None:
    """In a loop the actions come in order, and a late one delays the next by its own limit."""
    log: list[str] = []
    said: list[str] = []

    def observe(event: object) -> None:
        if error := getattr(event, "error", None):
            said.append(str(error))

    body = Body(
        {
            "move": Motor(log, "legs", takes_s=5, timeout_s=limits[0]),
            "light": Motor(log, "lamp", timeout_s=limits[1]),
        }
    )
    brain = ScriptedLLM[CortexOutputModel](Turn((ON, SIT, SAY, ON)))
    clock: Callable[[], float] = asyncio.get_running_loop().time
    begun = clock()
    async with brain, body:
        loop = Loop(
            brain,
            Prompt(system="You are a lamp."),
            hertz=1000,
            history_length=0,
            inputs=[Script(["A person says: sit!"])],
            observe=observe,
            actuator=body,
        )
        await loop.run()
    assert log[2:5] == ["lamp on", "legs cancelled", "lamp on"]
    assert said == ["it was not done within 0.05 s, and was given up"]
    assert clock() - begun < 4


async def test_an_objection_is_asked_for_when_the_action_begins() -> None:
    """What is objected to does not reach the actuator, and is told; the rest does."""
    log: list[str] = []
    inner = Motor(log, timeout_s=3)
    held = Held(inner, lambda action: "not now" if action == SIT else None)
    assert held.timeout_s == 3
    await held.perform(ON)
    with pytest.raises(ActuatorError, match=r"^not now$"):
        await held.perform(SIT)
    assert log == ["motor on"]
