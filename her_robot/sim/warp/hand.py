"""Many Shadow Hands side by side on one device, as those of `sim.hand` are on a CPU."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from her_robot.contract import HandObjectState, HandState, joint_targets
from her_robot.contract.hand import FINGERTIPS, JOINTS
from her_robot.errors import ConfigurationError
from her_robot.sim.hand import NO_SENSORS, SETTLING_PERIODS
from her_robot.sim.hand_tasks import HandObjectTask, HandReachTask, HandTask
from her_robot.sim.warp.simulation import Starts, WarpSimulation, joint_addresses


class WarpHandSimulation(WarpSimulation):
    """N independent simulations of one task of the hand."""

    def __init__(
        self, task: HandTask, num_envs: int, device: str | torch.device = "cuda", varied: Iterable[str] = ()
    ) -> None:
        terms = {term.name: term.size for term in task.contract.observation}
        self._touches = "touch" in terms
        if not self._touches:
            task = replace(task, model=_without_sensors(task.model))
        super().__init__(task, num_envs, device, varied)
        self._task, model = task, task.model
        self._fingertips = None
        if "fingertip_pos" in terms:
            self._fingertips = torch.tensor([model.site(f"robot0:S_{tip}").id for tip in FINGERTIPS], device=device)
        if self._touches:
            self._sensor_data = self.worlds.view("sensordata")
            self._first_touch = int(model.sensor("robot0:TS_palm_b0").adr[0])
        if self.contract.has_object:
            self._object_qpos, self._object_qvel = joint_addresses(model, "object:joint")
            self._object_center = model.site("object:center").id
        self._readings = self._read()

    def begin(self, rows: Tensor, rngs: Sequence[np.random.Generator], starts: Starts) -> Tensor:
        if bool((starts.rise != 0).any()) or bool((starts.finger_gap != 0).any()):
            raise ConfigurationError(f"{self.contract.task} has no table and no gripper to randomise")
        if bool((starts.object_yaw != 0).any()) and not self.contract.has_object:
            raise ConfigurationError(f"{self.contract.task} has no heading of the object to randomise")
        self.worlds.restore(self._mask(rows))
        if isinstance(self._task, HandReachTask):
            goals = [self._task.sample_goal(rng) for rng in rngs]
        else:
            self._settle(self._task, rows, rngs, starts.object_yaw)
            rest = self._qpos[rows, self._object_qpos : self._object_qpos + 3].cpu().numpy().astype(np.float64)
            goals = [self._task.sample_goal(rng, position) for rng, position in zip(rngs, rest, strict=True)]
        self._read_rows(rows)
        return self._on_device(goals)

    def state(self) -> HandState:
        """The present state of all worlds, tensors with leading axis num_envs."""
        now: dict[str, Any] = {name: values.clone() for name, values in self._readings.items()}
        obj = None
        if self.contract.has_object:
            pose, twist = now["object_pose"], now["object_twist"]
            obj = HandObjectState(pose[:, :3], pose[:, 3:], twist[:, :3], twist[:, 3:])
        return HandState(
            joint_position=now["joint_position"],
            joint_velocity=now["joint_velocity"],
            fingertip_position=now.get("fingertip_position"),
            object=obj,
            touch=now.get("touch"),
        )

    @property
    def _object_body(self) -> int:
        return self._task.model.body("object").id

    def _step(self, actions: Tensor) -> None:
        self._control[:] = joint_targets(self._task.contract, actions, self._qpos[:, : len(JOINTS)])
        self.worlds.step(self._task.substeps)

    def _settle(self, task: HandObjectTask, rows: Tensor, rngs: Sequence[np.random.Generator], yaws: Tensor) -> None:
        """Put the objects of some worlds down and let them come to rest; again where one does not lie on the palm.

        Of an attempt before, the solver's warm start remains, as it does in Gymnasium-Robotics.
        """
        waiting = dict(zip(rows.tolist(), zip(rngs, yaws.tolist(), strict=True), strict=True))
        middle = torch.zeros(self.num_envs, self.contract.action_size, device=self.device)
        while waiting:
            falling = torch.tensor(list(waiting), device=self.device)
            poses = self._on_device([task.sample_pose(rng, yaw) for rng, yaw in waiting.values()])
            with self.worlds.only(self._mask(falling)):
                self.worlds.restore(self._mask(falling), ("time", "qpos", "qvel"))
                self._qpos[falling, self._object_qpos : self._object_qpos + 7] = poses
                for _ in range(SETTLING_PERIODS):
                    self._step(middle)
                self.worlds.update_kinematics()
                height = self._site_position[falling, self._object_center, 2]
            lies = (height > task.contract.lost_height).tolist()
            waiting = {row: start for (row, start), there in zip(waiting.items(), lies, strict=True) if not there}

    def _read(self) -> dict[str, Tensor]:
        found = {
            "joint_position": self._qpos[:, : len(JOINTS)].clone(),
            "joint_velocity": self._qvel[:, : len(JOINTS)].clone(),
        }
        if self._fingertips is not None:
            found["fingertip_position"] = self._site_position[:, self._fingertips]
        if self._touches:
            found["touch"] = self._sensor_data[:, self._first_touch :].clone()
        if self.contract.has_object:
            found["object_pose"] = self._qpos[:, self._object_qpos : self._object_qpos + 7].clone()
            found["object_twist"] = self._qvel[:, self._object_qvel : self._object_qvel + 6].clone()
        return found


def _without_sensors(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy that measures nothing: no motion depends on it."""
    changed = copy.copy(model)
    changed.opt.disableflags |= NO_SENSORS
    return changed
