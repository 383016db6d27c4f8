"""The simulated Shadow Hand with a block on its palm, which cameras around it look for."""

import mujoco
import numpy as np

from her_robot import rotations
from her_robot.errors import ConfigurationError
from her_robot.robot.calibration import load_prints
from her_robot.sim.hand import HandSimulation
from her_robot.sim.hand_robot import ObjectTruth, SimulatedHand, SimulatedHandConfig
from her_robot.sim.hand_scene import OBJECT
from her_robot.sim.hand_tasks import HandObjectTask, hand_task

_SETTLING_TIME = 0.4
"""For which a block that was put down is given to come to rest on the servos of this hand [s]."""
_GOAL_OUT_OF_REACH = 0.3
"""Farther up than fingers are long [m]."""


class BlockHand(SimulatedHand):
    """One simulated hand with a block, and goals for the block."""

    def __init__(self, config: SimulatedHandConfig, task: str, seed: int = 0) -> None:
        """
        Raises:
            ConfigurationError: a task without a block, or a calibration that does not say what is printed on it.
        """
        block = hand_task(task)
        if not isinstance(block, HandObjectTask) or not task.startswith("hand_block"):
            raise ConfigurationError(f"{task}: the simulated hand does hand_reach, and holds a block in hand_block*")
        super().__init__(config, block.contract, config.views, load_prints(config.calibration))
        self._lost_height = block.contract.lost_height
        self._trained = HandSimulation(block, 1, 1).rows[0]
        self._object_qpos = self.model.joint(f"{OBJECT}:joint").qposadr[0] + np.arange(7)
        self.reset(seed)

    def object_goal(self) -> tuple[np.ndarray, np.ndarray]:
        """The goal as a planner would send it, in the hand's base frame: position (3,) [m] and quaternion (4,)."""
        to_base = rotations.conjugate(np.array(self.profile.base_rotation_wxyz))
        return self._to_base(self._goal[:3]), rotations.multiply(to_base, self._goal[3:])

    def ground_truth(self) -> ObjectTruth:
        """How the block lies and shall lie, and where the fingertips are."""
        pose = self.data.qpos[self._object_qpos].copy()
        return ObjectTruth(self.time, pose, self._goal.copy(), self._fingertips())

    def move_goal(self, beyond: float) -> None:
        self._goal = self._sampled_goal.copy()
        self._goal[2] += _GOAL_OUT_OF_REACH + beyond if beyond else 0.0

    def _begin(self, rng: np.random.Generator) -> None:
        """As an episode begins in the simulation that policies are trained in; then the block settles on this hand."""
        while True:
            goal, start = self._trained.begin(rng), self._trained.data.qpos
            self._place_joints(start[self._qpos])
            self.data.qpos[self._object_qpos] = start[self._object_qpos]
            mujoco.mj_step(self.model, self.data, nstep=round(_SETTLING_TIME / self.timestep))
            if self.data.qpos[self._object_qpos[2]] > self._lost_height:
                break
        # As the robot first sees it: one that settled past half a turn would be a whole turn away from there.
        if self.data.qpos[self._object_qpos[3]] < 0.0:
            self.data.qpos[self._object_qpos[3:]] *= -1.0
        self._goal = self._sampled_goal = goal
