"""When a goal is reached, and what is missing to it: the same for simulation, hindsight and a robot.

Goals have shape (..., goal_size) and may be of many states at once. They are NumPy arrays or PyTorch tensors.
"""

from dataclasses import replace

from her_robot import arrays, rotations
from her_robot.arrays import Array
from her_robot.contract.fetch import FetchContract
from her_robot.contract.hand import HandObjectContract
from her_robot.contract.terms import Contract


def goal_distance(contract: Contract, achieved: Array, desired: Array) -> Array:
    """Distance between two goals, shape (...) [contract.distance_unit].

    Of positions it is the Euclidean distance [m]; of orientations the angle between them [rad]; of poses the larger of
    the two, each as a multiple of what is still a success.
    """
    if not isinstance(contract, HandObjectContract):
        return _norm(achieved - desired)
    position, angle = pose_distances(contract, achieved, desired)
    if not contract.position_counts:
        return angle
    return arrays.namespace(angle).maximum(position / contract.success_distance, angle / contract.success_angle)


def pose_distances(contract: HandObjectContract, achieved: Array, desired: Array) -> tuple[Array, Array]:
    """How far two poses (..., 7) are apart, in position (...) [m] and in orientation (...) [rad].

    What the task does not ask for is left out: the position, or the rotation about the object's own z axis
    (Gymnasium-Robotics, `manipulate.py`, `_goal_distance`).
    """
    position = _norm(achieved[..., :3] - desired[..., :3])
    first, second = achieved[..., 3:], desired[..., 3:]
    if contract.ignores_z_rotation:
        euler, wanted = (rotations.euler_from_quaternion(quaternion) for quaternion in (first, second))
        first = rotations.from_euler(euler[..., 0], euler[..., 1], wanted[..., 2])
    angle = rotations.angle_between(first, second)
    return (position if contract.position_counts else 0.0 * position), angle


def is_success(contract: Contract, achieved: Array, desired: Array) -> Array:
    """Whether each achieved goal is near enough to the desired one, boolean of shape (...)."""
    if not isinstance(contract, HandObjectContract):
        return goal_distance(contract, achieved, desired) < contract.success_distance
    position, angle = pose_distances(contract, achieved, desired)
    return (position < contract.success_distance) & (angle < contract.success_angle)


def is_missed(contract: Contract, achieved: Array, desired: Array) -> Array:
    """Whether the sparse reward is -1, boolean of shape (...).

    Gymnasium-Robotics rewards a position at exactly the success distance, and does not call it a success.
    """
    if not isinstance(contract, HandObjectContract):
        return goal_distance(contract, achieved, desired) > contract.success_distance
    return ~is_success(contract, achieved, desired)


def sparse_reward(contract: Contract, achieved: Array, desired: Array) -> Array:
    """0 where the goal is reached and -1 where it is not, float32 of shape (...)."""
    return -arrays.to_float32(is_missed(contract, achieved, desired))


def with_tolerance(contract: Contract, share: float) -> Contract:
    """A contract by which a goal is reached only within `share` of the distance, and of the angle, that it asks for."""
    nearer: dict[str, float] = {"success_distance": share * contract.success_distance}
    if isinstance(contract, HandObjectContract):
        nearer["success_angle"] = share * contract.success_angle
    return replace(contract, **nearer)


def goal_difference(contract: Contract, achieved: Array, desired: Array) -> Array:
    """What is missing to the goal, as the policy sees it, shape (..., goal_size).

    Of positions it is desired less achieved [m]. Of poses it is that, and the rotation that is yet to be made, in the
    world's axes, as a quaternion. Its sign tells which way round the goal is reached (see `rotations.angle_between`).
    Where the rotation about the object's own z axis does not count, it is the shortest that brings that axis there.
    """
    if not isinstance(contract, HandObjectContract):
        return desired - achieved
    first, second = achieved[..., 3:], desired[..., 3:]
    if contract.ignores_z_rotation:
        second = rotations.without_twist(first, second)
    rotation = rotations.multiply(second, rotations.conjugate(first))
    return arrays.namespace(desired).concatenate([desired[..., :3] - achieved[..., :3], rotation], -1)


def goal_between(contract: Contract, achieved: Array, desired: Array, share: Array) -> Array:
    """Goals on the way from what is achieved to what is desired, (..., goal_size).

    Positions lie on the straight line, orientations on the rotation that is yet to be made, the way round that its sign
    tells (see `rotations.angle_between`).

    Args:
        contract: of the task.
        achieved: (..., goal_size).
        desired: (..., goal_size).
        share: of the way, 0 to 1, (...).
    """
    xp = arrays.namespace(achieved)
    between = achieved + share[..., None] * (desired - achieved)
    if isinstance(contract, HandObjectContract):
        rotation = goal_difference(contract, achieved, desired)[..., 3:]
        half = xp.arccos(xp.clip(rotation[..., 0], -1.0, 1.0))
        part = rotations.from_axis_angle(_axis(rotation), 2.0 * share * half)
        between[..., 3:] = rotations.multiply(part, achieved[..., 3:])
    return between


def waypoint(contract: Contract, achieved: Array, desired: Array, reach: float) -> Array:
    """The desired goal, or, where it is farther away than that, what lies on the way to it, (..., goal_size).

    Args:
        contract: of the task.
        achieved: (..., goal_size).
        desired: (..., goal_size).
        reach: how far away the waypoint is at most, as a multiple of what is still a success.
    """
    xp = arrays.namespace(achieved)
    distance = goal_distance(contract, achieved, desired) / _tolerance(contract)
    far = distance > reach
    between = goal_between(contract, achieved, desired, xp.where(far, reach / xp.clip(distance, reach, None), 1.0))
    return xp.where(far[..., None], between, desired)


def is_lost(contract: Contract, achieved: Array) -> Array:
    """Whether the object has fallen off what it was on, boolean (...): its centre is below the table that it stood on,
    or below the palm."""
    if isinstance(contract, FetchContract) and contract.table_height is not None:
        return achieved[..., 2] < contract.table_height
    if isinstance(contract, HandObjectContract):
        return achieved[..., 2] < contract.lost_height
    return arrays.namespace(achieved).zeros_like(achieved[..., 0], dtype=bool)


def _tolerance(contract: Contract) -> float:
    """The distance below which a goal is reached [contract.distance_unit]."""
    if not isinstance(contract, HandObjectContract):
        return contract.success_distance
    return 1.0 if contract.position_counts else contract.success_angle


def _axis(quaternion: Array) -> Array:
    """Axes (..., 3) of rotations, z where there is none."""
    axis, xp = quaternion[..., 1:], arrays.namespace(quaternion)
    return xp.where(xp.linalg.norm(axis, axis=-1, keepdims=True) > 0.0, axis, arrays.like(axis, [0.0, 0.0, 1.0]))


def _norm(vectors: Array) -> Array:
    return (vectors * vectors).sum(-1) ** 0.5
