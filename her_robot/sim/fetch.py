"""Batched simulation of the Fetch (`fetch_env.py` and `utils/mujoco_utils.py` of Gymnasium-Robotics)."""

from collections.abc import Sequence

import mujoco
import numpy as np

from her_robot.contract import ObjectState, RobotState
from her_robot.errors import ConfigurationError
from her_robot.sim.batched import NOMINAL_START, BatchedSimulation, Row, Start, initial_state
from her_robot.sim.tasks import FetchTask
from her_robot.sim.trim import ArmCollisions

GRIPPER_QUATERNION_OFFSET = np.array([1.0, 0.0, 1.0, 0.0])
"""Added to the measured gripper orientation, wxyz: keeps the gripper pointing down (`fetch_env.py`, `_set_action`)."""

FINGER_JOINTS = ("robot0:r_gripper_finger_joint", "robot0:l_gripper_finger_joint")


def finger_positions(model: mujoco.MjModel) -> np.ndarray:
    """Addresses in `qpos` of the right and the left finger, (2,)."""
    return np.array([model.joint(name).qposadr[0] for name in FINGER_JOINTS])


def check_fingers_open(task: FetchTask) -> None:
    """
    Raises:
        ConfigurationError: the task's fingers stay closed.
    """
    if task.block_gripper:
        raise ConfigurationError(f"{task.contract.task} has closed fingers: finger_gap must be 0")


class FetchSimulation(BatchedSimulation):
    """N independent simulations of one Fetch task."""

    def __init__(
        self, task: FetchTask, num_envs: int, num_threads: int | None = None, trim_collisions: bool = True
    ) -> None:
        """
        Args:
            task: what to simulate.
            num_envs: number of rows.
            num_threads: threads that step them; default: one for each core, no more than there are rows.
            trim_collisions: leave out collisions of the arm's links where they can touch nothing (`sim.trim`).
        """
        super().__init__(task, num_envs, num_threads)
        self._task = task
        self._collisions = ArmCollisions(task.model, task.contract.base_position[0]) if trim_collisions else None
        self._readings = _Readings(task, num_envs)
        start = initial_state(task)
        self.rows = [FetchRow(task, start, self._readings, row) for row in range(num_envs)]

    def reset(self, row: int, object_position: np.ndarray | None, start: Start = NOMINAL_START) -> None:
        """Put one row into its initial state.

        Args:
            row: index of the row.
            object_position: world x and y (2,) [m]; None in tasks without an object.
            start: how that state differs from the nominal one.
        """
        self.rows[row].reset(object_position, start)

    def state(self) -> RobotState:
        return self._readings.state()

    def _begin(self, row: int, rng: np.random.Generator, start: Start) -> np.ndarray:
        if start.continued:
            raise ConfigurationError(f"{self.contract.task} begins every episode anew; only tasks of the hand go on")
        if start.finger_gap:
            check_fingers_open(self._task)
        has_object = self.contract.has_object
        position = self._task.sample_object_position(rng) if has_object else None
        goal = self._task.sample_goal(rng)
        if has_object:
            goal[2] += start.rise
        self.reset(row, position, start)
        return goal

    def _step(self, actions: np.ndarray, substeps: Sequence[int]) -> None:
        self._switch_collisions()
        self._for_each(lambda row: self.rows[row].step(actions[row], substeps[row]), range(self.num_envs))

    def _switch_collisions(self) -> None:
        if self._collisions is None:
            return
        now = self._readings
        on = self._collisions.needed(now.qpos, now.grip_position, now.object_position)
        for row, needed in zip(self.rows, on.tolist(), strict=True):
            if row.arm_collides is not needed:
                self._collisions.switch(row.model, needed)
                row.arm_collides = needed


