"""From a stream of sampled positions to a state with velocities.

The same estimators run on the robot and inside randomised training, so a policy is trained on the delays and the noise
of the very filter that it will be deployed with. Everything is batched: row i of an array belongs to robot i, and a
deployed robot is a batch of one.
"""

from dataclasses import dataclass

import numpy as np

from her_robot.contract import ObjectState


@dataclass(frozen=True)
class TrackerConfig:
    """How `PoseTracker` holds poses and estimates velocities."""

    velocity_time_constant: float = 0.05
    """Time constant of the low pass on finite-difference velocities [s]."""
    velocity_timeout: float = 0.2
    """Velocities are taken as zero when the newest pose is older than this [s]."""
    carry_after: float = 0.1
    """An object that has not been seen for this long is carried along by the gripper where it is in the way [s]."""
    object_half_size: float = 0.025
    """Half the edge of the object [m]."""
    gripper_half_size: float = 0.014
    """Half the width of the closed fingers [m]."""
    finger_reach: float = 0.0185
    """How far the fingers reach below the grip position [m]."""


class PoseTracker:
    """Holds the newest pose of each object and estimates its velocities by filtered finite differences.

    The gripper that pushes an object often stands between it and the camera. An object that is not seen cannot be
    inside the gripper: `carry` moves its held pose out of the way of the fingers, as a quasi-static push does.
    """

    def __init__(self, batch_size: int = 1, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._seen_time = np.full(batch_size, -np.inf)
        self._time = np.full(batch_size, -np.inf)
        self._position = np.zeros((batch_size, 3))
        self._rotation = np.tile(np.eye(3), (batch_size, 1, 1))
        self._velocity = np.zeros((batch_size, 3))
        self._angular_velocity = np.zeros((batch_size, 3))

    def reset(self, rows: np.ndarray | None = None) -> None:
        """Forget all poses, or those of the given rows (integer indices or a boolean mask)."""
        rows = np.arange(self._time.size) if rows is None else rows
        self._seen_time[rows] = -np.inf
        self._time[rows] = -np.inf
        self._velocity[rows] = 0.0
        self._angular_velocity[rows] = 0.0

    def update(self, seen: np.ndarray, time: np.ndarray, position: np.ndarray, rotation: np.ndarray) -> None:
        """Take in new poses.

        Args:
            seen: rows that have a new pose, boolean (n,). Poses not newer than the last one seen are ignored.
            time: acquisition time (n,) [s].
            position: world frame (n, 3) [m].
            rotation: object to world (n, 3, 3).
        """
        rows = np.flatnonzero(seen & (time > self._seen_time))
        # A pose that was carried meanwhile may be newer than the image: what is seen is believed all the same.
        self._advance(rows, np.maximum(time, self._time)[rows], position[rows], rotation[rows])
        self._seen_time[rows] = time[rows]

    def carry(self, now: np.ndarray | float, grip_position: np.ndarray) -> None:
        """Move unseen objects out of the gripper, along the object's axis that they overlap least on.

        Args:
            now: present time, (n,) or one for all [s].
            grip_position: point between the fingers, world frame (n, 3) [m].
        """
        config = self._config
        now = np.broadcast_to(now, self._time.shape)
        relative = grip_position - self._position
        low_enough = relative[:, 2] - config.finger_reach < config.object_half_size
        local = np.einsum("nji,nj->ni", self._rotation, relative)[:, :2]
        overlap = config.object_half_size + config.gripper_half_size - np.abs(local)
        unseen = np.isfinite(self._time) & (self.age(now) > config.carry_after)
        rows = np.flatnonzero(unseen & low_enough & (overlap > 0).all(axis=1) & (now > self._time))
        axis = overlap[rows].argmin(axis=1)
        shift = np.zeros((rows.size, 3))
        shift[np.arange(rows.size), axis] = -np.copysign(overlap[rows, axis], local[rows, axis])
        moved = self._position[rows] + np.einsum("nij,nj->ni", self._rotation[rows], shift)
        self._advance(rows, now[rows], moved, self._rotation[rows])

    def age(self, now: np.ndarray | float) -> np.ndarray:
        """Time since the object was last seen, (n,) [s]; infinite before the first."""
        return now - self._seen_time

    def state(self, now: np.ndarray | float) -> ObjectState:
        """Newest poses (held, not extrapolated) and velocities, world frame."""
        fresh = (now - self._time <= self._config.velocity_timeout)[:, None]
        return ObjectState(
            position=self._position.copy(),
            rotation=self._rotation.copy(),
            velocity=np.where(fresh, self._velocity, 0.0),
            angular_velocity=np.where(fresh, self._angular_velocity, 0.0),
        )

    def _advance(self, rows: np.ndarray, time: np.ndarray, position: np.ndarray, rotation: np.ndarray) -> None:
        """Set the poses of `rows`, and update their velocities where time has passed."""
        elapsed = time - self._time[rows]
        moved = np.isfinite(elapsed) & (elapsed > 0)
        again, interval = rows[moved], elapsed[moved, None]
        gain = 1.0 - np.exp(-interval / self._config.velocity_time_constant)
        velocity = (position[moved] - self._position[again]) / interval
        turned = rotation[moved] @ self._rotation[again].transpose(0, 2, 1)
        self._velocity[again] += gain * (velocity - self._velocity[again])
        self._angular_velocity[again] += gain * (_rotation_vector(turned) / interval - self._angular_velocity[again])
        first = rows[~np.isfinite(elapsed)]
        self._velocity[first] = 0.0
        self._angular_velocity[first] = 0.0
        self._time[rows] = time
        self._position[rows] = position
        self._rotation[rows] = rotation


class VelocityFilter:
    """Velocity of sampled positions: finite differences through a first-order low pass."""

    def __init__(self, time_constant: float = 0.02) -> None:
        self._time_constant = time_constant
        self._time: float | None = None
        self._position = np.zeros(0)
        self._velocity = np.zeros(0)

    def reset(self) -> None:
        """Forget the past; the next velocity is zero."""
        self._time = None

    def update(self, time: float, position: np.ndarray) -> np.ndarray:
        """Velocity after a new sample, in units of `position` per second, same shape."""
        if self._time is None:
            self._velocity = np.zeros_like(position, dtype=np.float64)
        elif time > self._time:
            elapsed = time - self._time
            gain = 1.0 - np.exp(-elapsed / self._time_constant)
            self._velocity = self._velocity + gain * ((position - self._position) / elapsed - self._velocity)
        else:
            return self._velocity.copy()
        self._time, self._position = time, np.array(position, dtype=np.float64)
        return self._velocity.copy()


def _rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle of rotation matrices (n, 3, 3), shape (n, 3) [rad]; exact for angles below pi."""
    skew = rotation - rotation.transpose(0, 2, 1)
    axis_sin = 0.5 * np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=-1)
    sin = np.linalg.norm(axis_sin, axis=-1)
    cos = 0.5 * (np.trace(rotation, axis1=1, axis2=2) - 1.0)
    scale = np.where(sin > 1e-9, np.arctan2(sin, cos) / np.maximum(sin, 1e-9), 1.0)
    return axis_sin * scale[:, None]
