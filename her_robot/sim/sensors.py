"""What a simulated robot's sensors report while time passes, and when."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from her_robot.sim.hand_robot import HandTruth, SimulatedHand
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.robot import GroundTruth, SimulatedRobot

_ROUNDING = 1e-6


@dataclass(frozen=True)
class CameraImage:
    """One image."""

    camera: str
    """Name of the camera."""

    time: float
    """When it was acquired, on the robot's clock [s]."""
    pixels: np.ndarray
    """(height, width, 3) RGB uint8."""


Report = JointMeasurement | CameraImage | GroundTruth | HandTruth


class SensorStream:
    """Lets a robot's time pass and yields its reports in the order in which they arrive.

    Joint states and images come at the rates of the robot's configuration, ground truth at the end of every control
    period, counted from the last reset. An image arrives later than it is acquired, by the camera's latency.
    """

    def __init__(self, robot: SimulatedRobot | SimulatedHand, real_time: bool) -> None:
        """
        Args:
            robot: whose sensors these are.
            real_time: rather lose an image than wait for it to be rendered. Otherwise every image arrives punctually on
                the robot's clock, and the same commands give the same reports.
        """
        self._robot = robot
        self._real_time = real_time
        self.lost_images = 0
        """Images that were due while the one before was still being rendered."""
        self._start()

    def reset(self, seed: int) -> None:
        """Reset the robot, and begin all rates anew; images under way are lost."""
        self._robot.reset(seed)
        self._start()

    def advance(self, duration: float) -> Iterator[Report]:
        """Step the robot through `duration` [s], a whole number of physics steps; what is left over does not pass."""
        robot = self._robot
        for _ in range(int(duration / robot.timestep + _ROUNDING)):
            robot.step(robot.timestep)
            if self._joints.falls_due(robot.time):
                yield robot.joint_state()
            if self._camera.falls_due(robot.time):
                self._capture()
            yield from self._arrived_images()
            if self._truth.falls_due(robot.time):
                yield robot.ground_truth()

    def _start(self) -> None:
        config, now = self._robot.config, self._robot.time
        self._joints = _Periodic(config.joint_state_rate, now)
        self._camera = _Periodic(config.camera.rate, now)
        self._truth = _Periodic(1.0 / self._robot.contract.control_period, now)
        self._images: deque[tuple[float, str, Future[np.ndarray]]] = deque()

    def _capture(self) -> None:
        """All cameras at once."""
        if self._real_time and any(not image.done() for _, _, image in self._images):
            self.lost_images += len(self._robot.cameras)
        else:
            for camera in self._robot.cameras:
                self._images.append((self._robot.time, camera, self._robot.capture(camera)))

    def _arrived_images(self) -> Iterator[CameraImage]:
        latency = self._robot.config.camera.latency
        while self._images and self._images[0][0] + latency <= self._robot.time + _ROUNDING:
            if self._real_time and not self._images[0][2].done():
                return
            acquired, camera, image = self._images.popleft()
            yield CameraImage(camera, acquired, image.result())


class _Periodic:
    """Something that happens `rate` times a second from `start` on, the first time one period later."""

    def __init__(self, rate: float, start: float) -> None:
        self._rate, self._start, self._count = rate, start, 0

    def falls_due(self, now: float) -> bool:
        before, self._count = self._count, int((now - self._start) * self._rate + _ROUNDING)
        return self._count > before
