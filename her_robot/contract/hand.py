"""The tasks of the Shadow Dexterous Hand: joints, states, terms, and their contracts.

Joints, terms, their order and their scales are those of Gymnasium-Robotics 1.4 (`envs/shadow_dexterous_hand/`). Unlike
the Fetch's, velocities are not scaled by the control period.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.contract.terms import Contract, Term

JOINTS = (
    *("WRJ1", "WRJ0"),
    *("FFJ3", "FFJ2", "FFJ1", "FFJ0"),
    *("MFJ3", "MFJ2", "MFJ1", "MFJ0"),
    *("RFJ3", "RFJ2", "RFJ1", "RFJ0"),
    *("LFJ4", "LFJ3", "LFJ2", "LFJ1", "LFJ0"),
    *("THJ4", "THJ3", "THJ2", "THJ1", "THJ0"),
)
"""Joints in the order of the observation: wrist, first, middle, ring and little finger, thumb. The MJCF's names are
these after `robot0:`; J0 is the one at the fingertip."""
COUPLED_JOINTS = {"FFJ1": "FFJ0", "MFJ1": "MFJ0", "RFJ1": "RFJ0", "LFJ1": "LFJ0"}
"""Joints that a tendon drags along, by the actuated joint next to each."""
ACTUATOR_RANGES = {
    "WRJ1": (-0.489, 0.14),
    "WRJ0": (-0.698, 0.489),
    "FFJ3": (-0.349, 0.349),
    "FFJ2": (0.0, 1.571),
    "FFJ1": (0.0, 1.571),
    "MFJ3": (-0.349, 0.349),
    "MFJ2": (0.0, 1.571),
    "MFJ1": (0.0, 1.571),
    "RFJ3": (-0.349, 0.349),
    "RFJ2": (0.0, 1.571),
    "RFJ1": (0.0, 1.571),
    "LFJ4": (0.0, 0.785),
    "LFJ3": (-0.349, 0.349),
    "LFJ2": (0.0, 1.571),
    "LFJ1": (0.0, 1.571),
    "THJ4": (-1.047, 1.047),
    "THJ3": (0.0, 1.222),
    "THJ2": (-0.209, 0.209),
    "THJ1": (-0.524, 0.524),
    "THJ0": (-1.571, 0.0),
}
"""Smallest and largest target of each actuator [rad], by its joint, in the order of the action."""
ACTUATOR_STIFFNESS = {name: 5.0 if name.startswith("WR") else 1.0 for name in ACTUATOR_RANGES}
"""Torque of each actuator over the distance from its target [Nm/rad]: so weak that the wrist hangs below it by 0.08
rad."""
ACTUATOR_TIME = 0.1
"""Time constant of each actuator: its joint's damping over its stiffness, 0.1 / 1 in the fingers, 0.5 / 5 in the wrist
[s]."""
FINGERTIPS = ("fftip", "mftip", "rftip", "lftip", "thtip")
"""First, middle, ring and little finger, thumb, in the order of `fingertip_pos`. The MJCF's sites are these after
`robot0:S_`."""
TOUCH_SENSORS = 92
"""On palm and phalanges, in the order of the MJCF's sensors `robot0:TS_*`."""

ACTUATED = np.array([JOINTS.index(joint) for joint in ACTUATOR_RANGES])
"""Index of each actuator's joint in `JOINTS`."""
COUPLED = np.array([list(ACTUATOR_RANGES).index(joint) for joint in COUPLED_JOINTS])
"""Index of each coupled joint among the actuators."""
DRAGGED = np.array([JOINTS.index(joint) for joint in COUPLED_JOINTS.values()])
"""Index in `JOINTS` of the joint that each of them drags along."""
_LOW, _HIGH = np.array(list(ACTUATOR_RANGES.values())).T


@dataclass(frozen=True)
class HandObjectState:
    """The object in the hand."""

    position: np.ndarray
    """Centre of the object, world frame, (..., 3) [m]."""
    quaternion: np.ndarray
    """Object to world, (..., 4) as w, x, y, z. Its sign counts (`rotations.angle_between`): it must not flip while an
    episode lasts."""
    velocity: np.ndarray
    """Linear velocity, world frame, (..., 3) [m/s]."""
    angular_velocity: np.ndarray
    """Angular velocity in the object's own frame, (..., 3) [rad/s]."""


