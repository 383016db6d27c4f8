"""What an observation is about to be, when what has been commanded takes effect: for those in training who may know it.

What is under way decides what an action is good for, as much as what is there (Katsikopoulos and Engelbrecht 2003,
"Markov decision processes with delays and asynchronous cost collection"). Arrays are NumPy's or PyTorch's.
"""

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.contract import FetchContract, term_slice

HELD_GAP = 0.0525
"""With a smaller gap, fingers around the object hold it [m]."""
_BETWEEN_FINGERS = 0.03
"""A held object's centre is within this of the point between the fingers, in each axis [m]."""
_ANTICIPATED = 0.35
"""Part of a commanded displacement that is counted as made already. The weld drags the gripper by 0.65 of it; but with
about half of that a scripted guide does best under delay (measured in push, and pick and place, at 0.12 s)."""


def anticipate(contract: FetchContract, observation: Array, under_way: Array) -> Array:
    """Observations with the gripper, and what it holds, ahead of where they are.

    Args:
        contract: of the task.
        observation: of perfect sensors (n, observation_size).
        under_way: what has been commanded and has not taken effect, (n, 3) in units of the action.
    """
    xp = arrays.namespace(observation)
    ahead, way = arrays.copy(observation), _ANTICIPATED * contract.action_scale * under_way
    ahead[:, term_slice(contract, "grip_pos")] += way
    if contract.has_object:
        relative = term_slice(contract, "object_rel_pos")
        held = _is_held(contract, observation)[:, None]
        ahead[:, term_slice(contract, "object_pos")] += xp.where(held, way, 0.0)
        ahead[:, relative] -= xp.where(held, 0.0, way)
    return ahead


def _is_held(contract: FetchContract, observation: Array) -> Array:
    """Whether the fingers hold the object, boolean (n,)."""
    xp = arrays.namespace(observation)
    if contract.gripper_blocked:
        return xp.zeros_like(observation[:, 0], dtype=bool)
    gap = observation[:, term_slice(contract, "gripper_state")].sum(axis=1)
    between = xp.abs(observation[:, term_slice(contract, "object_rel_pos")]) < _BETWEEN_FINGERS
    return (gap < HELD_GAP) & between.all(axis=1)
