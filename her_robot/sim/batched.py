"""Many Fetch simulations side by side, stepped natively on all cores.

Each row has an `MjModel` of its own, so that each can be randomised, and an `MjData`. A step of the batch is one
`mj_step(model, data, substeps)` a row; MuJoCo releases the GIL meanwhile, so plain threads use all cores. The semantics
of a step and of a reset are those of Gymnasium-Robotics (`fetch_env.py`, `utils/mujoco_utils.py`), and agree bit by bit
where the model is not randomised.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np

from her_robot.contract import ObjectState, RobotState
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.physics import randomize_model
from her_robot.sim.tasks import FetchTask

_GRIPPER_QUATERNION_OFFSET = np.array([1.0, 0.0, 1.0, 0.0])
"""Added to the measured gripper orientation, wxyz: keeps the gripper pointing down (`fetch_env.py`, `_set_action`)."""


class BatchedSimulation:
    """N independent simulations of one Fetch task."""

    def __init__(self, task: FetchTask, num_envs: int, num_threads: int | None = None) -> None:
        """
        Args:
            task: what to simulate.
            num_envs: number of rows.
            num_threads: threads that step them; default: one for each core, no more than there are rows.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; at least 1 is needed")
        self.task = task
        self.num_envs = num_envs
        self.num_threads = min(num_threads or os.cpu_count() or 1, num_envs)
        self._rows = [_Row(task) for _ in range(num_envs)]
        self._grip = np.zeros((num_envs, 2, 3))
        self._fingers = np.zeros((num_envs, 2, 2))
        self._object = np.zeros((num_envs, 3, 3))
        self._object_rotation = np.tile(np.eye(3), (num_envs, 1, 1))
        self._pool = ThreadPoolExecutor(self.num_threads, thread_name_prefix="simulation")
        self._chunks = np.array_split(np.arange(num_envs), self.num_threads)

    def reset(
        self, row: int, object_position: np.ndarray | None, object_yaw: float = 0.0, height_offset: float = 0.0
    ) -> None:
        """Put one row into its initial state.

        Args:
            row: index of the row.
            object_position: world x and y (2,) [m]; None in tasks without an object.
            object_yaw: heading of the object about world z [rad].
            height_offset: how far this row's table, and so its object, stands above the nominal height [m].
        """
        self._rows[row].reset(object_position, object_yaw, height_offset)
        self._read(row)

    def randomize(self, row: int, ranges: Mapping[str, Range], rng: np.random.Generator) -> dict[str, float]:
        """Draw one row's model anew, before its reset; with no ranges it becomes the nominal one.

        Returns:
            What was drawn, by parameter, in the units of `domain_rand.physics.PARAMETERS`.
        """
        return randomize_model(self._rows[row].model, self.task.model, self._rows[row].data, ranges, rng)

    def step(self, actions: np.ndarray) -> RobotState:
        """Advance every row by one control period.

        Args:
            actions: (num_envs, 4), clipped to [-1, 1].
        """
        actions = np.clip(np.asarray(actions, dtype=np.float32), -1.0, 1.0)
        if actions.shape != (self.num_envs, 4):
            raise ValueError(f"actions have shape {actions.shape}, expected {(self.num_envs, 4)}")
        if self.num_threads == 1:
            self._step_rows(self._chunks[0], actions)
        else:
            for finished in [self._pool.submit(self._step_rows, chunk, actions) for chunk in self._chunks]:
                finished.result()
        return self.state()

    def state(self) -> RobotState:
        """The present state of all rows, arrays with leading axis num_envs."""
        return RobotState(
            grip_position=self._grip[:, 0].copy(),
            grip_velocity=self._grip[:, 1].copy(),
            finger_position=self._fingers[:, 0].copy(),
            finger_velocity=self._fingers[:, 1].copy(),
            object=ObjectState(
                position=self._object[:, 0].copy(),
                rotation=self._object_rotation.copy(),
                velocity=self._object[:, 1].copy(),
                angular_velocity=self._object[:, 2].copy(),
            )
            if self.task.contract.has_object
            else None,
        )

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def _step_rows(self, rows: Sequence[int] | np.ndarray, actions: np.ndarray) -> None:
        for row in rows:
            self._rows[row].step(actions[row])
            self._read(row)

    def _read(self, row: int) -> None:
        self._rows[row].read(self._grip[row], self._fingers[row], self._object[row], self._object_rotation[row])


