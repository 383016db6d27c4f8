"""What nodes have in common: their `main`, and how reliable their inputs are."""

import sys
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from her_robot.errors import HerRobotError, UnknownNameError

_RELIABILITY = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


def reliability(parameter: str, value: str) -> ReliabilityPolicy:
    """The quality of service that a parameter of that name asks for.

    Raises:
        UnknownNameError: it is neither `reliable` nor `best_effort`.
    """
    if value not in _RELIABILITY:
        raise UnknownNameError(parameter, value, _RELIABILITY)
    return _RELIABILITY[value]


def run(name: str, make_node: Callable[[], Node], args: list[str] | None) -> int:
    """Make a node and run it until it is interrupted; returns 1, after a message, if it could not start."""
    rclpy.init(args=args)
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
