"""The tasks as Gymnasium-Robotics defines them.

Nothing of Gymnasium-Robotics is copied: a task is read off an instance of its environment, which compiles the
MJCF and settles the arm. What is written here again is the order of the random draws in a reset, because the batched
simulation must make the same draws without that instance; a test compares them seed by seed.
"""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium
import mujoco
import numpy as np

from her_robot.contract import FETCH_CONTRACTS, Contract, FetchContract, contract_of
from her_robot.errors import UnknownNameError

_MINIMUM_OBJECT_DISTANCE = 0.1
"""An object starts at least this far from the gripper [m] (`fetch_env.py`, `_reset_sim`)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """An environment's compiled model and initial state."""

    contract: Contract
    model: mujoco.MjModel
    initial_time: float
    """Simulated time at the start of an episode [s]."""
    initial_qpos: np.ndarray
    """(nq,), in MuJoCo's units and order."""
    initial_qvel: np.ndarray
    """(nv,), in MuJoCo's units and order."""
    substeps: int
    """Physics steps in one control period."""


@dataclass(frozen=True, kw_only=True)
class FetchTask(Task):
    """A Fetch task, and what its resets draw from."""

    contract: FetchContract
    block_gripper: bool
    """Whether the fingers are held closed."""
    home_grip_position: np.ndarray
    """Grip site after settling, world frame (3,) [m]."""
    object_range: float
    """Half width of the square that objects start in [m]."""
    target_range: float
    """Half width of the box that goals are drawn from [m]."""
    target_offset: np.ndarray
    """Added to every goal (3,) [m]."""
    target_in_the_air: bool
    """Whether half of the goals are lifted by up to 0.45 m."""
    object_height: float
    """World z of the object's centre at rest [m]; 0 without an object."""

    def sample_object_position(self, rng: np.random.Generator) -> np.ndarray:
        """Start position of the object, world x and y (2,) [m]."""
        home = self.home_grip_position[:2]
        while True:
            position = home + rng.uniform(-self.object_range, self.object_range, size=2)
            if np.linalg.norm(position - home) >= _MINIMUM_OBJECT_DISTANCE:
                return position

    def sample_goal(self, rng: np.random.Generator) -> np.ndarray:
        """A desired goal, world frame (3,) [m]."""
        goal = self.home_grip_position + rng.uniform(-self.target_range, self.target_range, size=3)
        if not self.contract.has_object:
            return goal
        goal = goal + self.target_offset
        goal[2] = self.object_height
        if self.target_in_the_air and rng.uniform() < 0.5:
            goal[2] += rng.uniform(0, 0.45)
        return goal


@cache
def fetch_task(name: str) -> FetchTask:
    """The task `name`, such as `fetch_push`. The instance is shared; copy its model before changing it.

    Raises:
        UnknownNameError: no such task.
    """
    contract = contract_of(name)
    if not isinstance(contract, FetchContract):
        raise UnknownNameError("task of the Fetch", name, FETCH_CONTRACTS)
    env = make_gymnasium_env(contract.environment).unwrapped
    try:
        return FetchTask(
            contract=contract,
            **initial_state_of(env),
            block_gripper=env.block_gripper,  # type: ignore[attr-defined]
            home_grip_position=env.initial_gripper_xpos.copy(),  # type: ignore[attr-defined]
            object_range=env.obj_range,  # type: ignore[attr-defined]
            target_range=env.target_range,  # type: ignore[attr-defined]
            target_offset=np.broadcast_to(env.target_offset, 3).copy(),  # type: ignore[attr-defined]
            target_in_the_air=env.target_in_the_air,  # type: ignore[attr-defined]
            object_height=float(env.height_offset) if contract.has_object else 0.0,  # type: ignore[attr-defined]
        )
    finally:
        env.close()


def initial_state_of(env: Any) -> dict[str, Any]:
    """What every task takes from its environment."""
    return {
        "model": env.model,
        "initial_time": env.initial_time,
        "initial_qpos": env.initial_qpos.copy(),
        "initial_qvel": env.initial_qvel.copy(),
        "substeps": env.n_substeps,
    }


def make_gymnasium_env(environment: str, **options) -> gymnasium.Env:
    """The unmodified Gymnasium-Robotics environment of that name."""
    logging.getLogger("gymnasium").setLevel(logging.ERROR)
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    return gymnasium.make(environment, **options)
