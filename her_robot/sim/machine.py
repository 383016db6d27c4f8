"""What every simulated robot is: a model that goes on in its own steps, on its own clock, seen by cameras."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import mujoco
import numpy as np

from her_robot.sim.camera import Camera, CameraConfig, displace
from her_robot.sim.prints import print_materials


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


def camera_in_model(name: str) -> str:
    """What a robot's camera is called in the model."""
    return f"{name}_rgb"


def camera_topic(name: str) -> str:
    """Under which a camera's `image_raw` and `camera_info` are published."""
    return f"{name}/rgb"


def camera_frame(name: str) -> str:
    """Optical frame of a camera."""
    return f"{name}_rgb_optical_frame"


class SimulatedMachine(ABC):
    """A compiled model, its state, and cameras. The clock starts at 0 and is never set back."""

    def __init__(self, model: mujoco.MjModel, cameras: Mapping[str, CameraConfig]) -> None:
        """
        Args:
            model: as compiled; the cameras' mounts are displaced in it.
            cameras: by name; in the model a camera is called `camera_in_model` of that. All have images of one size.
        """
        for name, config in cameras.items():
            displace(model, camera_in_model(name), config.mount_error)
        self.model, self.data = model, mujoco.MjData(model)
        self._cameras: dict[str, Camera] = {}
        for name, config in cameras.items():
            beside = next(iter(self._cameras.values()), None)
            self._cameras[name] = Camera(model, camera_in_model(name), config, beside)
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

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras. The first is that which reports show."""
        return tuple(self._cameras)

    def capture(self, camera: str | None = None) -> "Future[np.ndarray]":
        """An image of the present, (height, width, 3) RGB uint8, which is rendered while other things go on.

        Args:
            camera: which; default: the first.
        """
        return self._cameras[camera or self.cameras[0]].capture(self.data)

    def render(self, camera: str | None = None) -> np.ndarray:
        """An image of a camera, by default the first, (height, width, 3) RGB uint8.

        Raises:
            HerRobotError: there is no OpenGL to render with; the message names what to install.
        """
        return self.capture(camera).result()

    def camera_intrinsics(self, camera: str | None = None) -> np.ndarray:
        """Matrix K (3, 3) of a camera, by default the first [px]; pixel (0, 0) is the centre of the first pixel."""
        return self._cameras[camera or self.cameras[0]].intrinsics()

    def hide_markers(self, hidden: bool) -> None:
        """Show nothing in place of what markers are printed on, or show it again; from the next image on."""
        for camera in self._cameras.values():
            camera.hide(print_materials(self.model), hidden)

    def close(self) -> None:
        """Free the cameras' renderers."""
        for camera in self._cameras.values():
            camera.close()

    @abstractmethod
    def _follow_commands(self) -> None:
        """Take up the commands that are due, and tell the servos."""
