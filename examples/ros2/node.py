"""A ROS 2 node between a topic with words and a base that listens to cmd_vel.

    source /opt/ros/jazzy/setup.bash
    python3 examples/ros2/node.py           # Ctrl-C ends it
    ros2 topic pub --once /heard std_msgs/msg/String "{data: 'turn left, please'}"

It publishes Twist on ``cmd_vel``, and what the robot says on ``speech``. Where there is no rclpy,
the same node hears what you type, and prints what it would publish. The word "stop" stops the base
at once, whatever the model is about to say.
"""

import asyncio
import re
import sys
import threading

from reflexarc import Action, LLMConfig, Prompt, ReflexarcError, Vocabulary, load_llm
from reflexarc.config import AgentAction
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.events import Failed, TickEvent, TickStarted
from reflexarc.runtime.inputs import Inbox
from reflexarc.runtime.loop import Loop

try:
    import rclpy
    from geometry_msgs.msg import Twist
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions
    from std_msgs.msg import String
except ImportError:
    import printing_rclpy as rclpy
    from printing_rclpy import Node, SignalHandlerOptions, String, Twist

SPEEDS = {  # forward in m/s, and to the left in rad/s
    "stop": (0.0, 0.0),
    "forward": (0.2, 0.0),
    "backward": (-0.1, 0.0),
    "turn left": (0.0, 0.8),
    "turn right": (0.0, -0.8),
}
LASTS_S, PERIOD_S = 1.0, 0.1  # of one action; most bases stop where cmd_vel falls silent
BRAIN = LLMConfig(type="OnboardLLM")  # needs `reflexarc models pull`, once
PROMPT = Prompt("You are Rover, a friendly robot on wheels. You speak in short, simple sentences.")
DRIVE = AgentAction(name="drive", llm_label="drive", values=tuple(SPEEDS))
ACTIONS = Vocabulary.from_actions([DRIVE, AgentAction(name="speak", llm_label="speak")])


class Base(Actuator):
    """Drives by cmd_vel, and speaks; publishing waits for nobody who listens."""

    def __init__(self, node: Node) -> None:
        self._cmd_vel = node.create_publisher(Twist, "cmd_vel", 10)
        self._speech = node.create_publisher(String, "speech", 10)
        self._may_drive = True

    async def perform(self, action: Action) -> None:
        """Say it, or drive for a second."""
        if action.type == "speak":
            self._speech.publish(String(data=action.value))
            return
        clock = asyncio.get_running_loop().time
        over_at = clock() + LASTS_S
        while self._may_drive and clock() < over_at:
            self._go(*SPEEDS[action.value])
            await asyncio.sleep(PERIOD_S)
        self._go(0.0, 0.0)

    def stop(self) -> None:
        """Stand still at once, and until the next tick: the rest of this answer is not obeyed."""
        self._may_drive = False
        self._go(0.0, 0.0)

    def observe(self, event: TickEvent) -> None:
        if isinstance(event, TickStarted):
            self._may_drive = True
        elif isinstance(event, Failed):
            print(f"{event.where}: {event.error}", file=sys.stderr)

    def _go(self, linear: float, angular: float) -> None:
        twist = Twist()
        twist.linear.x, twist.angular.z = linear, angular
        self._cmd_vel.publish(twist)


async def main() -> None:
    """Think here and spin in a thread, until interrupted."""
    # Signals are left to asyncio: rclpy would close its context before the last Twist.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node, inbox, over = rclpy.create_node("reflexarc"), Inbox("heard"), threading.Event()
    base, call = Base(node), asyncio.get_running_loop().call_soon_threadsafe

    def hear(message: String) -> None:  # in rclpy's thread
        if re.search(r"\bstop\b", message.data, re.IGNORECASE):
            call(base.stop)
        call(inbox.say, message.data)

    def spin() -> None:
        while not over.is_set():
            rclpy.spin_once(node, timeout_sec=PERIOD_S)

    node.create_subscription(String, "heard", hear, 10)
    spinning = threading.Thread(target=spin, name="rclpy")
    spinning.start()
    parts = {"inputs": [inbox], "observe": base.observe, "actuator": base}
    try:
        async with load_llm(BRAIN, actions=ACTIONS) as llm:
            await Loop(llm, PROMPT, hertz=5, history_length=0, **parts).run()
    finally:
        base.stop()
        over.set()
        spinning.join()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (KeyboardInterrupt, ReflexarcError) as end:
        sys.exit(str(end) or "stopped")
