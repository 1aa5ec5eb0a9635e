"""A robot of your own in one file: a rover that is told where to drive.

    python examples/plain/robot.py "drive forward" "turn left, please"
    python examples/plain/robot.py      # type what a person says; Ctrl-C ends it

Ten times a second a control loop reads the sensors and sets the wheels. It never waits for the
model, which leaves its newest order where the loop finds it. The wheels stand still when an order
is two seconds old, when the model fails, when this program ends, and before a wall.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

from reflexarc import LLM, LLMConfig, LLMError, Prompt, ReflexarcError, Vocabulary, load_llm
from reflexarc.config import AgentAction
from reflexarc.runtime.inputs import Board, Lines, Script

PERIOD_S, ORDER_S, NEAR_M = 0.1, 2.0, 0.3
STILL = (0.0, 0.0)
WHEELS = {  # left and right, in m/s
    "stop": STILL,
    "forward": (0.8, 0.8),
    "backward": (-0.2, -0.2),
    "turn left": (-0.1, 0.1),
    "turn right": (0.1, -0.1),
}
BRAIN = LLMConfig(type="OnboardLLM")  # needs `reflexarc models pull`, once
PROMPT = Prompt("You are Rover, a friendly robot on wheels. You speak in short, simple sentences.")
DRIVE = AgentAction(name="drive", llm_label="drive", values=tuple(WHEELS))
ACTIONS = Vocabulary.from_actions([DRIVE, AgentAction(name="speak", llm_label="speak")])


class Rover:
    """The hardware. This one is computed, and faces a wall; put your own drivers in its place."""

    wall_m, wheels = 2.0, STILL

    def look_ahead(self) -> float:
        return self.wall_m

    def drive(self, left: float, right: float) -> None:
        self.wheels = (left, right)
        self.wall_m -= (left + right) / 2 * PERIOD_S


class Control:
    """What the wheels do, tick after tick: the newest order while it lasts, and no accident."""

    def __init__(self, rover: Rover) -> None:
        self.rover, self.ticks, self.worst_s = rover, 0, 0.0
        self._wheels, self._until = STILL, 0.0

    def obey(self, order: str) -> None:
        """Take an order in place of the one before."""
        self._wheels = WHEELS[order]
        self._until = asyncio.get_running_loop().time() + ORDER_S

    async def run(self) -> None:
        """Drive until cancelled; then stand still."""
        clock = asyncio.get_running_loop().time
        due = clock()
        try:
            while True:
                now = clock()
                self.ticks, self.worst_s = self.ticks + 1, max(self.worst_s, now - due)
                left, right = self._wheels if now < self._until else STILL
                if left + right > 0 and self.rover.look_ahead() < NEAR_M:
                    left, right = STILL  # a reflex: the model is not asked
                self.rover.drive(left, right)
                due = max(due + PERIOD_S, now)
                await asyncio.sleep(due - clock())
        finally:
            self.rover.drive(*STILL)


async def think(llm: LLM, control: Control, heard: str) -> None:
    """Ask about one sentence, and pass on each action the moment it arrives."""
    print(heard)
    try:
        async for action in llm.act(PROMPT.at(heard)):
            print(f"  {action.type}: {action.value}", flush=True)
            if action.type == "drive":
                control.obey(action.value)
    except LLMError as error:
        control.obey("stop")
        print(f"  stop, since there is no answer ({error.kind}): {error.message}")


async def live(llm: LLM, rover: Rover, said: Sequence[str]) -> None:
    """Drive until all is said and done, or until Ctrl-C where a person types."""
    control, board = Control(rover), Board()
    senses = Script(f"A person says: {text}" for text in said) if said else Lines()

    async def listen() -> None:
        while True:
            await board.wait()
            await think(llm, control, board.take())
            await asyncio.sleep(ORDER_S if said else 0)
            await senses.ticked()

    async with llm, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(control.run()), tasks.create_task(listen())]
        await senses.run(board)
        for task in running:
            task.cancel()
    print(f"{control.ticks} control ticks, the latest {control.worst_s * 1000:.0f} ms late")


if __name__ == "__main__":
    said = sys.argv[1:] or ([] if sys.stdin.isatty() else sys.stdin.read().splitlines())
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        asyncio.run(live(load_llm(BRAIN, actions=ACTIONS), Rover(), said))
    except (KeyboardInterrupt, ReflexarcError) as end:
        sys.exit(str(end) or "stopped")
