"""How nodes start and end, with real rclpy."""

import os
import signal
import subprocess
import sys
import time

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


NODE = """
from rclpy.node import Node
from her_robot.ros_nodes.running import run
print("up", flush=True)
run("waits", lambda: Node("waits"), None)
print("ended", flush=True)
"""
EVALUATION = """
import sys, time
from pathlib import Path
from her_robot.evaluation.processes import NodeProcesses
NodeProcesses(Path(sys.argv[1]), {"PYTHONPATH": sys.argv[1]}, "toy_nodes").start("waits", {})
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nodes_do_not_outlive_the_evaluation_that_started_them(tmp_path, how):
    (tmp_path / "toy_nodes").mkdir()
    (tmp_path / "toy_nodes" / "waits.py").write_text(NODE)
    log = tmp_path / "waits.log"
    evaluation = subprocess.Popen([sys.executable, "-c", EVALUATION, str(tmp_path)], env=dict(os.environ))

    def wait_for(text):
        deadline = time.monotonic() + 30.0
        while not log.is_file() or text not in log.read_text():
            assert time.monotonic() < deadline, log.read_text() if log.is_file() else "the node did not start"
            time.sleep(0.05)

    wait_for("up")
    evaluation.send_signal(how)
    evaluation.wait(10)
    wait_for("ended")
