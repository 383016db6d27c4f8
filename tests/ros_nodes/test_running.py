"""How nodes start and end, with real rclpy."""

import pytest
import rclpy
from rclpy.node import Node
from std_msgs.msg import Bool

from her_robot.errors import ConfigurationError
from her_robot.ros_nodes.running import run


class Interrupted(Node):
    """Is interrupted under a callback that is about to publish."""

    def __init__(self) -> None:
        super().__init__("interrupted")
        self._publisher = self.create_publisher(Bool, "late", 1)
        self.create_timer(0.01, self._publish_late)

    def _publish_late(self) -> None:
        rclpy.shutdown()
        self._publisher.publish(Bool())


class Faulty(Node):
    """Has a mistake in a callback."""

    def __init__(self) -> None:
        super().__init__("faulty")
        self.create_timer(0.01, self._divide)

    def _divide(self) -> None:
        raise ZeroDivisionError


def test_an_interrupt_under_a_callback_is_an_ordinary_end():
    assert run("interrupted", Interrupted, None) == 0


def test_a_mistake_in_a_callback_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run("faulty", Faulty, None)


def test_a_node_that_cannot_start_says_why(capsys):
    def refuse() -> Node:
        raise ConfigurationError("no such profile")

    assert run("refuses", refuse, None) == 1
    assert "refuses: no such profile" in capsys.readouterr().err
