"""What nodes have in common: their `main`, their parameters, and how reliable their inputs are."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from her_robot import configuration
from her_robot.errors import HerRobotError, UnknownNameError

Config = TypeVar("Config")

PARENT = "HER_ROBOT_PARENT"
"""Environment variable: the process without which this node has no purpose, an evaluation that has started it."""
_PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""

_RELIABILITY = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


def reliability(parameter: str, value: str) -> ReliabilityPolicy:
    """The quality of service that a parameter of that name asks for.

    Raises:
        UnknownNameError: it is neither `reliable` nor `best_effort`.
    """
    if value not in _RELIABILITY:
        raise UnknownNameError(parameter, value, _RELIABILITY)
    return _RELIABILITY[value]


def image_qos(node: Node) -> QoSProfile:
    """Of images, by the node's parameter `image_reliability`."""
    # An image is some dozen datagrams: with best effort, the loss of one loses the image.
    wanted = node.declare_parameter("image_reliability", "reliable").value
    return QoSProfile(depth=2, reliability=reliability("image_reliability", wanted))


def declared(node: Node, prefix: str, defaults: Config) -> Config:
    """A configuration whose fields are the node's parameters `prefix.*`.

    Raises:
        ConfigurationError: a value that cannot be.
    """
    values = {
        name: node.declare_parameter(f"{prefix}.{name}", default).value
        for name, default in configuration.to_mapping(defaults).items()
    }
    return configuration.build(type(defaults), values, f"parameters {prefix}.*")


def _end_with_parent() -> None:
    """On Linux, end when the process that `PARENT` names does, killed or not: who else would stop this node?"""
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGTERM)


def run(name: str, make_node: Callable[[], Node], args: list[str] | None) -> int:
    """Make a node and run it until it is interrupted; returns 1, after a message, if it could not start."""
    rclpy.init(args=args)
    _end_with_parent()
    try:
        rclpy.spin(make_node())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (HerRobotError, ParameterException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except Exception:
        # An interrupt ends ROS at once, also under a callback that is about to publish.
        if rclpy.ok():
            raise
    finally:
        rclpy.try_shutdown()
    return 0
