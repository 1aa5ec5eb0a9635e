"""A stand-in for the little of rclpy and its messages that node.py uses, without ROS 2.

What would be published is printed; each line of standard input arrives on every subscribed topic.
Names and arguments are those of rclpy in Humble and later.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from threading import Event

SignalHandlerOptions = Enum("SignalHandlerOptions", ["NO"])


@dataclass
class Vector3:
    """geometry_msgs/Vector3."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass
class Twist:
    """geometry_msgs/Twist."""

    linear: Vector3 = field(default_factory=Vector3)
    angular: Vector3 = field(default_factory=Vector3)


@dataclass
class String:
    """std_msgs/String."""

    data: str = ""


@dataclass
class Publisher:
    """Of one topic."""

    topic: str

    def publish(self, message: Twist | String) -> None:
        """Print it."""
        print(f"{self.topic}: {message}", flush=True)


class Node:
    """Has topics."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[String], None]] = []
        self.typed = b""

    def create_publisher(self, msg_type: type, topic: str, qos_profile: int) -> Publisher:
        """One that prints."""
        return Publisher(topic)

    def create_subscription(
        self, msg_type: type, topic: str, callback: Callable[[String], None], qos_profile: int
    ) -> None:
        """Have lines of standard input arrive."""
        self.callbacks.append(callback)

    def destroy_node(self) -> None:
        """Have none arrive any more."""
        self.callbacks.clear()


def init(*, signal_handler_options: SignalHandlerOptions) -> None:
    """Say that this is not rclpy."""
    print("Without ROS 2: type what is heard; what would be published is printed.", flush=True)


def create_node(node_name: str) -> Node:
    """The only one."""
    return Node()


def spin_once(node: Node, *, timeout_sec: float) -> None:
    """Wait for input, and hand each line of it to who has subscribed."""
    if not select.select([0], [], [], timeout_sec)[0]:
        return
    if not (typed := os.read(0, 4096)):
        Event().wait(timeout_sec)  # its end; Ctrl-C is what ends the node
    *lines, node.typed = (node.typed + typed).split(b"\n")
    for line in lines:
        for callback in node.callbacks:
            callback(String(line.decode("utf-8", "replace")))


def try_shutdown() -> None:
    """Nothing to shut down."""
