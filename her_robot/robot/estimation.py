"""From a stream of sampled positions to a state with velocities.

The same estimators run on the robot and inside randomised training, so a policy is trained on the delays and the noise
of the very filter that it will be deployed with. Everything is batched: row i of an array belongs to robot i, and a
deployed robot is a batch of one. `PoseTracker` computes with NumPy arrays or with PyTorch tensors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array
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
    finger_thickness: float = 0.014
    """Of one finger, along the direction in which it moves [m]."""
    closed_gap: float = 0.01
    """With a smaller gap, the fingers are one body [m]."""
    held_gap: tuple[float, float] = (0.040, 0.052)
    """An object between the fingers is held where the measured gap is within this [m]. Fingers that touch measure 0 and
    are 2 mm apart, and an object of 50 mm gives way a little."""
    slip: float = 0.005
    """A held object is believed to have moved in the fingers by at most this from one image to the next, along each
    axis [m]: fingers and goal tile cover parts of it, and what is left may be misread."""


class PoseTracker:
    """Holds the newest pose of each object and estimates its velocities by filtered finite differences.

    The gripper that moves an object often stands between it and the camera, and images are late. `carry` makes good for
    both: an object between fingers that are closed on it goes where they go, seen or not, and one that has not been
    seen for a while cannot be inside a finger. The fingers point down and open along the world's y.
    """

    def __init__(self, batch_size: int = 1, config: TrackerConfig | None = None, xp: Any = np) -> None:
        self._config, self._xp = config or TrackerConfig(), xp
        never = (batch_size,), -np.inf
        self._seen_time = xp.full(*never)
        self._held_time = xp.full(*never)
        self._held = xp.zeros(batch_size, dtype=bool)
        self._held_since = xp.full(*never)
        self._offset = xp.zeros((batch_size, 3))
        self._grip = _GripHistory(batch_size, xp)
        self._time = xp.full(*never)
        self._position = xp.zeros((batch_size, 3))
        self._rotation = xp.tile(xp.eye(3), (batch_size, 1, 1))
        self._velocity = xp.zeros((batch_size, 3))
        self._angular_velocity = xp.zeros((batch_size, 3))

    def reset(self, rows: Array | None = None) -> None:
        """Forget all poses, or those of the given rows (integer indices or a boolean mask)."""
        rows = slice(None) if rows is None else rows
        self._seen_time[rows] = self._held_time[rows] = -np.inf
        self._held[rows] = False
        self._grip.reset(rows)
        self._time[rows] = -np.inf
        self._velocity[rows] = 0.0
        self._angular_velocity[rows] = 0.0

    def update(self, seen: Array, time: Array, position: Array, rotation: Array) -> None:
        """Take in new poses.

        Args:
            seen: rows that have a new pose, boolean (n,). Poses not newer than the last one seen are ignored.
            time: acquisition time (n,) [s].
            position: world frame (n, 3) [m].
            rotation: object to world (n, 3, 3).
        """
        xp = self._xp
        rows = arrays.indices(seen & (time > self._seen_time))
        if not len(rows):
            return
        present = arrays.copy(position)
        held = rows[self._held[rows]]
        if len(held):
            # What is held has moved along since the image was taken.
            taken = xp.maximum(time, self._held_since)[held]
            moved = position[held] - self._grip.at(held, taken) - self._offset[held]
            self._offset[held] += xp.clip(moved, -self._config.slip, self._config.slip)
            present[held] = self._grip.newest(held) + self._offset[held]
        # A pose that was carried meanwhile may be newer than the image: what is seen is believed all the same.
        self._advance(rows, xp.maximum(time, self._time)[rows], present[rows], rotation[rows])
        self._seen_time[rows] = time[rows]

    def carry(self, now: Array, grip_position: Array, gap: Array = 0.0) -> None:
        """Move objects along with fingers that hold them, and unseen ones out of fingers that push them.

        Args:
            now: present time, (n,) or one for all [s].
            grip_position: point between the fingers, world frame (n, 3) [m].
            gap: measured distance between the fingers, (n,) or one for all [m].
        """
        config, xp = self._config, self._xp
        now, gap = (xp.broadcast_to(arrays.like(self._time, value), self._time.shape) for value in (now, gap))
        self._grip.add(now, grip_position)
        relative = grip_position - self._position
        known = xp.isfinite(self._time) & (now >= self._time)
        before, inside = self._held, xp.where(self._held[:, None], self._offset, relative)
        self._held = (gap > config.held_gap[0]) & (gap < config.held_gap[1]) & known
        self._held &= (xp.abs(inside) < arrays.like(inside, self._reach_of_grip())).all(axis=1)
        new = arrays.indices(self._held & ~before)
        self._held_since[new], self._offset[new] = now[new], -relative[new]
        held = arrays.indices(self._held)
        self._held_time[held] = now[held]
        self._advance(held, now[held], grip_position[held] + self._offset[held], self._rotation[held])
        low_enough = relative[:, 2] - config.finger_reach < config.object_half_size
        unseen = known & ~self._held & (now > self._time) & (self.age(now) > config.carry_after)
        self._push(arrays.indices(unseen & low_enough), now, grip_position, gap)

    @property
    def holding_gap(self) -> float:
        """Fingers with a smaller gap may hold an object [m]."""
        return self._config.held_gap[1]

    def _reach_of_grip(self) -> Array:
        """How far from the grip position, along x, y and z (3,) [m], the centre of a held object can be."""
        half = self._config.object_half_size
        return np.array([half + self._config.gripper_half_size / 2, half, half + self._config.finger_reach])

    def _push(self, rows: Array, now: Array, grip_position: Array, gap: Array) -> None:
        """Move objects out of the fingers, along the object's axis that they overlap least on."""
        config = self._config
        closed = gap[rows] < config.closed_gap
        self._push_out(rows[closed], now, grip_position[rows[closed]], config.gripper_half_size)
        apart = rows[~closed]
        for side in (-0.5, 0.5):
            middle = self._xp.zeros_like(grip_position[apart])
            middle[:, 1] = side * (gap[apart] + config.finger_thickness)
            self._push_out(apart, now, grip_position[apart] + middle, config.finger_thickness / 2)

    def _push_out(self, rows: Array, now: Array, finger_position: Array, half_thickness: float) -> None:
        """Move the objects of `rows` (k,) out of one body at (k, 3) [m], `half_thickness` [m] along the gap."""
        if not len(rows):
            return
        config, xp = self._config, self._xp
        local = xp.einsum("nji,nj->ni", self._rotation[rows], finger_position - self._position[rows])[:, :2]
        thickness = arrays.like(local, [config.gripper_half_size, half_thickness])
        overlap = config.object_half_size + thickness - xp.abs(local)
        hit = (overlap > 0).all(axis=1)
        rows, local, overlap = rows[hit], local[hit], overlap[hit]
        if not len(rows):
            return
        axis, k = overlap.argmin(axis=1), xp.arange(len(rows))
        shift = xp.zeros_like(self._position[rows])
        shift[k, axis] = -xp.copysign(overlap[k, axis], local[k, axis])
        moved = self._position[rows] + xp.einsum("nij,nj->ni", self._rotation[rows], shift)
        self._advance(rows, now[rows], moved, self._rotation[rows])

    def age(self, now: Array | float) -> Array:
        """Time since the object was last seen, (n,) [s]; infinite before the first."""
        return now - self._seen_time

    def lost_for(self, now: Array | float) -> Array:
        """Time since the object was last seen, or felt between the fingers, (n,) [s]; infinite before the first."""
        return now - self._xp.maximum(self._seen_time, self._held_time)

    def state(self, now: Array | float) -> ObjectState:
        """Newest poses (held, not extrapolated) and velocities, world frame."""
        fresh = (now - self._time <= self._config.velocity_timeout)[:, None]
        return ObjectState(
            position=arrays.copy(self._position),
            rotation=arrays.copy(self._rotation),
            velocity=self._xp.where(fresh, self._velocity, 0.0),
            angular_velocity=self._xp.where(fresh, self._angular_velocity, 0.0),
        )

    def _advance(self, rows: Array, time: Array, position: Array, rotation: Array) -> None:
        """Set the poses of `rows`, and update their velocities where time has passed."""
        if not len(rows):
            return
        elapsed = time - self._time[rows]
        moved = self._xp.isfinite(elapsed) & (elapsed > 0)
        again, interval = rows[moved], elapsed[moved, None]
        gain = 1.0 - self._xp.exp(-interval / self._config.velocity_time_constant)
        velocity = (position[moved] - self._position[again]) / interval
        turned = rotation[moved] @ self._rotation[again].swapaxes(1, 2)
        self._velocity[again] += gain * (velocity - self._velocity[again])
        self._angular_velocity[again] += gain * (_rotation_vector(turned) / interval - self._angular_velocity[again])
        first = rows[~self._xp.isfinite(elapsed)]
        self._velocity[first] = 0.0
        self._angular_velocity[first] = 0.0
        self._time[rows] = time
        self._position[rows] = position
        self._rotation[rows] = rotation