@dataclass(frozen=True)
class HandState:
    """All that an observation of the hand is assembled from."""

    joint_position: np.ndarray
    """In the order of `JOINTS`, (..., 24) [rad]."""
    joint_velocity: np.ndarray
    """In the order of `JOINTS`, (..., 24) [rad/s]."""
    fingertip_position: np.ndarray | None = None
    """In the order of `FINGERTIPS`, world frame, (..., 5, 3) [m]; None where a task does not need it."""
    object: HandObjectState | None = None
    """None in tasks without an object."""
    touch: np.ndarray | None = None
    """Force on each touch sensor, (..., 92) [N]; None where a task does not need it."""


@dataclass(frozen=True, kw_only=True)
class HandContract(Contract):
    """A task of the hand, whose wrist and fingers are position-controlled."""

    relative_control: bool = False
    """Whether an action is relative to the measured posture, instead of to the middle of the actuators' ranges."""
    success_distance: float = 0.01


@dataclass(frozen=True, kw_only=True)
class HandObjectContract(HandContract):
    """A task in which the hand turns or moves an object that lies on the palm; its goals are poses."""

    position_counts: bool
    """Whether the goal asks for a position, too, and not for an orientation alone."""
    ignores_z_rotation: bool = False
    """Whether the rotation about the object's own z axis does not matter."""
    success_angle: float = 0.1
    """An orientation nearer than this to the desired one is a success [rad]."""
    lost_height: float = 0.04
    """An object whose centre is lower than this is no longer on the palm; world z [m]."""

    @property
    def distance_unit(self) -> str:
        return "tolerances" if self.position_counts else "rad"

    @property
    def success_threshold(self) -> float:
        return 1.0 if self.position_counts else self.success_angle


def joint_targets(contract: HandContract, action: Array, joint_position: Array) -> Array:
    """What an action asks of the actuators, in the order of `ACTUATOR_RANGES`, (..., 20) [rad]
    (Gymnasium-Robotics, `hand_env.py`, `_set_action`).

    Args:
        contract: of the task.
        action: (..., 20) in [-1, 1]; 1 is half of an actuator's range.
        joint_position: measured, in the order of `JOINTS`, (..., 24) [rad]; of no account in absolute
            control. The target of a coupled pair is the sum of its two joints.
    """
    low, high = arrays.like(action, _LOW), arrays.like(action, _HIGH)
    middle = (high + low) / 2.0
    if contract.relative_control:
        middle = joint_position[..., ACTUATED]
        middle[..., COUPLED] += joint_position[..., DRAGGED]
    return arrays.namespace(action).clip(middle + action * ((high - low) / 2.0), low, high)


def _object_of(state: HandState) -> HandObjectState:
    if state.object is None:
        raise ValueError("this contract has an object, and the state has none: fill HandState.object")
    return state.object


def _pose(state: HandState) -> np.ndarray:
    obj = _object_of(state)
    return arrays.namespace(obj.position).concatenate([obj.position, obj.quaternion], axis=-1)


def _fingertips(state: HandState) -> np.ndarray:
    if state.fingertip_position is None:
        raise ValueError("this contract has fingertips, and the state has none: fill HandState.fingertip_position")
    return state.fingertip_position.reshape(*state.fingertip_position.shape[:-2], -1)


def _touch(state: HandState) -> np.ndarray:
    if state.touch is None:
        raise ValueError("this contract has touch sensors, and the state has none: fill HandState.touch")
    return state.touch


TERM_VALUES: dict[str, Callable[[HandContract, HandState], np.ndarray]] = {
    "joint_pos": lambda contract, state: state.joint_position,
    "joint_vel": lambda contract, state: state.joint_velocity,
    "fingertip_pos": lambda contract, state: _fingertips(state),
    "object_linear_vel": lambda contract, state: _object_of(state).velocity,
    "object_angular_vel": lambda contract, state: _object_of(state).angular_velocity,
    "object_pose": lambda contract, state: _pose(state),
    "touch": lambda contract, state: _touch(state),
}
"""How each term of an observation or goal follows from a state, (..., size)."""

