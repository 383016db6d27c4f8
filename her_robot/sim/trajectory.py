"""Following a joint trajectory as ros2_control's `joint_trajectory_controller` does."""

from collections import deque
from collections.abc import Sequence

import numpy as np

FARTHEST_POINT_S = 60.0
"""A trajectory point farther ahead was timed by another clock."""
ROUNDING = 1e-9
"""Times are sums of decimal fractions: without it, a command would take effect one step of physics later at some times
of the clock than at others [s]."""


class TrajectoryFollower:
    """Interpolates with cubic splines from where the reference is through the points received, then holds the last."""

    def __init__(self, positions: np.ndarray) -> None:
        self._times = np.zeros(1)
        self._positions = positions[None].copy()
        self._velocities = np.zeros((1, positions.size))

    def follow(self, now: float, times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> None:
        """Replace the trajectory.

        Args:
            now: present time [s].
            times: when each point is to be reached, (k,), increasing [s]; points in the past are skipped. A trajectory
                that lies in the past altogether is not followed.
            positions: (k, n) [rad].
            velocities: (k, n) [rad/s].
        """
        here, speed = self.reference(now)
        ahead = times > now
        if not ahead.any():
            return
        self._times = np.concatenate([[now], times[ahead]])
        self._positions = np.concatenate([here[None], positions[ahead]])
        self._velocities = np.concatenate([speed[None], velocities[ahead]])

    def reference(self, now: float) -> tuple[np.ndarray, np.ndarray]:
        """Position (n,) [rad] and velocity (n,) [rad/s] to be at now."""
        if now >= self._times[-1]:
            return self._positions[-1].copy(), np.zeros_like(self._positions[-1])
        index = max(int(np.searchsorted(self._times, now, side="right")) - 1, 0)
        duration = self._times[index + 1] - self._times[index]
        s = (now - self._times[index]) / duration
        p0, p1 = self._positions[index : index + 2]
        m0, m1 = self._velocities[index : index + 2] * duration
        blend = 3 * s**2 - 2 * s**3
        position = p0 + blend * (p1 - p0) + (s**3 - 2 * s**2 + s) * m0 + (s**3 - s**2) * m1
        velocity = (6 * s**2 - 6 * s) * (p0 - p1) + (3 * s**2 - 4 * s + 1) * m0 + (3 * s**2 - 2 * s) * m1
        return position, velocity / duration


class TrajectoryController:
    """Takes trajectories of all its joints, which take effect after a delay. Joints are in the robot's convention."""

    def __init__(self, joint_names: Sequence[str], delay: float) -> None:
        """
        Args:
            joint_names: in the order of `reference`.
            delay: from the arrival of a trajectory to its effect [s].
        """
        self._names, self._delay = tuple(joint_names), delay
        self.start(np.zeros(len(self._names)))

    def start(self, positions: np.ndarray) -> None:
        """Hold positions (n,) [rad], and forget all trajectories."""
        self._follower = TrajectoryFollower(positions)
        self._pending: deque[tuple[float, np.ndarray, np.ndarray, np.ndarray]] = deque()

    def command(
        self, now: float, joint_names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
    ) -> np.ndarray:
        """Follow a trajectory from now on.

        Args:
            now: present time, on the robot's clock [s].
            joint_names: all joints, in any order.
            times: when to be at each point, on the robot's clock, (k,) [s].
            positions: (k, n) [rad].
            velocities: (k, n) [rad/s].

        Returns:
            The last point, where the joints will hold, in the controller's order (n,) [rad].

        Raises:
            ValueError: joints missing or unknown, shapes that do not fit, values not finite, or times that do not
                increase, are over, or cannot be of this clock. The robot goes on as if nothing had come.
        """
        self._check(now, joint_names, times, positions, velocities)
        order = [list(joint_names).index(name) for name in self._names]
        due = now + self._delay
        self._pending.append((due, times + self._delay, positions[:, order], velocities[:, order]))
        return positions[-1, order]

    def advance(self, now: float) -> None:
        """Take up the trajectories that are due."""
        while self._pending and self._pending[0][0] <= now + ROUNDING:
            self._follower.follow(now, *self._pending.popleft()[1:])

    def reference(self, now: float) -> tuple[np.ndarray, np.ndarray]:
        """Position (n,) [rad] and velocity (n,) [rad/s] to be at now."""
        return self._follower.reference(now)

    def _check(
        self, now: float, joint_names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
    ) -> None:
        expected = self._names
        if sorted(joint_names) != sorted(expected):
            raise ValueError(f"joints are {list(joint_names)}; expected all of {list(expected)}, each once")
        shape = (len(times), len(expected))
        if not len(times) or positions.shape != shape or velocities.shape != shape:
            raise ValueError(
                f"{len(times)} points with positions of shape {positions.shape} and velocities of shape "
                f"{velocities.shape}; expected at least one point, and {len(expected)} of each in every point"
            )
        if not (np.isfinite(times).all() and np.isfinite(positions).all() and np.isfinite(velocities).all()):
            raise ValueError("values are not all finite")
        ahead = times - now
        if np.any(np.diff(ahead) <= 0):
            raise ValueError(f"times of points must increase, found {times.tolist()} s")
        if not 0.0 < ahead[-1] <= FARTHEST_POINT_S:
            raise ValueError(
                f"the last point lies {ahead[-1]:.3f} s ahead of the robot's clock; expected above 0 and at most "
                f"{FARTHEST_POINT_S:g} s: late, or timed by another clock"
            )
