"""What simulations of all robots on a device have in common; `sim.warp.fetch` and `sim.warp.hand` know the robots.

A step is that of `sim.batched`: the same substeps, and what is read belongs to the last substep's start where no
kinematics follow it. Physics is in float32, and a contact may be found at other points: docs/gpu.md says what differs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import mujoco
import numpy as np
import torch
from torch import Tensor

from her_robot.contract import State
from her_robot.sim.tasks import Task
from her_robot.sim.warp.worlds import Worlds


class Starts(NamedTuple):
    """`sim.batched.Start` of k worlds, field by field."""

    object_yaw: Tensor
    """Heading of the object about world z, (k,) [rad]."""
    rise: Tensor
    """How far the object, and so the goal, lies above the nominal height, (k,) [m]."""
    finger_gap: Tensor
    """How far a gripper's fingers are apart, (k,) [m]."""


class WarpSimulation(ABC):
    """N independent simulations of one task, whose arrays are tensors on a device."""

    def __init__(
        self, task: Task, num_envs: int, device: str | torch.device = "cuda", varied: Iterable[str] = ()
    ) -> None:
        """
        Args:
            task: what to simulate.
            num_envs: number of worlds.
            device: cuda, cuda:1 ... or cpu, which is for tests.
            varied: fields of the model that get a row for each world.

        Raises:
            BackendError: MuJoCo Warp or a GPU is missing, the GPU has too little memory, or the task is not supported.
        """
        self.task: Task = task
        self.contract = task.contract
        self.num_envs, self.device = num_envs, torch.device(device)
        self.worlds = Worlds(task, num_envs, device, varied)
        view = self.worlds.view
        self._qpos, self._qvel, self._control = view("qpos"), view("qvel"), view("ctrl")
        self._site_position, self._applied = view("site_xpos"), view("xfrc_applied")
        self._readings: dict[str, Tensor] = {}

    @abstractmethod
    def begin(self, rows: Tensor, rngs: Sequence[np.random.Generator], starts: Starts) -> Tensor:
        """Begin an episode in some worlds, with the draws that Gymnasium-Robotics makes.

        Args:
            rows: which, integers (k,).
            rngs: (k,), what each world draws from.
            starts: how their starts differ from what Gymnasium-Robotics draws.

        Returns:
            Desired goals (k, goal_size).
        """

    @abstractmethod
    def state(self) -> State:
        """The present state of all worlds, tensors with leading axis num_envs."""

    def step(self, actions: Tensor) -> State:
        """Advance every world by one control period.

        Args:
            actions: (num_envs, action_size), clipped to [-1, 1].
        """
        expected = (self.num_envs, self.contract.action_size)
        if actions.shape != expected:
            raise ValueError(f"actions have shape {tuple(actions.shape)}, expected {expected}")
        self._step(actions.to(self.device, torch.float32).clamp(-1.0, 1.0))
        self._readings = self._read()
        return self.state()

    def push(self, forces: Tensor) -> None:
        """Push the objects until the next call, at their centres of mass, with `forces` (num_envs, 3), world frame
        [N]."""
        self._applied[:, self._object_body, :3] = forces

    @property
    @abstractmethod
    def _object_body(self) -> int:
        """The object's body, in tasks with one."""

    @abstractmethod
    def _step(self, actions: Tensor) -> None:
        """Let a control period pass under actions (num_envs, action_size) in [-1, 1]."""

    @abstractmethod
    def _read(self) -> dict[str, Tensor]:
        """What is read off all worlds after a step, in tensors of its own."""

    def _read_rows(self, rows: Tensor) -> None:
        """Compute where everything is, and read it in some worlds."""
        self.worlds.update_kinematics()
        fresh = self._read()
        for name, values in self._readings.items():
            values[rows] = fresh[name][rows]

    def _on_device(self, values: Sequence[np.ndarray]) -> Tensor:
        """Draws of several worlds, (k, ...)."""
        return torch.from_numpy(np.stack(values).astype(np.float32)).to(self.device)

    def _mask(self, rows: Tensor) -> Tensor:
        """Boolean (num_envs,), true in `rows`."""
        mask = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        mask[rows] = True
        return mask


def joint_addresses(model: mujoco.MjModel, joint: str) -> tuple[int, int]:
    """Where a joint begins in `qpos` and in `qvel`."""
    return int(model.joint(joint).qposadr[0]), int(model.joint(joint).dofadr[0])
