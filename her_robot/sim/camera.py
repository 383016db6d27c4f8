"""A simulated camera: a MuJoCo camera rendered off screen, with noise, by a thread of its own."""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import mujoco
import numpy as np

from her_robot.configuration import require_not_negative, require_positive
from her_robot.domain_rand.rendering import Distractor
from her_robot.errors import HerRobotError

OPTICAL_FROM_GL = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's cameras look along -z with y up; an optical frame looks along z with y down."""

_BACKENDS = {"linux": "egl", "darwin": "cgl", "win32": "glfw"}
"""MuJoCo's module for off-screen OpenGL, by platform; the environment variable MUJOCO_GL names another."""
_MAX_GEOMS = 1000
_LARGEST_SUPERSAMPLING = 4


@dataclass(frozen=True)
class MountError:
    """How far a camera is from where it was calibrated, along and about the axes of its optical frame: x to the right
    of the image, y down, z ahead."""

    x: float = 0.0
    """[m]."""
    y: float = 0.0
    """[m]."""
    z: float = 0.0
    """[m]."""
    turn_x: float = 0.0
    """Component of a rotation vector [rad]."""
    turn_y: float = 0.0
    """[rad]."""
    turn_z: float = 0.0
    """[rad]."""


@dataclass(frozen=True)
class CameraConfig:
    """A camera."""

    width: int = 640
    """Image width [px]."""
    height: int = 480
    """Image height [px]."""
    rate: float = 15.0
    """Images a second [Hz]."""
    latency: float = 0.03
    """From the acquisition of an image to its delivery [s]."""
    noise: float = 2.0
    """Standard deviation of each pixel's grey level, of 255."""
    supersampling: int = 2
    """Images are rendered this many times as wide and as high, and averaged. Without it, the texture of a face that is
    seen at a slant is blurred in both directions: a single marker on it seems 1.5 % nearer than it is."""
    mount_error: MountError = field(default_factory=MountError)
    """What the calibration does not know."""

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"width and height must be above 0, found {self.width} x {self.height}")
        require_positive(self, "rate")
        if not 1 <= self.supersampling <= _LARGEST_SUPERSAMPLING:
            raise ValueError(f"supersampling must be 1 ... {_LARGEST_SUPERSAMPLING}, found {self.supersampling}")
        require_not_negative(self, "latency", "noise")

    @property
    def rendered_size(self) -> tuple[int, int]:
        """Width and height that are rendered [px]."""
        return self.supersampling * self.width, self.supersampling * self.height


class Camera:
    """One camera of a model.

    An OpenGL context belongs to one thread. Here it is the camera's own, which also lets the simulation go on while an
    image is rendered. Images come in the order in which they were asked for.
    """

    def __init__(self, model: mujoco.MjModel, name: str, config: CameraConfig, beside: "Camera | None" = None) -> None:
        """
        Args:
            model: which the camera is in.
            name: of the camera in the model.
            config: of the camera.
            beside: another camera of the model, with images of the same size, whose thread and context this one shares:
                a context of its own would hold all meshes and textures again.
        """
        self._model, self._config = model, config
        self._number = model.camera(name).id
        self._worker = beside._worker if beside else ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._own = beside._own if beside else threading.local()
        self._spare_data: list[mujoco.MjData] = []
        self._random = np.random.default_rng(0)
        shape = (config.height, config.width, 1)
        self._grain = self._random.normal(0.0, config.noise, shape).round().astype(np.int16)
        self._field_of_view = np.deg2rad(model.camera(name).fovy[0])
        self._distractors: Sequence[Distractor] = ()

    def reseed(self, *seed: int) -> None:
        """Begin the noise anew, from the next image on."""
        self._worker.submit(self._reseed, seed)

    def redress(self, change: Callable[[], Sequence[int]]) -> None:
        """Let `change` give the model another look, after all images that were asked for before.

        Args:
            change: changes the model, and returns the textures that it painted.
        """
        self._worker.submit(self._redress, change).result()

    def scatter(self, distractors: Sequence[Distractor]) -> None:
        """Show these things in images from now on."""
        self._worker.submit(setattr, self, "_distractors", distractors)

    def hide(self, materials: Sequence[str], hidden: bool) -> None:
        """Make these materials invisible, or visible again, from the next image on."""
        self._worker.submit(self._hide, [self._model.material(name).id for name in materials], hidden)

    def capture(self, data: mujoco.MjData) -> "Future[np.ndarray]":
        """Take an image of the present state: (height, width, 3) RGB uint8, when it is rendered.

        The result raises HerRobotError where there is no OpenGL to render with; the message names what to install.
        """
        snapshot = self._spare_data.pop() if self._spare_data else mujoco.MjData(self._model)
        mujoco.mj_copyData(snapshot, self._model, data)
        return self._worker.submit(self._render, snapshot)

    def intrinsics(self) -> np.ndarray:
        """Camera matrix K (3, 3) [px] of the model as compiled; pixel (0, 0) is the centre of the first pixel."""
        width, height = self._config.width, self._config.height
        focal = height / 2 / np.tan(self._field_of_view / 2)
        return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])

    def close(self) -> None:
        """End the thread, and with it what it renders with. The camera, and others beside it, take no more images."""
        self._worker.shutdown()

    def _reseed(self, seed: tuple[int, ...]) -> None:
        self._random = np.random.default_rng(seed)

    def _redress(self, change: Callable[[], Sequence[int]]) -> None:
        painted = change()
        # A renderer that is made later takes all textures as they then are.
        if hasattr(self._own, "renderer"):
            self._own.renderer.upload(painted)

    def _hide(self, materials: Sequence[int], hidden: bool) -> None:
        self._model.mat_rgba[materials, 3] = 0.0 if hidden else 1.0

    def _render(self, data: mujoco.MjData) -> np.ndarray:
        if not hasattr(self._own, "renderer"):
            self._own.renderer = _Renderer(self._model, self._config)
        image = self._own.renderer.render(data, self._number, self._distractors)
        self._spare_data.append(data)
        if self._config.noise == 0.0:
            return image
        # One draw of noise, rolled anew for every image: drawing a million normal numbers takes longer than rendering.
        shift = self._random.integers(0, self._grain.shape[:2])
        return np.clip(image + np.roll(self._grain, tuple(shift), axis=(0, 1)), 0, 255).astype(np.uint8)


