"""The tasks of the Fetch: states, terms, and their contracts.

The terms, their order and their scales are those of Gymnasium-Robotics 1.4 (`envs/fetch/fetch_env.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from her_robot.contract.terms import Contract, Term
from her_robot.rotations import euler_from_matrix


@dataclass(frozen=True)
class ObjectState:
    """The manipulated object, in the world frame."""

    position: np.ndarray
    """Centre of the object, (..., 3) [m]."""
    rotation: np.ndarray
    """Rotation matrix, object to world, (..., 3, 3)."""
    velocity: np.ndarray
    """Linear velocity, (..., 3) [m/s]."""
    angular_velocity: np.ndarray
    """Angular velocity, (..., 3) [rad/s]."""


@dataclass(frozen=True)
class RobotState:
    """All that a Fetch observation is assembled from, in the world frame."""

    grip_position: np.ndarray
    """Point between the fingers (site `robot0:grip`), (..., 3) [m]."""
    grip_velocity: np.ndarray
    """Its linear velocity, (..., 3) [m/s]."""
    finger_position: np.ndarray
    """Right and left finger joint, (..., 2) [m]."""
    finger_velocity: np.ndarray
    """Right and left finger joint, (..., 2) [m/s]."""
    object: ObjectState | None = None
    """None in tasks without an object."""


@dataclass(frozen=True, kw_only=True)
class FetchContract(Contract):
    """A task of the Fetch: a mobile manipulator's arm with a gripper of two fingers, at a table."""

    goal_low: tuple[float, ...]
    """Smallest desired goal that the task can ask for, world frame [m]."""
    goal_high: tuple[float, ...]
    """Largest desired goal that the task can ask for, world frame [m]."""
    home_grip_position: tuple[float, float, float]
    """Where the gripper starts an episode, world frame [m]."""
    table_height: float | None
    """World z of the support plane that the object stands on [m]; None where there is no object."""
    base_position: tuple[float, float, float]
    """Origin of the robot's `base_link` in the world frame [m]; the axes are parallel."""
    gripper_blocked: bool = True
    """Whether the fingers stay closed, whatever the action says."""
    action_scale: float = 0.05
    """Displacement of the gripper that an action component of 1 asks for [m]."""
    success_distance: float = 0.05

    @property
    def lifts_object(self) -> bool:
        """Whether the object may have to be brought into the air."""
        return self.has_object and self.goal_high[2] > self.goal_low[2]


def _object_of(state: RobotState) -> ObjectState:
    if state.object is None:
        raise ValueError("this contract has an object, and the state has none: fill RobotState.object")
    return state.object


TERM_VALUES: dict[str, Callable[[FetchContract, RobotState], np.ndarray]] = {
    "grip_pos": lambda contract, state: state.grip_position,
    "object_pos": lambda contract, state: _object_of(state).position,
    "object_rel_pos": lambda contract, state: _object_of(state).position - state.grip_position,
    "gripper_state": lambda contract, state: state.finger_position,
    "object_rot": lambda contract, state: euler_from_matrix(_object_of(state).rotation),
    "object_velp": lambda contract, state: (_object_of(state).velocity - state.grip_velocity) * contract.control_period,
    "object_velr": lambda contract, state: _object_of(state).angular_velocity * contract.control_period,
    "grip_velp": lambda contract, state: state.grip_velocity * contract.control_period,
    "gripper_vel": lambda contract, state: state.finger_velocity * contract.control_period,
}
"""How each term of an observation or goal follows from a state, (..., size)."""

_GRIP_POS = Term("grip_pos", 3, "m", "world", "point between the fingers")
_OBJECT_POS = Term("object_pos", 3, "m", "world", "centre of the object")
_OBJECT_REL_POS = Term("object_rel_pos", 3, "m", "world", "object_pos - grip_pos")
_GRIPPER_STATE = Term("gripper_state", 2, "m", "joint", "right and left finger joint")
_OBJECT_ROT = Term("object_rot", 3, "rad", "world", "Euler angles about moving x, y, z")
_OBJECT_VELP = Term("object_velp", 3, "m per control period", "world", "object velocity less grip velocity")
_OBJECT_VELR = Term("object_velr", 3, "rad per control period", "world", "object angular velocity")
_GRIP_VELP = Term("grip_velp", 3, "m per control period", "world", "grip velocity")
_GRIPPER_VEL = Term("gripper_vel", 2, "m per control period", "joint", "right and left finger velocity")

