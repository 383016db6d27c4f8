"""The contract: what a policy sees and does in each task, term by term.

A policy is a function of an observation, an achieved goal and a desired goal. This package says what these are made of
(name, size, unit, frame, order), when a goal is reached, and holds the only code that assembles them. Simulation fills
a `RobotState` or a `HandState` from MuJoCo, a robot fills it from joint states and camera poses; both call
`observation()`.

The terms, their order and their scales are those of Gymnasium-Robotics 1.4, whose `world` frame is the frame of every
vector here. This package imports numpy only.

Arrays may carry leading batch axes: a shape `(..., 3)` is one state or many. They are NumPy arrays or PyTorch
tensors.
"""

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.contract import fetch, hand
from her_robot.contract.fetch import FETCH_CONTRACTS, FetchContract, ObjectState, RobotState
from her_robot.contract.goals import (
    goal_between,
    goal_difference,
    goal_distance,
    is_lost,
    is_missed,
    is_success,
    pose_distances,
    sparse_reward,
    waypoint,
    with_tolerance,
)
from her_robot.contract.hand import (
    HAND_CONTRACTS,
    HAND_OPTIONS,
    HandContract,
    HandObjectContract,
    HandObjectState,
    HandState,
    joint_targets,
)
from her_robot.contract.terms import CONTROL_PERIOD_S, Contract, Term, differences, same_interface, term_slice
from her_robot.errors import UnknownNameError

__all__ = [
    "CONTRACTS",
    "CONTROL_PERIOD_S",
    "FETCH_CONTRACTS",
    "HAND_CONTRACTS",
    "HAND_OPTIONS",
    "Contract",
    "FetchContract",
    "HandContract",
    "HandObjectContract",
    "HandObjectState",
    "HandState",
    "ObjectState",
    "RobotState",
    "State",
    "Term",
    "achieved_goal",
    "contract_of",
    "differences",
    "goal_between",
    "goal_difference",
    "goal_distance",
    "is_lost",
    "is_missed",
    "is_success",
    "joint_targets",
    "observation",
    "pose_distances",
    "same_interface",
    "sparse_reward",
    "term_slice",
    "waypoint",
    "with_tolerance",
]

State = RobotState | HandState
"""Of the Fetch, or of the hand."""

CONTRACTS: dict[str, Contract] = {**FETCH_CONTRACTS, **HAND_CONTRACTS}
"""Every task, by name, without those that differ from one of them by an option (`HAND_OPTIONS`)."""

_TERM_VALUES = {**fetch.TERM_VALUES, **hand.TERM_VALUES}


def contract_of(task: str) -> Contract:
    """The contract of a task; those of the hand may have `_touch` and `_relative` after their names.

    Raises:
        UnknownNameError: no such task; the message lists those there are.
    """
    contract = CONTRACTS.get(task) or HAND_OPTIONS.get(task)
    if contract is None:
        raise UnknownNameError("task", task, CONTRACTS)
    return contract


def observation(contract: Contract, state: State) -> Array:
    """Assemble the observation of `state`, shape (..., observation_size).

    Raises:
        ValueError: `state` lacks something that the contract needs.
    """
    values = [_TERM_VALUES[term.name](contract, state) for term in contract.observation]
    return arrays.namespace(values[0]).concatenate(values, axis=-1)


def achieved_goal(contract: Contract, state: State) -> Array:
    """What `state` has achieved, in the same units and frame as the desired goal, shape (..., goal_size)."""
    return _TERM_VALUES[contract.goal.name](contract, state)
