"""Rotations as quaternions (w, x, y, z), matrices and Euler angles; numpy, over any leading axes.

Euler angles are about the moving x, y and z axes (R = Rx Ry Rz): MuJoCo's `eulerseq='xyz'`, and the convention of
Gymnasium-Robotics (`utils/rotations.py`).

Arguments are NumPy arrays or PyTorch tensors, where both are allowed.
"""

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array

_GIMBAL_LOCK = 4 * np.finfo(np.float64).eps


def multiply(first: Array, second: Array) -> Array:
    """Products of quaternions (..., 4): the rotation `second`, then `first`."""
    xp = arrays.namespace(first)
    w0, x0, y0, z0 = (first[..., i] for i in range(4))
    w1, x1, y1, z1 = (second[..., i] for i in range(4))
    return xp.stack(
        [
            w0 * w1 - x0 * x1 - y0 * y1 - z0 * z1,
            w0 * x1 + x0 * w1 + y0 * z1 - z0 * y1,
            w0 * y1 + y0 * w1 + z0 * x1 - x0 * z1,
            w0 * z1 + z0 * w1 + x0 * y1 - y0 * x1,
        ],
        -1,
    )


def conjugate(quaternion: Array) -> Array:
    """The inverse rotations of unit quaternions (..., 4)."""
    xp = arrays.namespace(quaternion)
    return xp.concatenate([quaternion[..., :1], -quaternion[..., 1:]], -1)


def angle_between(first: Array, second: Array) -> Array:
    """Angle of the rotation between unit quaternions (..., 4), shape (...) [rad], 0 to 2 pi.

    It tells q from -q: past pi it goes on to 2 pi, where the same orientation is reached with the other sign. That is
    how Gymnasium-Robotics judges a goal (`manipulate.py`, `_goal_distance`).
    """
    xp = arrays.namespace(first)
    product = first * second
    cosine = product[..., 0] + product[..., 1] + product[..., 2] + product[..., 3]
    return 2.0 * xp.arccos(xp.clip(cosine, -1.0, 1.0))


def turn_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles of the rotations between rotation matrices (..., 3, 3), shape (...) [rad], 0 to pi."""
    # Of the chord, and not of the trace, whose cosine knows nothing of small angles.
    chord = np.linalg.norm(first - second, axis=(-2, -1)) / np.sqrt(8.0)
    return 2.0 * np.arcsin(np.clip(chord, 0.0, 1.0))


def without_twist(first: Array, second: Array) -> Array:
    """Of all orientations that differ from `second` by a turn about their own z axis, the one that is nearest to
    `first`: quaternions (..., 4)."""
    xp = arrays.namespace(first)
    between = multiply(conjugate(first), second)
    w, z = between[..., 0], between[..., 3]
    # Upside down, there is no nearest: any will do.
    upside_down = (w * w + z * z)[..., None] < 1e-12
    twist = xp.stack([w, xp.zeros_like(w), xp.zeros_like(w), z], -1)
    twist = xp.where(upside_down, arrays.like(twist, [1.0, 0.0, 0.0, 0.0]), twist)
    twist = twist / xp.linalg.norm(twist, axis=-1, keepdims=True)
    return multiply(second, conjugate(twist))


def from_axis_angle(axis: Array, angle: Array) -> Array:
    """Quaternions (..., 4) of rotations by `angle` (...) [rad] about axes (..., 3) of any length but 0."""
    xp, half = arrays.namespace(axis), arrays.like(axis, angle)[..., None] / 2.0
    vector = xp.sin(half) * (axis / xp.linalg.norm(axis, axis=-1, keepdims=True))
    return xp.concatenate([xp.broadcast_to(xp.cos(half), (*vector.shape[:-1], 1)), vector], axis=-1)


def from_euler(x: Array, y: Array, z: Array) -> Array:
    """Quaternions (..., 4) of Euler angles, each (...) [rad]."""
    xp = arrays.namespace(x)
    (sx, sy, sz), (cx, cy, cz) = ([f(angle / 2.0) for angle in (x, y, z)] for f in (xp.sin, xp.cos))
    return xp.stack(
        [
            cx * cy * cz - sx * sy * sz,
            sx * cy * cz + cx * sy * sz,
            cx * sy * cz - sx * cy * sz,
            cx * cy * sz + sx * sy * cz,
        ],
        -1,
    )


def to_matrix(quaternion: Array) -> Array:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) of any length but 0."""
    xp = arrays.namespace(quaternion)
    scaled = quaternion * (2.0 / (quaternion * quaternion).sum(-1))[..., None]
    (w, x, y, z), (sx, sy, sz) = (quaternion[..., i] for i in range(4)), (scaled[..., i] for i in range(1, 4))
    rows = [
        [1.0 - (y * sy + z * sz), x * sy - w * sz, x * sz + w * sy],
        [x * sy + w * sz, 1.0 - (x * sx + z * sz), y * sz - w * sx],
        [x * sz - w * sy, y * sz + w * sx, 1.0 - (x * sx + y * sy)],
    ]
    return xp.stack([xp.stack(row, -1) for row in rows], -2)


def euler_from_matrix(rotation: Array) -> Array:
    """Euler angles (..., 3) [rad] of rotation matrices (..., 3, 3). In gimbal lock the x angle is set to 0."""
    xp = arrays.namespace(rotation)
    cos_y = xp.hypot(rotation[..., 2, 2], rotation[..., 1, 2])
    regular = cos_y > _GIMBAL_LOCK
    x = xp.where(regular, -xp.arctan2(rotation[..., 1, 2], rotation[..., 2, 2]), 0.0 * cos_y)
    y = -xp.arctan2(-rotation[..., 0, 2], cos_y)
    z = xp.where(
        regular,
        -xp.arctan2(rotation[..., 0, 1], rotation[..., 0, 0]),
        -xp.arctan2(-rotation[..., 1, 0], rotation[..., 1, 1]),
    )
    return xp.stack([x, y, z], -1)


def euler_from_quaternion(quaternion: Array) -> Array:
    """Euler angles (..., 3) [rad] of quaternions (..., 4)."""
    return euler_from_matrix(to_matrix(quaternion))