_FETCH_ACTION = (
    Term("grip_displacement", 3, "action_scale m", "world", "displacement from the measured grip position"),
    Term("gripper", 1, "1", "joint", "opening of the fingers; without effect where the gripper is blocked"),
)

# Home positions are those that Gymnasium-Robotics settles at; a test compares them with the environments.
_REACH_HOME = (1.3418337, 0.7491010, 0.5347324)
_PUSH_HOME = (1.3631267, 0.7490993, 0.4160113)
_PICK_HOME = (1.3419337, 0.7491010, 0.5347324)
_SLIDE_HOME = (1.0132714, 0.7491532, 0.4155002)
_BASE_POSITION = (0.6919, 0.7441, 0.0)
_SLIDE_BASE_POSITION = (0.3369, 0.7441, 0.0)
_TABLE_HEIGHT = 0.40
_BLOCK_REST_HEIGHT = 0.4248922
_PUCK_REST_HEIGHT = 0.4199996
_HIGHEST_LIFT = 0.45
"""Goals in the air lie up to this far above where the object rests [m] (`fetch_env.py`, `_sample_goal`)."""

_OBJECT_OBSERVATION = (
    _GRIP_POS,
    _OBJECT_POS,
    _OBJECT_REL_POS,
    _GRIPPER_STATE,
    _OBJECT_ROT,
    _OBJECT_VELP,
    _OBJECT_VELR,
    _GRIP_VELP,
    _GRIPPER_VEL,
)
_OBJECT_GOAL = Term("object_pos", 3, "m", "world", "where the centre of the object shall be")


def _box(center: tuple[float, ...], half_width: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lowest and highest corner of a cube."""
    return tuple(round(x - half_width, 7) for x in center), tuple(round(x + half_width, 7) for x in center)


def _plane(
    home: tuple[float, float, float], half_width: float, height: float, ahead: float = 0.0, lift: float = 0.0
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lowest and highest corner of a square of goals `ahead` of home, at a height and up to `lift` above."""
    low, high = _box((home[0] + ahead, home[1]), half_width)
    return (*low, height), (*high, round(height + lift, 7))


def _object_task(
    task: str,
    environment: str,
    goals: tuple[tuple[float, ...], tuple[float, ...]],
    home: tuple[float, float, float],
    base: tuple[float, float, float] = _BASE_POSITION,
    gripper_blocked: bool = True,
) -> FetchContract:
    return FetchContract(
        task=task,
        environment=environment,
        observation=_OBJECT_OBSERVATION,
        goal=_OBJECT_GOAL,
        action=_FETCH_ACTION,
        goal_low=goals[0],
        goal_high=goals[1],
        home_grip_position=home,
        has_object=True,
        table_height=_TABLE_HEIGHT,
        base_position=base,
        gripper_blocked=gripper_blocked,
    )


_REACH_GOALS = _box(_REACH_HOME, 0.15)

FETCH_CONTRACTS: dict[str, FetchContract] = {
    "fetch_reach": FetchContract(
        task="fetch_reach",
        environment="FetchReach-v4",
        observation=(_GRIP_POS, _GRIPPER_STATE, _GRIP_VELP, _GRIPPER_VEL),
        goal=Term("grip_pos", 3, "m", "world", "where the point between the fingers shall be"),
        action=_FETCH_ACTION,
        goal_low=_REACH_GOALS[0],
        goal_high=_REACH_GOALS[1],
        home_grip_position=_REACH_HOME,
        has_object=False,
        table_height=None,
        base_position=_BASE_POSITION,
    ),
    "fetch_push": _object_task("fetch_push", "FetchPush-v4", _plane(_PUSH_HOME, 0.15, _BLOCK_REST_HEIGHT), _PUSH_HOME),
    "fetch_slide": _object_task(
        "fetch_slide",
        "FetchSlide-v4",
        _plane(_SLIDE_HOME, 0.3, _PUCK_REST_HEIGHT, ahead=0.4),
        _SLIDE_HOME,
        _SLIDE_BASE_POSITION,
    ),
    "fetch_pick_and_place": _object_task(
        "fetch_pick_and_place",
        "FetchPickAndPlace-v4",
        _plane(_PICK_HOME, 0.15, _BLOCK_REST_HEIGHT, lift=_HIGHEST_LIFT),
        _PICK_HOME,
        gripper_blocked=False,
    ),
}
"""Every task of the Fetch, by name."""
