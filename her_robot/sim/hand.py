"""Batched simulation of the Shadow Hand (`envs/shadow_dexterous_hand/` of Gymnasium-Robotics)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mujoco
import numpy as np

from her_robot.contract import HandObjectState, HandState, joint_targets
from her_robot.contract.hand import FINGERTIPS, JOINTS
from her_robot.errors import ConfigurationError
from her_robot.sim.batched import NOMINAL_START, BatchedSimulation, Row, Start, initial_state
from her_robot.sim.hand_tasks import HandObjectTask, HandReachTask, HandTask

SETTLING_PERIODS = 10
"""Control periods that an object is given to come to rest, the actuators in the middle of their ranges."""
_NO_ACTION = np.zeros(20)
NO_SENSORS = int(mujoco.mjtDisableBit.mjDSBL_SENSOR)


class HandSimulation(BatchedSimulation):
    """N independent simulations of one task of the hand."""

    def __init__(self, task: HandTask, num_envs: int, num_threads: int | None = None) -> None:
        """
        Args:
            task: what to simulate.
            num_envs: number of rows.
            num_threads: threads that step them; default: one for each core, no more than there are rows.
        """
        super().__init__(task, num_envs, num_threads)
        self._task = task
        self._readings = _Readings(task, num_envs)
        start = initial_state(task)
        self.rows = [HandRow(task, start, self._readings, row) for row in range(num_envs)]

    def state(self) -> HandState:
        return self._readings.state()

    def _begin(self, row: int, rng: np.random.Generator, start: Start) -> np.ndarray:
        if start.rise or start.finger_gap:
            raise ConfigurationError(f"{self.contract.task} has no table and no gripper to randomise")
        if start.object_yaw and not self.contract.has_object:
            raise ConfigurationError(f"{self.contract.task} has no heading of the object to randomise")
        return self.rows[row].begin(rng, start)

    def _step(self, actions: np.ndarray, substeps: Sequence[int]) -> None:
        targets = joint_targets(self._task.contract, actions, self._readings.joint_position)
        self._for_each(lambda row: self.rows[row].step(targets[row], substeps[row]), range(self.num_envs))


class _Readings:
    """What is read off each row after a step; row i of an array is row i."""

    def __init__(self, task: HandTask, num_envs: int) -> None:
        model, contract = task.model, task.contract
        self.qpos = np.zeros((num_envs, model.nq))
        self.qvel = np.zeros((num_envs, model.nv))
        # The joints come first in the model, so that these are views.
        self.joint_position, self.joint_velocity = self.qpos[:, : len(JOINTS)], self.qvel[:, : len(JOINTS)]
        terms = {term.name: term.size for term in contract.observation}
        self.sites = np.zeros((num_envs, model.nsite, 3)) if "fingertip_pos" in terms else None
        self._fingertips = [int(model.site(f"robot0:S_{tip}").id) for tip in FINGERTIPS]
        self.touch = np.zeros((num_envs, terms["touch"])) if "touch" in terms else None
        self._object = None
        if contract.has_object:
            joint = model.joint("object:joint")
            self._object = int(joint.qposadr[0]), int(joint.dofadr[0])

    def state(self) -> HandState:
        """All rows, in arrays of their own."""
        return HandState(
            joint_position=self.joint_position.copy(),
            joint_velocity=self.joint_velocity.copy(),
            fingertip_position=None if self.sites is None else self.sites[:, self._fingertips],
            object=self._object_state(),
            touch=None if self.touch is None else self.touch.copy(),
        )

    def _object_state(self) -> HandObjectState | None:
        if self._object is None:
            return None
        qpos, qvel = self._object
        return HandObjectState(
            position=self.qpos[:, qpos : qpos + 3].copy(),
            quaternion=self.qpos[:, qpos + 3 : qpos + 7].copy(),
            velocity=self.qvel[:, qvel : qvel + 3].copy(),
            angular_velocity=self.qvel[:, qvel + 3 : qvel + 6].copy(),
        )


class HandRow(Row):
    """One simulation of the hand."""

    def __init__(self, task: HandTask, start: np.ndarray, readings: _Readings, row: int) -> None:
        super().__init__(task, start)
        self._task = task
        data, model = self.data, self.model
        self._control = data.ctrl
        self._copied = [(readings.qpos[row], data.qpos), (readings.qvel[row], data.qvel)]
        if readings.sites is not None:
            self._copied.append((readings.sites[row], data.site_xpos))
        self._touches = readings.touch is not None
        if readings.touch is not None:
            first = int(model.sensor("robot0:TS_palm_b0").adr[0])
            self._copied.append((readings.touch[row], data.sensordata[first:]))
        if isinstance(task, HandObjectTask):
            address = int(model.joint("object:joint").qposadr[0])
            self._object_pose = data.qpos[address : address + 7]
            self._object_center = data.site("object:center").xpos
            self._rest_position = np.zeros(3)
            self.object_force = data.xfrc_applied[model.body("object").id, :3]
        # Nothing depends on what sensors measure but the readings after a step.
        model.opt.disableflags |= NO_SENSORS

    def begin(self, rng: np.random.Generator, start: Start = NOMINAL_START) -> np.ndarray:
        """Begin an episode, and return its desired goal."""
        if not (start.continued and self._can_go_on()):
            self._restore()
            if isinstance(self._task, HandObjectTask):
                while not self._settle(self._task, self._task.sample_pose(rng, start.object_yaw)):
                    pass
                self._rest_position = self._object_pose[:3].copy()
        if isinstance(self._task, HandReachTask):
            goal = self._task.sample_goal(rng)
        else:
            # Goals lie about where the object came to rest, however far it has been carried since.
            goal = self._task.sample_goal(rng, self._rest_position)
        self._update()
        self._read()
        return goal

    def _can_go_on(self) -> bool:
        """Whether the hand still has what it is to move."""
        task = self._task
        if not isinstance(task, HandObjectTask):
            return True
        mujoco.mj_kinematics(self.model, self.data)
        return bool(self._object_center[2] > task.contract.lost_height)

    def step(self, targets: np.ndarray, substeps: int) -> None:
        """One control period with the actuators' targets (20,) [rad]."""
        self._control[:] = targets
        self._advance(substeps)
        self._read()

    def _settle(self, task: HandObjectTask, pose: np.ndarray) -> bool:
        """Put the object down and let it come to rest; whether it then lies on the palm.

        Of an attempt before, the solver's warm start remains, as it does in Gymnasium-Robotics.
        """
        data = self.data
        data.time, data.qpos[:], data.qvel[:] = task.initial_time, task.initial_qpos, task.initial_qvel
        self._object_pose[:] = pose
        for _ in range(SETTLING_PERIODS):
            self._control[:] = joint_targets(task.contract, _NO_ACTION, data.qpos[: len(JOINTS)])
            mujoco.mj_step(self.model, data, nstep=task.substeps)
        mujoco.mj_kinematics(self.model, data)
        return bool(self._object_center[2] > task.contract.lost_height)

    def _advance(self, substeps: int) -> None:
        model, data = self.model, self.data
        if not self._touches:
            mujoco.mj_step(model, data, nstep=substeps)
            return
        mujoco.mj_step(model, data, nstep=substeps - 1)
        with self._sensors():
            mujoco.mj_step(model, data)

    def _update(self) -> None:
        """Compute what is read, where Gymnasium-Robotics calls `mj_forward`."""
        if not self._touches:
            mujoco.mj_kinematics(self.model, self.data)
            return
        with self._sensors():
            mujoco.mj_forward(self.model, self.data)

    @contextmanager
    def _sensors(self) -> Iterator[None]:
        """With the sensors switched on."""
        self.model.opt.disableflags &= ~NO_SENSORS
        yield
        self.model.opt.disableflags |= NO_SENSORS