_JOINT_TERMS = (
    Term("joint_pos", 24, "rad", "joint", "WR, FF, MF, RF, LF, TH, each from the base to the tip"),
    Term("joint_vel", 24, "rad/s", "joint", "in the order of joint_pos"),
)
_FINGERTIP_POS = Term("fingertip_pos", 15, "m", "world", "FF, MF, RF, LF, TH")
_OBJECT_TERMS = (
    Term("object_linear_vel", 3, "m/s", "world", "velocity of the object's centre"),
    Term("object_angular_vel", 3, "rad/s", "object", "angular velocity of the object"),
    Term("object_pose", 7, "m, 1", "world", "position of the object's centre, and orientation as w, x, y, z"),
)
_TOUCH = Term("touch", TOUCH_SENSORS, "N", "sensor", "force on the touch sensors of palm and phalanges")
_ACTION = (
    Term("joint_targets", 20, "half an actuator's range", "joint", "targets of the actuators, WR, FF, MF, RF, LF, TH"),
)


def _object_task(task: str, environment: str, position_counts: bool, **differing) -> HandObjectContract:
    return HandObjectContract(
        task=task,
        environment=environment,
        observation=(*_JOINT_TERMS, *_OBJECT_TERMS),
        goal=Term("object_pose", 7, "m, 1", "world", "where and how the object shall lie"),
        action=_ACTION,
        has_object=True,
        episode_steps=100,
        position_counts=position_counts,
        **differing,
    )


def _with_touch(contract: HandContract) -> HandContract:
    name, _, version = contract.environment.rpartition("-")
    return replace(
        contract,
        task=f"{contract.task}_touch",
        environment=f"{name}_ContinuousTouchSensors-{version}",
        observation=(*contract.observation, _TOUCH),
    )


def _with_relative_control(contract: HandContract) -> HandContract:
    return replace(contract, task=f"{contract.task}_relative", relative_control=True)


_PEN = {"ignores_z_rotation": True, "success_distance": 0.05}

HAND_CONTRACTS: dict[str, HandContract] = {
    "hand_reach": HandContract(
        task="hand_reach",
        environment="HandReach-v3",
        observation=(*_JOINT_TERMS, _FINGERTIP_POS),
        goal=Term("fingertip_pos", 15, "m", "world", "where the fingertips shall be: FF, MF, RF, LF, TH"),
        action=_ACTION,
        has_object=False,
    ),
    "hand_block": _object_task("hand_block", "HandManipulateBlock-v1", True),
    "hand_block_rotate_z": _object_task("hand_block_rotate_z", "HandManipulateBlockRotateZ-v1", False),
    "hand_block_rotate_parallel": _object_task(
        "hand_block_rotate_parallel", "HandManipulateBlockRotateParallel-v1", False
    ),
    "hand_block_rotate_xyz": _object_task("hand_block_rotate_xyz", "HandManipulateBlockRotateXYZ-v1", False),
    "hand_egg": _object_task("hand_egg", "HandManipulateEgg-v1", True),
    "hand_egg_rotate": _object_task("hand_egg_rotate", "HandManipulateEggRotate-v1", False),
    "hand_pen": _object_task("hand_pen", "HandManipulatePen-v1", True, **_PEN),
    "hand_pen_rotate": _object_task("hand_pen_rotate", "HandManipulatePenRotate-v1", False, **_PEN),
}
"""Every task of the hand, by name; without a variant's name, position and orientation count ("full")."""

_TOUCHED = [_with_touch(contract) for contract in HAND_CONTRACTS.values() if contract.has_object]
_FULL = [
    replace(contract, task=f"{name}_full", environment=contract.environment.replace("-v", "Full-v"))
    for name, contract in HAND_CONTRACTS.items()
    if name.count("_") == 1 and contract.has_object
]
_VARIANTS = [
    *_FULL,
    *_TOUCHED,
    *(_with_relative_control(contract) for contract in (*HAND_CONTRACTS.values(), *_TOUCHED)),
]

HAND_OPTIONS: dict[str, HandContract] = {contract.task: contract for contract in _VARIANTS}
"""The same tasks with `_touch` (92 touch sensors are observed) and `_relative` (actions are relative to the measured
posture) after their names, or both in this order; and `hand_block_full` and its like, which Gymnasium-Robotics has as
second names of `hand_block` and its like."""
