"""Following a joint trajectory as ros2_control's `joint_trajectory_controller` does."""

import numpy as np


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