class _Readings:
    """What is read off each row after a step, and the state that follows from it; row i of an array is row i."""

    def __init__(self, task: FetchTask, num_envs: int) -> None:
        model = task.model
        self._finger_qpos = finger_positions(model)
        self._finger_qvel = [int(model.joint(name).dofadr[0]) for name in FINGER_JOINTS]
        self.qpos = np.zeros((num_envs, model.nq))
        self.qvel = np.zeros((num_envs, model.nv))
        self.grip_position = np.zeros((num_envs, 3))
        self.grip_jacobian = np.zeros((num_envs, 3, model.nv))
        self.object_position = self.object_rotation = None
        if task.contract.has_object:
            self.object_position = np.zeros((num_envs, 3))
            self.object_rotation = np.tile(np.eye(3), (num_envs, 1, 1))
            self._object_qvel = int(model.joint("object0:joint").dofadr[0])

    def state(self) -> RobotState:
        """All rows, in arrays of their own.

        Velocities of sites are Jacobian times velocity, as in Gymnasium-Robotics: where no kinematics follow the step,
        the Jacobian belongs to the last substep's start and the velocity to its end.
        """
        return RobotState(
            grip_position=self.grip_position.copy(),
            grip_velocity=(self.grip_jacobian @ self.qvel[:, :, None])[:, :, 0],
            finger_position=self.qpos[:, self._finger_qpos],
            finger_velocity=self.qvel[:, self._finger_qvel],
            object=self._object_state(),
        )

    def _object_state(self) -> ObjectState | None:
        if self.object_position is None or self.object_rotation is None:
            return None
        # The Jacobian of a free body at its own origin: a free joint's angular velocity is in the body's frame.
        linear, angular = self._object_qvel, self._object_qvel + 3
        return ObjectState(
            position=self.object_position.copy(),
            rotation=self.object_rotation.copy(),
            velocity=self.qvel[:, linear:angular].copy(),
            angular_velocity=(self.object_rotation @ self.qvel[:, angular : angular + 3, None])[:, :, 0],
        )


class FetchRow(Row):
    """One simulation of the Fetch."""

    def __init__(self, task: FetchTask, start: np.ndarray, readings: _Readings, row: int) -> None:
        super().__init__(task, start)
        self._task = task
        self.arm_collides = True
        model, data = self.model, self.data
        self._gripper_position = data.body("robot0:gripper_link").xpos
        self._gripper_quaternion = data.body("robot0:gripper_link").xquat
        self._grip_site = model.site("robot0:grip").id
        self._finger_qpos = finger_positions(model)
        self._mocap_position, self._mocap_quaternion = data.mocap_pos[0], data.mocap_quat[0]
        self._qpos, self._control = data.qpos, data.ctrl
        self._actuated_qpos = model.jnt_qposadr[model.actuator_trnid[:, 0]] if model.nu else np.zeros(0, int)
        self._action_scale = np.float32(task.contract.action_scale)
        self._grip_jacobian = readings.grip_jacobian[row]
        self._copied = [
            (readings.qpos[row], data.qpos),
            (readings.qvel[row], data.qvel),
            (readings.grip_position[row], data.site("robot0:grip").xpos),
        ]
        if readings.object_position is not None and readings.object_rotation is not None:
            self._object_qpos = model.joint("object0:joint").qposadr[0]
            self.object_force = data.xfrc_applied[model.body("object0").id, :3]
            site = data.site("object0")
            self._copied.append((readings.object_position[row], site.xpos))
            self._copied.append((readings.object_rotation[row], site.xmat.reshape(3, 3)))

    def reset(self, object_position: np.ndarray | None, start: Start) -> None:
        self._restore()
        if start.finger_gap:
            self._qpos[self._finger_qpos] = start.finger_gap / 2
        if object_position is not None:
            pose = self._qpos[self._object_qpos : self._object_qpos + 7]
            pose[:2] = object_position
            pose[2] += start.rise
            if start.object_yaw:
                pose[3:] = np.cos(start.object_yaw / 2), 0.0, 0.0, np.sin(start.object_yaw / 2)
        self._update_kinematics()
        self._read()

    def step(self, action: np.ndarray, substeps: int) -> None:
        """One control period under `action` (4,) float32, in the precision that Gymnasium-Robotics computes in."""
        displacement = action[:3] * self._action_scale
        self._mocap_position[:] = self._gripper_position + displacement
        self._mocap_quaternion[:] = self._gripper_quaternion + GRIPPER_QUATERNION_OFFSET
        if self.model.nu:
            opening = 0.0 if self._task.block_gripper else action[3]
            self._control[:] = self._qpos[self._actuated_qpos] + opening
        mujoco.mj_step(self.model, self.data, nstep=substeps)
        if self._task.block_gripper:
            self._qpos[self._finger_qpos] = 0.0
            self._update_kinematics()
        self._read()

    def _update_kinematics(self) -> None:
        """Compute what is read, where Gymnasium-Robotics calls `mj_forward`.

        The next step computes all else anew: its solver starts from the last substep's solution, as `mj_forward` leaves
        `qacc_warmstart` alone.
        """
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def _read(self) -> None:
        mujoco.mj_jacSite(self.model, self.data, self._grip_jacobian, None, self._grip_site)
        super()._read()