def displace(model: mujoco.MjModel, name: str, error: MountError) -> None:
    """Move a camera of a model from where it was calibrated to where it is."""
    camera = model.camera(name).id
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.cam_quat[camera])
    optical = rotation.reshape(3, 3) @ OPTICAL_FROM_GL
    model.cam_pos[camera] += optical @ [error.x, error.y, error.z]
    turned = model.cam_quat[camera].copy()
    # The rotation vector is in the frame of the camera's parent, and so turns from the left.
    vector = optical @ [error.turn_x, error.turn_y, error.turn_z]
    angle = float(np.linalg.norm(vector))
    if angle > 0.0:
        turn = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * vector / angle)])
        mujoco.mju_mulQuat(turned, turn, model.cam_quat[camera])
    model.cam_quat[camera] = turned


class _Renderer:
    """An OpenGL context and what MuJoCo draws into it, both of the thread that makes, uses and drops it.

    Unlike `mujoco.Renderer`, it needs no MUJOCO_GL in the environment of a machine without a screen.
    """

    def __init__(self, model: mujoco.MjModel, config: CameraConfig) -> None:
        self._model, self._size = model, (config.width, config.height)
        self._width, self._height = config.rendered_size
        self._gl = _make_gl_context(self._width, self._height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=_MAX_GEOMS)
        self._options = mujoco.MjvOption()
        self._viewpoint = mujoco.MjvCamera()
        self._viewpoint.type = mujoco.mjtCamera.mjCAMERA_FIXED

    def upload(self, textures: Sequence[int]) -> None:
        """Take textures of the model anew."""
        self._gl.make_current()
        for texture in textures:
            mujoco.mjr_uploadTexture(self._model, self._context, texture)

    def render(self, data: mujoco.MjData, camera: int, distractors: Sequence[Distractor]) -> np.ndarray:
        """What the model's camera of that number sees, (height, width, 3) RGB uint8."""
        self._viewpoint.fixedcamid = camera
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._viewpoint, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        for thing in distractors:
            _add_to_scene(self._scene, thing)
        rectangle = mujoco.MjrRect(0, 0, self._width, self._height)
        pixels = np.empty((self._height, self._width, 3), np.uint8)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, rectangle, self._context)
        image = np.flipud(pixels)
        if (self._width, self._height) == self._size:
            return image
        return cv2.resize(np.ascontiguousarray(image), self._size, interpolation=cv2.INTER_AREA)

    def __del__(self) -> None:
        if hasattr(self, "_context"):
            self._context.free()


def _add_to_scene(scene: mujoco.MjvScene, thing: Distractor) -> None:
    cos, sin = np.cos(thing.yaw), np.sin(thing.yaw)
    rotation = np.array([cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0])
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(geom, thing.shape, thing.size, thing.position, rotation, thing.color.astype(np.float32))
    scene.ngeom += 1


def _make_gl_context(width: int, height: int):
    backend = os.environ.get("MUJOCO_GL") or _BACKENDS.get(sys.platform, "glfw")
    try:
        return importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
    except Exception as error:  # each OpenGL binding has errors of its own
        raise HerRobotError(
            f"no OpenGL for off-screen rendering with {backend} ({error}); on Debian or Ubuntu: "
            "apt-get install libegl1 libgl1, and MUJOCO_GL unset or egl"
        ) from error
