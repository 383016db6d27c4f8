"""What every simulated robot is: a model that goes on in its own steps, on its own clock, seen by a camera."""

from abc import ABC, abstractmethod
from concurrent.futures import Future
from dataclasses import dataclass

import mujoco
import numpy as np

from her_robot.sim.camera import Camera, CameraConfig, displace


@dataclass(frozen=True)
class JointMeasurement:
    """What the encoders say."""

    time: float
    """[s]."""
    names: tuple[str, ...]
    positions: np.ndarray
    """[rad], fingers [m]."""
    velocities: np.ndarray
    """[rad/s], fingers [m/s]."""


class SimulatedMachine(ABC):
    """A compiled model, its state, and a camera. The clock starts at 0 and is never set back."""

    def __init__(self, model: mujoco.MjModel, camera: str, config: CameraConfig) -> None:
        """
        Args:
            model: as compiled; the camera's mount is displaced in it.
            camera: name of the camera in the model.
            config: of the camera.
        """
        displace(model, camera, config.mount_error)
        self.model, self.data = model, mujoco.MjData(model)
        self._camera = Camera(model, camera, config)
        self._physics_steps = 0

    @property
    def time(self) -> float:
        """The robot's clock [s]."""
        return self._physics_steps * self.timestep

    @property
    def timestep(self) -> float:
        """One step of physics [s]."""
        return self.model.opt.timestep

    def step(self, duration: float) -> None:
        """Let time pass [s], in physics steps of the model."""
        for _ in range(round(duration / self.timestep)):
            self._follow_commands()
            mujoco.mj_step(self.model, self.data)
            self._physics_steps += 1

    def capture(self) -> "Future[np.ndarray]":
        """An image of the present, (height, width, 3) RGB uint8, which is rendered while other things go on."""
        return self._camera.capture(self.data)

    def render(self) -> np.ndarray:
        """An image of the camera, (height, width, 3) RGB uint8.

        Raises:
            HerRobotError: there is no OpenGL to render with; the message names what to install.
        """
        return self.capture().result()

    def camera_intrinsics(self) -> np.ndarray:
        """Camera matrix K (3, 3) [px]; pixel (0, 0) is the centre of the first pixel."""
        return self._camera.intrinsics()

    def close(self) -> None:
        """Free the camera's renderer."""
        self._camera.close()

    @abstractmethod
    def _follow_commands(self) -> None:
        """Take up the commands that are due, and tell the servos."""
