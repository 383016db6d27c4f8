"""What nodes have in common that find things in images: their status, their reset, and what they say of silence."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from her_robot.ros_nodes import conversions


class Estimator(Protocol):
    """What finds things in images."""

    def reset(self) -> None:
        """Forget what was seen."""

    def tally(self) -> Mapping[str, object]:
        """What became of all images so far."""
        ...


class SeeingNode(Node, ABC):
    """Has a status for every image, and one for every `image_timeout` without."""

    _estimator: Estimator
    """`~/reset` makes it forget, and its tally is part of every status."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._image_timeout = self.declare_parameter("image_timeout", 0.5).value
        self._status = self.create_publisher(DiagnosticArray, "~/status", 10)
        self.create_service(Trigger, "~/reset", self._on_reset)
        # On a steady clock: simulated time stands still when the simulation does.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._watchdog = self.create_timer(self._image_timeout, self._on_watchdog, clock=steady)

    @abstractmethod
    def _on_watchdog(self) -> None:
        """`image_timeout` has passed since the last time, or since the watchdog was reset."""

    def _topic(self, name: str, default: str) -> str:
        return self.declare_parameter(f"topics.{name}", default).value

    def _pose_publisher(self, name: str) -> Publisher:
        return self.create_publisher(PoseWithCovarianceStamped, self._topic(name, name), 10)

    def _read(self, message: Image, camera: str = "") -> np.ndarray | None:
        """The image RGB (height, width, 3) uint8; None, with a warning, where it cannot be read."""
        try:
            return conversions.image_to_numpy(message)
        except ValueError as error:
            self.get_logger().warning(f"{camera}image refused: {error}", throttle_duration_sec=5.0)
            return None

    def _report(
        self, stamp: Time, values: Mapping[str, object], message: str, level: bytes = DiagnosticStatus.OK
    ) -> None:
        """Say what came of an image. It comes after the poses: whoever has it has those of its image too."""
        values = {**values, **self._estimator.tally()}
        self._status.publish(conversions.diagnostics(self.get_name(), stamp, values, message, level))

    def _report_silence(self, topics: Sequence[str]) -> None:
        message = f"no image on {', '.join(topics)} for {self._image_timeout:g} s"
        # Stamped zero: it belongs to no image, and no one who waits for an image's status may take it for that.
        self._report(conversions.to_stamp(0.0), {}, message, DiagnosticStatus.STALE)
        self.get_logger().warning(message, throttle_duration_sec=5.0)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._estimator.reset()
        response.success, response.message = True, "what was seen is forgotten; the counts go on"
        return response