class _Row:
    """One simulation. Views into `MjData` are taken once: looking them up each step would cost more than reading."""

    def __init__(self, task: FetchTask) -> None:
        self._task = task
        self.model = copy.copy(task.model)
        self.data = data = mujoco.MjData(self.model)
        model = self.model
        self._gripper_position = data.body("robot0:gripper_link").xpos
        self._gripper_quaternion = data.body("robot0:gripper_link").xquat
        self._grip_site = model.site("robot0:grip").id
        self._grip_position = data.site("robot0:grip").xpos
        fingers = [model.joint(f"robot0:{side}_gripper_finger_joint") for side in ("r", "l")]
        self._finger_qpos = np.array([joint.qposadr[0] for joint in fingers])
        self._finger_qvel = np.array([joint.dofadr[0] for joint in fingers])
        self._jacobian = np.zeros((3, model.nv))
        self._angular_jacobian = np.zeros((3, model.nv))
        self._mocap_position, self._mocap_quaternion = data.mocap_pos[0], data.mocap_quat[0]
        self._qpos, self._qvel, self._control = data.qpos, data.qvel, data.ctrl
        self._actuated_qpos = model.jnt_qposadr[model.actuator_trnid[:, 0]] if model.nu else np.zeros(0, int)
        if task.contract.has_object:
            self._object_qpos = model.joint("object0:joint").qposadr[0]
            self._object_site = model.site("object0").id
            self._object_position = data.site("object0").xpos
            self._object_matrix = data.site("object0").xmat

    def reset(self, object_position: np.ndarray | None, object_yaw: float, height_offset: float) -> None:
        task, data = self._task, self.data
        mujoco.mj_resetData(self.model, data)
        data.time = task.initial_time
        data.qpos[:] = task.initial_qpos
        data.qvel[:] = task.initial_qvel
        if object_position is not None:
            pose = data.qpos[self._object_qpos : self._object_qpos + 7]
            pose[:2] = object_position
            pose[2] += height_offset
            if object_yaw:
                pose[3:] = np.cos(object_yaw / 2), 0.0, 0.0, np.sin(object_yaw / 2)
        mujoco.mj_forward(self.model, data)

    def step(self, action: np.ndarray) -> None:
        """One control period under `action` (4,) float32, in the precision that Gymnasium-Robotics computes in."""
        displacement = action[:3] * np.float32(self._task.contract.action_scale)
        self._mocap_position[:] = self._gripper_position + displacement
        self._mocap_quaternion[:] = self._gripper_quaternion + _GRIPPER_QUATERNION_OFFSET
        if self.model.nu:
            opening = 0.0 if self._task.block_gripper else action[3]
            self._control[:] = self._qpos[self._actuated_qpos] + opening
        mujoco.mj_step(self.model, self.data, nstep=self._task.substeps)
        if self._task.block_gripper:
            self._qpos[self._finger_qpos] = 0.0
            mujoco.mj_forward(self.model, self.data)

    def read(self, grip: np.ndarray, fingers: np.ndarray, obj: np.ndarray, object_rotation: np.ndarray) -> None:
        """Write positions and velocities into the batch's arrays.

        Site velocities are Jacobian times velocity, as in Gymnasium-Robotics: where no `mj_forward` follows the step,
        the Jacobian belongs to the last substep's start and the velocity to its end.
        """
        mujoco.mj_jacSite(self.model, self.data, self._jacobian, None, self._grip_site)
        grip[0] = self._grip_position
        grip[1] = self._jacobian @ self._qvel
        fingers[0] = self._qpos[self._finger_qpos]
        fingers[1] = self._qvel[self._finger_qvel]
        if self._task.contract.has_object:
            mujoco.mj_jacSite(self.model, self.data, self._jacobian, self._angular_jacobian, self._object_site)
            obj[0] = self._object_position
            obj[1] = self._jacobian @ self._qvel
            obj[2] = self._angular_jacobian @ self._qvel
            object_rotation[:] = self._object_matrix.reshape(3, 3)