class _GripHistory:
    """Where each gripper was lately: what is seen in an image is to be compared with the time of the image."""

    _LENGTH = 10

    def __init__(self, batch_size: int, xp: Any) -> None:
        self._xp = xp
        self._times = xp.zeros((self._LENGTH, batch_size))
        self._positions = xp.full((self._LENGTH, batch_size, 3), np.nan)

    def reset(self, rows: Array) -> None:
        self._positions[:, rows] = np.nan

    def add(self, now: Array, position: Array) -> None:
        """Positions (n, 3) [m] at times (n,) [s]. Before its first, a gripper is taken to have stood still."""
        xp = self._xp
        first = xp.isnan(self._positions[0, :, 0])
        if first.any():
            self._times[:, first] = now[first] - xp.arange(self._LENGTH)[:, None]
            self._positions[:, first] = position[first]
        if (now > self._times[0]).any():
            self._times = xp.concatenate([now[None], self._times[:-1]])
            self._positions = xp.concatenate([position[None], self._positions[:-1]])

    def newest(self, rows: Array) -> Array:
        """(k, 3) [m]; not a number where there is none."""
        return self._positions[0, rows]

    def at(self, rows: Array, time: Array) -> Array:
        """Positions (k, 3) [m] of some rows at times (k,) [s], between the two nearest; held beyond the ends."""
        times = self._times[:, rows]
        xp = self._xp
        older = xp.clip((times > time).sum(axis=0), 1, self._LENGTH - 1)
        k = xp.arange(len(rows))
        before, after = times[older, k], times[older - 1, k]
        part = xp.clip((time - before) / xp.clip(after - before, 1e-9, None), 0.0, 1.0)[:, None]
        return (1 - part) * self._positions[older, rows] + part * self._positions[older - 1, rows]


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


def _rotation_vector(rotation: Array) -> Array:
    """Axis times angle of rotation matrices (n, 3, 3), shape (n, 3) [rad]; exact for angles below pi."""
    xp = arrays.namespace(rotation)
    skew = rotation - rotation.swapaxes(1, 2)
    axis_sin = 0.5 * xp.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=-1)
    sin = xp.linalg.norm(axis_sin, axis=-1)
    cos = 0.5 * (rotation[:, 0, 0] + rotation[:, 1, 1] + rotation[:, 2, 2] - 1.0)
    scale = xp.where(sin > 1e-9, xp.arctan2(sin, cos) / xp.clip(sin, 1e-9, None), 1.0)
    return axis_sin * scale[:, None]
