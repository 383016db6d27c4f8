"""Many Fetch simulations side by side on one device, as those of `sim.fetch` are on a CPU: the same mocap weld, and
velocities of sites by the Jacobian that the last substep began with."""

from collections.abc import Iterable, Sequence
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from her_robot.contract import ObjectState, RobotState
from her_robot.errors import BackendError
from her_robot.sim.fetch import FINGER_JOINTS, GRIPPER_QUATERNION_OFFSET, check_fingers_open, finger_positions
from her_robot.sim.tasks import FetchTask
from her_robot.sim.warp.simulation import Starts, WarpSimulation, joint_addresses


class WarpFetchSimulation(WarpSimulation):
    """N independent simulations of one Fetch task."""

    def __init__(
        self, task: FetchTask, num_envs: int, device: str | torch.device = "cuda", varied: Iterable[str] = ()
    ) -> None:
        _check_object(task)
        super().__init__(task, num_envs, device, varied)
        self._task = task
        view = self.worlds.view
        self._mocap_position, self._mocap_quaternion = view("mocap_pos"), view("mocap_quat")
        self._body_position, self._body_quaternion = view("xpos"), view("xquat")
        self._site_rotation = view("site_xmat")
        self._motion_axes, self._center_of_mass = view("cdof"), view("subtree_com")
        self._read_places()
        self._readings = self._read()

    def begin(self, rows: Tensor, rngs: Sequence[np.random.Generator], starts: Starts) -> Tensor:
        if bool((starts.finger_gap != 0).any()):
            check_fingers_open(self._task)
        positions, goals = [], []
        for rng in rngs:
            if self.contract.has_object:
                positions.append(self._task.sample_object_position(rng))
            goals.append(self._task.sample_goal(rng))
        goal = self._on_device(goals)
        if self.contract.has_object:
            goal[:, 2] += starts.rise
        self.reset(rows, self._on_device(positions) if positions else None, *starts)
        return goal

    def reset(
        self,
        rows: Tensor,
        object_position: Tensor | None,
        object_yaw: Tensor | float = 0.0,
        height_offset: Tensor | float = 0.0,
        finger_gap: Tensor | float = 0.0,
    ) -> None:
        """Put some worlds into their initial state.

        Args:
            rows: which, integers (k,).
            object_position: world x and y (k, 2) [m]; None in tasks without an object.
            object_yaw: heading of the object about world z, (k,) or one for all [rad].
            height_offset: how far the object's centre lies above the nominal height, (k,) or one for all [m].
            finger_gap: how far the fingers are apart, (k,) or one for all [m].
        """
        self.worlds.restore(self._mask(rows))
        gap = torch.as_tensor(finger_gap, device=self.device, dtype=torch.float32).expand(len(rows))
        fingers = self._qpos[rows[:, None], self._finger_qpos]
        self._qpos[rows[:, None], self._finger_qpos] = torch.where(gap[:, None] > 0, gap[:, None] / 2, fingers)
        if object_position is not None:
            pose = self._qpos[rows, self._object_qpos : self._object_qpos + 7]
            half = 0.5 * torch.as_tensor(object_yaw, device=self.device)
            pose[:, :2] = object_position.to(self.device, torch.float32)
            pose[:, 2] += height_offset
            turned = (half != 0).expand(len(rows))
            zeros = torch.zeros_like(turned, dtype=torch.float32)
            heading = torch.stack([half.cos() + zeros, zeros, zeros, half.sin() + zeros], dim=-1)
            pose[:, 3:] = torch.where(turned[:, None], heading, pose[:, 3:])
            self._qpos[rows, self._object_qpos : self._object_qpos + 7] = pose
        self._read_rows(rows)

    def state(self) -> RobotState:
        """The present state of all worlds, tensors with leading axis num_envs."""
        now: dict[str, Any] = {name: values.clone() for name, values in self._readings.items()}
        obj = None
        if self.contract.has_object:
            obj = ObjectState(
                position=now["object_position"],
                rotation=now["object_rotation"],
                velocity=now["object_velocity"],
                angular_velocity=now["object_angular_velocity"],
            )
        return RobotState(
            grip_position=now["grip_position"],
            grip_velocity=now["grip_velocity"],
            finger_position=now["finger_position"],
            finger_velocity=now["finger_velocity"],
            object=obj,
        )

    @property
    def _object_body(self) -> int:
        return self._task.model.body("object0").id

    def _step(self, actions: Tensor) -> None:
        now, task = self._readings, self._task
        self._mocap_position[:, 0] = now["gripper_position"] + task.contract.action_scale * actions[:, :3]
        self._mocap_quaternion[:, 0] = now["gripper_quaternion"] + self._quaternion_offset
        if task.model.nu:
            opening = 0.0 if task.block_gripper else actions[:, 3:]
            self._control[:] = self._qpos[:, self._actuated_qpos] + opening
        self.worlds.step(task.substeps)
        if task.block_gripper:
            self._qpos[:, self._finger_qpos] = 0.0
            self.worlds.update_kinematics()

    def _read_places(self) -> None:
        """Where in the worlds' tensors things are."""
        model = self._task.model

        def on_device(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values), device=self.device)

        self._gripper_body = model.body("robot0:gripper_link").id
        self._grip_site = model.site("robot0:grip").id
        self._root = int(model.body_rootid[self._gripper_body])
        self._grip_dofs = on_device(_dofs_above(model, int(model.site_bodyid[self._grip_site])))
        self._finger_qpos = on_device(finger_positions(model))
        self._finger_qvel = on_device([int(model.joint(name).dofadr[0]) for name in FINGER_JOINTS])
        actuated = model.jnt_qposadr[model.actuator_trnid[:, 0]] if model.nu else np.zeros(0, int)
        self._actuated_qpos = on_device(actuated.astype(int))
        self._quaternion_offset = on_device(GRIPPER_QUATERNION_OFFSET).float()
        if self.contract.has_object:
            self._object_site = model.site("object0").id
            self._object_qpos, self._object_qvel = joint_addresses(model, "object0:joint")

    def _read(self) -> dict[str, Tensor]:
        found = {
            "gripper_position": self._body_position[:, self._gripper_body].clone(),
            "gripper_quaternion": self._body_quaternion[:, self._gripper_body].clone(),
            "grip_position": self._site_position[:, self._grip_site].clone(),
            "grip_velocity": self._grip_velocity(),
            "finger_position": self._qpos[:, self._finger_qpos],
            "finger_velocity": self._qvel[:, self._finger_qvel],
        }
        if self.contract.has_object:
            rotation = self._site_rotation[:, self._object_site].clone()
            linear = self._object_qvel
            # A free joint's angular velocity is in the body's frame.
            angular = self._qvel[:, linear + 3 : linear + 6]
            found |= {
                "object_position": self._site_position[:, self._object_site].clone(),
                "object_rotation": rotation,
                "object_velocity": self._qvel[:, linear : linear + 3].clone(),
                "object_angular_velocity": torch.einsum("nij,nj->ni", rotation, angular),
            }
        return found

    def _grip_velocity(self) -> Tensor:
        """Jacobian of the grip site times velocity (num_envs, 3) [m/s]; axes of motion are about the robot's centre of
        mass (`cdof` in MuJoCo's documentation)."""
        arm = self._site_position[:, self._grip_site] - self._center_of_mass[:, self._root]
        twist = torch.einsum("nvk,nv->nk", self._motion_axes[:, self._grip_dofs], self._qvel[:, self._grip_dofs])
        return twist[:, 3:] + torch.linalg.cross(twist[:, :3], arm)


def _check_object(task: FetchTask) -> None:
    """MuJoCo Warp finds one contact between a cylinder and a box, on which a puck tumbles rather than slides."""
    if task.contract.has_object:
        kind = task.model.geom("object0").type[0]
        if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            raise BackendError(
                f"{task.contract.task}: MuJoCo Warp finds one contact between a puck and a table, MuJoCo several, and "
                "the puck tumbles; use --sim cpu"
            )


def _dofs_above(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Degrees of freedom that move a body, in order."""
    found: list[int] = []
    while body:
        first = int(model.body_dofadr[body])
        found += range(first, first + int(model.body_dofnum[body]))
        body = int(model.body_parentid[body])
    return np.array(sorted(found), int)
