"""Objects that look alike from several sides: one description of what is the same to a hand."""

import numpy as np

from her_robot import arrays, rotations
from her_robot.arrays import Array
from her_robot.contract.terms import Contract, term_slice

_TURNS = 72
"""In how many steps a rotation about an axis of revolution is made: 5 degrees each."""


def sides_of(contract: Contract) -> np.ndarray | None:
    """The rotations that take a task's object onto itself, as quaternions (n, 4), each with both signs; None where none
    are known."""
    if contract.task.startswith("hand_block"):
        return cube_rotations()
    return spindle_rotations() if contract.task.startswith(("hand_egg", "hand_pen")) else None


def cube_rotations() -> np.ndarray:
    """The rotations that take a cube onto itself, as unit quaternions (48, 4): each with both signs."""
    units = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    # About the axes through faces, edges and corners: one, two or four parts that differ from 0, alike in size.
    units = units[np.isin(np.count_nonzero(units, axis=1), (1, 2, 4))]
    return units / np.linalg.norm(units, axis=1, keepdims=True)


def spindle_rotations() -> np.ndarray:
    """The rotations that take what is turned about its z axis, and alike from both ends, onto itself: an ellipsoid, a
    capsule. Of the turns about z every fifth degree, and each of them upside down, as unit quaternions (4 * 72, 4)."""
    half = np.arange(2 * _TURNS) * (np.pi / _TURNS)
    cosine, sine, zero = np.cos(half), np.sin(half), np.zeros_like(half)
    upright, upside_down = [cosine, zero, zero, sine], [zero, cosine, sine, zero]
    return np.concatenate([np.stack(upright, axis=-1), np.stack(upside_down, axis=-1)])


def show_nearest_side(contract: Contract, observation: Array, goal: Array, sides: Array) -> tuple[Array, Array]:
    """The same observation and goal with the object's axes named anew, so that they lie as near to the world's as they
    can. What the object has to do, seen from the world, stays the same.

    Args:
        contract: of a task with an object in a hand.
        observation: (..., observation_size).
        goal: (..., goal_size), of as many axes.
        sides: rotations that take the object onto itself, as quaternions (n, 4), each with both signs.

    Returns:
        Observation and goal of the same shapes.
    """
    pose, spin = (term_slice(contract, name) for name in ("object_pose", "object_angular_vel"))
    orientation = observation[..., pose][..., 3:]
    # What is compared is the cosine of half of the angle that would be left.
    side = sides[(orientation @ rotations.conjugate(sides).T).argmax(-1)]
    turn = rotations.to_matrix(side)
    angular_velocity = (observation[..., spin][..., None, :] @ turn)[..., 0, :]
    renamed = rotations.multiply(orientation, side)
    before, between, after = observation[..., : spin.start], observation[..., spin.stop : pose.stop - 4], pose.stop
    seen = [before, angular_velocity, between, renamed, observation[..., after:]]
    wanted = [goal[..., :3], rotations.multiply(goal[..., 3:], side)]
    xp = arrays.namespace(observation)
    return xp.concatenate(seen, -1), xp.concatenate(wanted, -1)
