"""The contract: what a policy sees and does in each task, term by term.

A policy is a function of an observation, an achieved goal and a desired goal. This module says what these are made of
(name, size, unit, frame, order), and holds the only code that assembles them. Simulation fills a `RobotState` from
MuJoCo, a robot fills it from joint states and camera poses; both call `observation()`.

The terms, their order and their scales are those of Gymnasium-Robotics 1.4 (`envs/fetch/fetch_env.py`), whose `world`
frame is the frame of every vector here. This module imports numpy only.

Arrays may carry leading batch axes: a shape `(..., 3)` is one state or many. They are NumPy arrays or PyTorch tensors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.errors import UnknownNameError

CONTROL_PERIOD_S = 0.04
"""One action every 0.04 s: 20 physics steps of 2 ms (Gymnasium-Robotics, `n_substeps=20`)."""


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


@dataclass(frozen=True)
class Term:
    """One named run of numbers in an observation, a goal or an action."""

    name: str
    size: int
    unit: str
    frame: str
    description: str


@dataclass(frozen=True)
class Contract:
    """What a policy for one task sees and does. Two policies with equal contracts are interchangeable."""

    task: str
    environment: str
    """Name of the Gymnasium-Robotics environment that defines the task."""
    observation: tuple[Term, ...]
    goal: Term
    action: tuple[Term, ...]
    goal_low: tuple[float, ...]
    """Smallest desired goal that the task can ask for, world frame [m]."""
    goal_high: tuple[float, ...]
    """Largest desired goal that the task can ask for, world frame [m]."""
    home_grip_position: tuple[float, float, float]
    """Where the gripper starts an episode, world frame [m]."""
    has_object: bool
    table_height: float | None
    """World z of the support plane that the object stands on [m]; None where there is no object."""
    base_position: tuple[float, float, float]
    """Origin of the robot's `base_link` in the world frame [m]; the axes are parallel."""
    gripper_blocked: bool = True
    """Whether the fingers stay closed, whatever the action says."""
    action_scale: float = 0.05
    """Displacement of the gripper that an action component of 1 asks for [m]."""
    success_distance: float = 0.05
    """An achieved goal nearer than this to the desired goal is a success [m]."""
    control_period: float = CONTROL_PERIOD_S
    """Time between two actions [s]."""
    episode_steps: int = 50
    """Actions in one episode."""

    @property
    def observation_size(self) -> int:
        return sum(term.size for term in self.observation)

    @property
    def lifts_object(self) -> bool:
        """Whether the object may have to be brought into the air."""
        return self.has_object and self.goal_high[2] > self.goal_low[2]

    @property
    def goal_size(self) -> int:
        return self.goal.size

    @property
    def action_size(self) -> int:
        return sum(term.size for term in self.action)


def contract_of(task: str) -> Contract:
    """The contract of a task.

    Raises:
        UnknownNameError: no such task; the message lists those there are.
    """
    try:
        return CONTRACTS[task]
    except KeyError:
        raise UnknownNameError("task", task, CONTRACTS) from None


def observation(contract: Contract, state: RobotState) -> np.ndarray:
    """Assemble the observation of `state`, shape (..., observation_size)."""
    xp = arrays.namespace(state.grip_position)
    return xp.concatenate([_TERM_VALUES[term.name](contract, state) for term in contract.observation], axis=-1)


def achieved_goal(contract: Contract, state: RobotState) -> np.ndarray:
    """What `state` has achieved, in the same units and frame as the desired goal, shape (..., goal_size) [m]."""
    return _object_of(state).position if contract.has_object else state.grip_position


def is_lost(contract: Contract, achieved: np.ndarray) -> np.ndarray:
    """Whether the object has fallen off the table, boolean (...,), for achieved goals (..., goal_size): its centre is
    below the plane that it stood on."""
    if contract.table_height is None:
        return arrays.namespace(achieved).zeros_like(achieved[..., 0], dtype=bool)
    return achieved[..., 2] < contract.table_height


def goal_difference(contract: Contract, observation: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """What is missing to the goal, as the policy sees it: desired less achieved, shape (..., goal_size) [m].

    The observation holds what is achieved as the term that the goal is named after.
    """
    return desired - observation[..., term_slice(contract, contract.goal.name)]


def goal_distance(achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """Euclidean distance between two goals of shape (..., goal_size), shape (...) [m]."""
    return arrays.namespace(achieved).linalg.norm(achieved - desired, axis=-1)


def is_success(contract: Contract, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """Whether each achieved goal is within the success distance, boolean of shape (...)."""
    return goal_distance(achieved, desired) < contract.success_distance


def sparse_reward(contract: Contract, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """0 within the success distance and -1 outside it, float32 of shape (...)."""
    return -arrays.to_float32(goal_distance(achieved, desired) > contract.success_distance)


def euler_from_matrix(rotation: np.ndarray) -> np.ndarray:
    """Angles about the moving x, y and z axes (R = Rx Ry Rz) of rotation matrices (..., 3, 3), shape (..., 3) [rad].

    The convention of the observation's `object_rot` (MuJoCo's `eulerseq='xyz'`; Gymnasium-Robotics,
    `utils/rotations.py`). Within 1e-8 of gimbal lock the x angle is set to 0.
    """
    xp = arrays.namespace(rotation)
    cos_y = xp.hypot(rotation[..., 2, 2], rotation[..., 1, 2])
    regular = cos_y > 4 * np.finfo(np.float64).eps
    x = xp.where(regular, -xp.arctan2(rotation[..., 1, 2], rotation[..., 2, 2]), 0.0)
    y = -xp.arctan2(-rotation[..., 0, 2], cos_y)
    z = xp.where(
        regular,
        -xp.arctan2(rotation[..., 0, 1], rotation[..., 0, 0]),
        -xp.arctan2(-rotation[..., 1, 0], rotation[..., 1, 1]),
    )
    return xp.stack([x, y, z], axis=-1)


def term_slice(contract: Contract, name: str) -> slice:
    """Where an observation holds the term `name`.

    Raises:
        KeyError: the observation has no such term; the message lists those it has.
    """
    start = 0
    for term in contract.observation:
        if term.name == name:
            return slice(start, start + term.size)
        start += term.size
    raise KeyError(f"{contract.task} has no term {name!r}: {[term.name for term in contract.observation]}")


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two contracts, written as plain dictionaries, differ: one line a field, empty if they agree."""
    lines = []
    for key in sorted(expected.keys() | found.keys()):
        path = f"{prefix}{key}"
        if key not in found:
            lines.append(f"{path}: missing, expected {expected[key]!r}")
        elif key not in expected:
            lines.append(f"{path}: unknown field, found {found[key]!r}")
        elif isinstance(expected[key], Mapping) and isinstance(found[key], Mapping):
            lines += differences(expected[key], found[key], f"{path}.")
        elif expected[key] != found[key]:
            lines.append(f"{path}: expected {expected[key]!r}, found {found[key]!r}")
    return lines


def _object_of(state: RobotState) -> ObjectState:
    if state.object is None:
        raise ValueError("this contract has an object, and the state has none: fill RobotState.object")
    return state.object


_TERM_VALUES: dict[str, Callable[[Contract, RobotState], np.ndarray]] = {
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
) -> Contract:
    return Contract(
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

CONTRACTS: dict[str, Contract] = {
    "fetch_reach": Contract(
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
"""Every task, by name. The Shadow Hand takes its place here."""
