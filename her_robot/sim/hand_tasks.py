"""The tasks of the hand as Gymnasium-Robotics defines them.

As in `sim.tasks`, only the order of the random draws in a reset is written here again (`manipulate.py`, `reach.py`).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from her_robot import rotations
from her_robot.contract import HAND_CONTRACTS, HandContract, HandObjectContract, contract_of
from her_robot.contract.hand import FINGERTIPS
from her_robot.errors import UnknownNameError
from her_robot.sim.hand_model import trimmed_model
from her_robot.sim.tasks import Task, initial_state_of, make_gymnasium_env

_Z_AXIS = np.array([0.0, 0.0, 1.0])
_MEETING_POINT = np.array([0.0, -0.09, 0.05])
"""Where a finger meets the thumb, from the palm, world frame [m]."""


@dataclass(frozen=True, kw_only=True)
class HandReachTask(Task):
    """Fingertips that shall meet."""

    contract: HandContract
    initial_fingertips: np.ndarray
    """At the start of an episode, world frame (5, 3) [m]."""
    palm_position: np.ndarray
    """World frame (3,) [m]."""

    def sample_goal(self, rng: np.random.Generator) -> np.ndarray:
        """Positions of the fingertips (15,) [m]: the thumb and another finger meet above the palm."""
        finger = FINGERTIPS.index(rng.choice(FINGERTIPS[:-1]))
        meeting_point = self.palm_position + _MEETING_POINT + rng.normal(scale=0.005, size=3)
        goal = self.initial_fingertips.copy()
        for tip in (len(FINGERTIPS) - 1, finger):
            offset = meeting_point - goal[tip]
            goal[tip] = meeting_point - 0.005 * (offset / np.linalg.norm(offset))
        return self.initial_fingertips.ravel().copy() if rng.uniform() < 0.1 else goal.ravel()


@dataclass(frozen=True, kw_only=True)
class HandObjectTask(Task):
    """An object on the palm that shall be turned or moved."""

    contract: HandObjectContract
    rotation: Literal["z", "parallel", "xyz"]
    """Goals are turned about z; about z and by quarters about all axes; about any axis."""
    random_initial_rotation: bool
    """Whether the object is turned so at the start, too."""
    position_range: np.ndarray
    """Least and largest displacement that a goal asks for, by axis, (3, 2) [m]; 0 where positions do not count."""
    parallel_rotations: np.ndarray
    """Orientations of a cube that stands on a side, (24, 4)."""
    initial_pose: np.ndarray
    """Of the object, before it is turned, (7,)."""

    def sample_pose(self, rng: np.random.Generator, yaw: float = 0.0) -> np.ndarray:
        """Where an object is put down at the start of an episode, turned by `yaw` about world z [rad] besides, (7,)."""
        position, quaternion = self.initial_pose[:3], self.initial_pose[3:]
        if self.random_initial_rotation:
            quaternion = rotations.multiply(quaternion, self._sample_rotation(rng))
        if yaw:
            quaternion = rotations.multiply(rotations.from_axis_angle(_Z_AXIS, np.float64(yaw)), quaternion)
        position = position + rng.normal(size=3, scale=0.005)
        return np.concatenate([position, _normalized(quaternion)])

    def sample_goal(self, rng: np.random.Generator, position: np.ndarray) -> np.ndarray:
        """A desired pose (7,) for an object that lies at `position` (3,) [m]."""
        if self.contract.position_counts:
            position = position + rng.uniform(self.position_range[:, 0], self.position_range[:, 1])
        return np.concatenate([position, _normalized(self._sample_rotation(rng))])

    def _sample_rotation(self, rng: np.random.Generator) -> np.ndarray:
        angle = rng.uniform(-np.pi, np.pi)
        if self.rotation == "xyz":
            return _normalized(rotations.from_axis_angle(rng.uniform(-1.0, 1.0, size=3), angle))
        about_z = _normalized(rotations.from_axis_angle(_Z_AXIS, angle))
        if self.rotation == "z":
            return about_z
        return rotations.multiply(about_z, self.parallel_rotations[rng.integers(len(self.parallel_rotations))])


HandTask = HandReachTask | HandObjectTask


@cache
def hand_task(name: str) -> HandTask:
    """The task `name`, such as `hand_block_rotate_z`. The instance is shared; copy its model before changing it.

    Raises:
        UnknownNameError: no such task of the hand.
    """
    contract = contract_of(name)
    if not isinstance(contract, HandContract):
        raise UnknownNameError("task of the hand", name, HAND_CONTRACTS)
    env: Any = make_gymnasium_env(contract.environment).unwrapped
    start = {**initial_state_of(env), "model": trimmed_model(env.model, env.fullpath)}
    try:
        if not isinstance(contract, HandObjectContract):
            return HandReachTask(
                contract=contract,
                **start,
                initial_fingertips=env.initial_goal.reshape(-1, 3).copy(),
                palm_position=env.palm_xpos.copy(),
            )
        address = env.model.joint("object:joint").qposadr[0]
        return HandObjectTask(
            contract=contract,
            **start,
            rotation=env.target_rotation,
            random_initial_rotation=env.randomize_initial_rotation,
            position_range=env.target_position_range.copy(),
            parallel_rotations=np.array(env.parallel_quats),
            initial_pose=env.initial_qpos[address : address + 7].copy(),
        )
    finally:
        env.close()


def _normalized(quaternion: np.ndarray) -> np.ndarray:
    return quaternion / np.linalg.norm(quaternion)
