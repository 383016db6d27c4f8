"""What every node's `main` does."""

import sys
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from her_robot.errors import HerRobotError


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
    finally:
        rclpy.try_shutdown()
    return 0
