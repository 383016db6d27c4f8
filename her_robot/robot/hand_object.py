"""The object in a hand, as it is seen from time to time, in the terms of an observation."""

import mujoco
import numpy as np

from her_robot.contract import HandObjectState
from her_robot.robot.estimation import PoseTracker


class HandObjectTracker:
    """Holds the newest pose of the object, and estimates its velocities as the Fetch's object's are (`PoseTracker`).

    A quaternion and its negative are one orientation, and a policy tells them apart. As in training, w is positive at
    first, and from then on the quaternion goes on where it was.
    """

    def __init__(self) -> None:
        self._tracker = PoseTracker()
        self.reset()

    def reset(self) -> None:
        """Forget the object."""
        self._tracker.reset()
        self._quaternion = np.array([1.0, 0.0, 0.0, 0.0])

    def update(self, time: float, position: np.ndarray, rotation: np.ndarray) -> None:
        """Take in a pose of time `time` [s], world frame: position (3,) [m] and rotation (3, 3). One that is not newer
        than the last is ignored."""
        self._tracker.update(np.array([True]), np.array([time]), position[None], rotation[None])
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, self._tracker.state(time).rotation.ravel())
        self._quaternion = quaternion if quaternion @ self._quaternion >= 0.0 else -quaternion

    def age(self, now: float) -> float:
        """Time since the object was last seen [s]; infinite before the first."""
        return float(self._tracker.age(now)[0])

    def state(self, now: float) -> HandObjectState:
        """Pose and velocities, as an observation has them."""
        seen = self._tracker.state(now)
        return HandObjectState(
            position=seen.position[0],
            quaternion=self._quaternion.copy(),
            velocity=seen.velocity[0],
            angular_velocity=seen.angular_velocity[0] @ seen.rotation[0],
        )
