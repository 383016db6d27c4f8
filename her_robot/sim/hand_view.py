"""How episodes of the hand begin, as a camera sees it: the hand, its object, and the goal.

Training leaves out meshes, colours and lights (`sim.hand_model`). Here they are: Gymnasium-Robotics' own scene, put
into the state of a simulation that is randomised as in training.
"""

from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from her_robot.contract import HandObjectContract, contract_of
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.domain_rand.rendering import Appearance, add_textures
from her_robot.sim.camera import Camera, CameraConfig
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.hand_scene import CAMERA, HAND_CAMERA, ONLOOKER, add_cameras
from her_robot.sim.tasks import make_gymnasium_env

_ASIDE = np.array([0.15, 0.0, 0.0])
"""Where an orientation is shown that may be reached anywhere: so far from the object, world frame [m]
(`manipulate.py`, `_render_callback`)."""


class HandView:
    """One hand, in episodes that are all randomised."""

    def __init__(self, task: str, preset: RandomizationPreset, camera: CameraConfig) -> None:
        """
        Args:
            task: of the hand, such as hand_block.
            preset: what is drawn, looks too.
            camera: size and noise of its images.

        Raises:
            ConfigurationError: the preset asks for something that a hand cannot have.
        """
        self.contract = contract_of(task)
        self._env = BatchedGoalEnv(task, 1, 1, replace(preset, nominal_fraction=0.0))
        paintable = preset.rendering.textures > 0
        self.model = _compile(self.contract.environment, *camera.rendered_size, paintable)
        self.data = mujoco.MjData(self.model)
        self._object = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_GEOM.value, "object")
        self._object_size = self.model.geom_size[self._object].copy()
        self._camera = Camera(self.model, CAMERA, camera)
        self._appearance = Appearance(preset.rendering, self.model, CAMERA)

    def reset(self, seed: int) -> None:
        """Show how the episode of that seed begins."""
        observation, _ = self._env.reset(seed=seed)
        self._camera.reseed(seed, 2)
        self._camera.redress(lambda: self._dress(observation, np.random.default_rng([seed, 3])))

    def render(self) -> np.ndarray:
        """An image, (height, width, 3) RGB uint8.

        Raises:
            HerRobotError: there is no OpenGL to render with; the message names what to install.
        """
        return self._camera.capture(self.data).result()

    def close(self) -> None:
        """Free the camera's renderer, and stop the simulation."""
        self._camera.close()
        self._env.close()

    def _dress(self, observation: dict[str, np.ndarray], rng: np.random.Generator) -> Sequence[int]:
        simulated, goal = self._env.simulation.rows[0], observation["desired_goal"][0]
        self.data.qpos[:] = simulated.data.qpos
        if isinstance(self.contract, HandObjectContract):
            self.model.geom_size[self._object] = simulated.model.geom("object").size
            self._show_pose(goal, self.contract.position_counts)
        else:
            self._show_points("target", goal.reshape(-1, 3))
            self._show_points("finger", observation["achieved_goal"][0].reshape(-1, 3))
        painted = self._appearance.draw(rng)
        mujoco.mj_forward(self.model, self.data)
        return painted

    def _show_pose(self, goal: np.ndarray, position_counts: bool) -> None:
        address = int(self.model.joint("target:joint").qposadr[0])
        self.data.qpos[address : address + 7] = goal
        if not position_counts:
            self.data.qpos[address : address + 3] += _ASIDE

    def _show_points(self, name: str, points: np.ndarray) -> None:
        for index, point in enumerate(points):
            site = self.model.site(f"{name}{index}")
            site.pos = point - self.model.body(site.bodyid[0]).pos


def _compile(environment: str, width: int, height: int, paintable: bool) -> mujoco.MjModel:
    """The scene of a Gymnasium-Robotics environment, with the camera that looks on."""
    env = make_gymnasium_env(environment)
    spec = mujoco.MjSpec.from_file(env.unwrapped.fullpath)  # type: ignore[attr-defined]
    env.close()
    add_cameras(spec, {HAND_CAMERA: ONLOOKER}, width, height)
    if paintable:
        add_textures(spec)
    return spec.compile()
