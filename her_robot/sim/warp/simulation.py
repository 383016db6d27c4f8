"""Many Fetch simulations side by side on one device, stepped by MuJoCo Warp.

A step is that of `sim.fetch`: the same mocap weld, the same substeps, and velocities of sites by the Jacobian that
the last substep began with. Physics is in float32, and a contact may be found at other points: docs/gpu.md says what
differs.
"""

from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from her_robot.contract import ObjectState, RobotState
from her_robot.errors import BackendError
from her_robot.sim.fetch import FINGER_JOINTS, GRIPPER_QUATERNION_OFFSET, finger_positions
from her_robot.sim.tasks import FetchTask
from her_robot.sim.warp.worlds import Worlds


class WarpSimulation:
    """N independent simulations of one Fetch task, whose arrays are tensors on a device."""

    def __init__(
        self, task: FetchTask, num_envs: int, device: str | torch.device = "cuda", varied: Iterable[str] = ()
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
        _check_object(task)
        self.task, self.num_envs, self.device = task, num_envs, torch.device(device)
        self.worlds = Worlds(task, num_envs, device, varied)
        self._take_views()
        self._read_places()
        self._readings = self._read()

    def reset(
        self,
        rows: Tensor,
        object_position: Tensor | None,
        object_yaw: Tensor | float = 0.0,
        height_offset: Tensor | float = 0.0,
    ) -> None:
        """Put some worlds into their initial state.

        Args:
            rows: which, integers (k,).
            object_position: world x and y (k, 2) [m]; None in tasks without an object.
            object_yaw: heading of the object about world z, (k,) or one for all [rad].
            height_offset: how far the object's centre lies above the nominal height, (k,) or one for all [m].
        """
        mask = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        mask[rows] = True
        self.worlds.restore(mask)
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
        self.worlds.update_kinematics()
        fresh = self._read()
        for name, values in self._readings.items():
            values[rows] = fresh[name][rows]

    def push(self, forces: Tensor) -> None:
        """Push the objects until the next call, at their centres of mass, with `forces` (num_envs, 3), world frame
        [N]."""
        self._applied[:, self._object_body, :3] = forces

    def step(self, actions: Tensor) -> RobotState:
        """Advance every world by one control period.

        Args:
            actions: (num_envs, 4), clipped to [-1, 1].
        """
        if actions.shape != (self.num_envs, 4):
            raise ValueError(f"actions have shape {tuple(actions.shape)}, expected {(self.num_envs, 4)}")
        actions = actions.to(self.device, torch.float32).clamp(-1.0, 1.0)
        now, contract = self._readings, self.task.contract
        self._mocap_position[:, 0] = now["gripper_position"] + contract.action_scale * actions[:, :3]
        self._mocap_quaternion[:, 0] = now["gripper_quaternion"] + self._quaternion_offset
        if self.task.model.nu:
            opening = 0.0 if self.task.block_gripper else actions[:, 3:]
            self._control[:] = self._qpos[:, self._actuated_qpos] + opening
        self.worlds.step(self.task.substeps)
        if self.task.block_gripper:
            self._qpos[:, self._finger_qpos] = 0.0
            self.worlds.update_kinematics()
        self._readings = self._read()
        return self.state()

    def state(self) -> RobotState:
        """The present state of all worlds, tensors with leading axis num_envs."""
        now: dict[str, Any] = {name: values.clone() for name, values in self._readings.items()}
        obj = None
        if self.task.contract.has_object:
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

    def close(self) -> None:
        """Nothing to stop; the memory is freed with the last reference."""

    def _take_views(self) -> None:
        view = self.worlds.view
        self._qpos, self._qvel = view("qpos"), view("qvel")
        self._control, self._applied = view("ctrl"), view("xfrc_applied")
        self._mocap_position, self._mocap_quaternion = view("mocap_pos"), view("mocap_quat")
        self._body_position, self._body_quaternion = view("xpos"), view("xquat")
        self._site_position, self._site_rotation = view("site_xpos"), view("site_xmat")
        self._motion_axes, self._center_of_mass = view("cdof"), view("subtree_com")

    def _read_places(self) -> None:
        """Where in those tensors things are."""
        model = self.task.model

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
        if self.task.contract.has_object:
            self._object_body, self._object_site = model.body("object0").id, model.site("object0").id
            self._object_qpos = int(model.joint("object0:joint").qposadr[0])
            self._object_qvel = int(model.joint("object0:joint").dofadr[0])

    def _read(self) -> dict[str, Tensor]:
        """What is read off all worlds after a step, in tensors of its own."""
        found = {
            "gripper_position": self._body_position[:, self._gripper_body].clone(),
            "gripper_quaternion": self._body_quaternion[:, self._gripper_body].clone(),
            "grip_position": self._site_position[:, self._grip_site].clone(),
            "grip_velocity": self._grip_velocity(),
            "finger_position": self._qpos[:, self._finger_qpos],
            "finger_velocity": self._qvel[:, self._finger_qvel],
        }
        if self.task.contract.has_object:
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
