"""Many Fetch simulations side by side on one device, stepped by MuJoCo Warp.

All worlds share one model, but for the fields that are randomised, which have a row for each world. A step is that of
`sim.batched`: the same mocap weld, the same substeps, and velocities of sites by the Jacobian that the last substep
began with. Physics is in float32, and a contact may be found at other points: docs/gpu.md says what differs.
"""

import copy
from collections.abc import Iterable
from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp
from torch import Tensor

from her_robot.contract import ObjectState, RobotState
from her_robot.errors import BackendError
from her_robot.sim.batched import FINGER_JOINTS, GRIPPER_QUATERNION_OFFSET, finger_positions
from her_robot.sim.tasks import FetchTask
from her_robot.sim.warp.installation import check_installation
from her_robot.sim.warp.memory import check_memory, sizes


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
            BackendError: MuJoCo Warp or a GPU is missing, or the GPU has too little memory.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; at least 1 is needed")
        check_installation(str(device))
        self.task, self.num_envs, self.device = task, num_envs, torch.device(device)
        warp.init()
        self._warp_device = warp.device_from_torch(self.device)
        with warp.ScopedDevice(self._warp_device):
            check_memory(device_model(task.model), num_envs, self.device)
            self.model, self.data = _on_device(task, num_envs, varied)
            self._take_views()
            self._read_places()
            self._graph = self._captured()
        self._set_initial_state(torch.ones(num_envs, dtype=torch.bool, device=self.device))
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
        self._set_initial_state(mask)
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
        self._update_kinematics()
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
        with warp.ScopedDevice(self._warp_device):
            for _ in range(self.task.substeps):
                self._substep()
        if self.task.block_gripper:
            self._qpos[:, self._finger_qpos] = 0.0
            self._update_kinematics()
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

    def _substep(self) -> None:
        if self._graph is None:
            mujoco_warp.step(self.model, self.data)
        else:
            warp.capture_launch(self._graph)

    def _captured(self) -> Any:
        """A CUDA graph of one substep: a launch instead of some hundred. None on a CPU."""
        if not self._warp_device.is_cuda:
            return None
        # Conditional nodes need a newer driver than all else (CUDA 12.4).
        self.model.opt.graph_conditional = warp.is_conditional_graph_supported()
        mujoco_warp.step(self.model, self.data)
        with warp.ScopedCapture() as capture:
            mujoco_warp.step(self.model, self.data)
        return capture.graph

    def _update_kinematics(self) -> None:
        """Compute what is read, where Gymnasium-Robotics calls `mj_forward`."""
        with warp.ScopedDevice(self._warp_device):
            mujoco_warp.kinematics(self.model, self.data)
            mujoco_warp.com_pos(self.model, self.data)

    def _set_initial_state(self, mask: Tensor) -> None:
        """All that the next step depends on, in the worlds of a boolean mask (num_envs,)."""
        for view, initial in self._initial:
            view[mask] = initial

    def _take_views(self) -> None:
        """Tensors that share the memory of the simulation's arrays."""
        task, data = self.task, self.data
        nominal = mujoco.MjData(task.model)

        def view(array: warp.array) -> Tensor:
            return warp.to_torch(array)

        self._qpos, self._qvel = view(data.qpos), view(data.qvel)
        self._control, self._applied = view(data.ctrl), view(data.xfrc_applied)
        self._mocap_position, self._mocap_quaternion = view(data.mocap_pos), view(data.mocap_quat)
        self._body_position, self._body_quaternion = view(data.xpos), view(data.xquat)
        self._site_position, self._site_rotation = view(data.site_xpos), view(data.site_xmat)
        self._motion_axes, self._center_of_mass = view(data.cdof), view(data.subtree_com)
        initial = [
            (self._qpos, task.initial_qpos),
            (self._qvel, task.initial_qvel),
            (view(data.time), task.initial_time),
            (view(data.qacc_warmstart), 0.0),
            (self._control, 0.0),
            (self._applied, 0.0),
            (self._mocap_position, nominal.mocap_pos),
            (self._mocap_quaternion, nominal.mocap_quat),
        ]
        self._initial = [(view, torch.as_tensor(value, device=self.device).to(view.dtype)) for view, value in initial]

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


def device_model(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy that MuJoCo Warp accepts. Its convex collisions know no contact margins, and the Fetch's links have one of
    1 mm, on which the base stands: boxes are therefore collided by MuJoCo's older routine, and other convex pairs give
    one contact."""
    changed = copy.copy(model)
    changed.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_NATIVECCD | mujoco.mjtDisableBit.mjDSBL_MULTICCD
    return changed


def _on_device(task: FetchTask, num_envs: int, varied: Iterable[str]) -> tuple[Any, Any]:
    _check_object(task)
    model = device_model(task.model)
    try:
        on_device = mujoco_warp.put_model(model, batch_sizes={field: num_envs for field in varied})
    except NotImplementedError as error:
        raise BackendError(f"{task.contract.task}: MuJoCo Warp cannot simulate this model ({error})") from None
    return on_device, mujoco_warp.make_data(model, nworld=num_envs, **sizes())


def _check_object(task: FetchTask) -> None:
    """MuJoCo Warp finds one contact between a cylinder and a box, on which a puck tumbles rather than slides."""
    if task.contract.has_object:
        kind = task.model.geom("object0").type[0]
        if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            raise BackendError(
                f"{task.contract.task}: MuJoCo Warp gives a cylinder on a table one contact where MuJoCo gives four, "
                "and the puck tumbles; use --sim cpu"
            )


def _dofs_above(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Degrees of freedom that move a body, in order."""
    found: list[int] = []
    while body:
        first = int(model.body_dofadr[body])
        found += range(first, first + int(model.body_dofnum[body]))
        body = int(model.body_parentid[body])
    return np.array(sorted(found), int)
