"""What keeps bad images and bad poses out, and what smooths a thing that stands still. Times in seconds."""

from collections import deque
from collections.abc import Mapping
from typing import Literal

import numpy as np

from her_robot.robot.calibration import HandEye
from her_robot.rotations import turn_between

_DARK = 40
"""If 99 % of an image is below this of 255, markers cannot be read."""
_FLAT = 30
"""An image whose brightness spans less than this of 255 shows nothing."""
_NO_TURN = np.eye(3)
_TimedPose = tuple[float, np.ndarray, np.ndarray]
"""Time [s], position (3,) [m], rotation (3, 3)."""


class StreamCheck:
    """Whether a camera delivers: images of the calibrated size, lit, each newer than the last, not frozen."""

    def __init__(self, width: int, height: int, frozen_after: int) -> None:
        """Expect images of `width` x `height` [px]; one repeated `frozen_after` times, bit for bit, is frozen."""
        self._shapes = ((height, width), (height, width, 3))
        self._frozen_after = frozen_after
        self._time = -np.inf
        self._image = np.zeros(0, np.uint8)
        self._repeats = 0

    def problem(self, image: np.ndarray, time: float) -> str:
        """Why an image acquired at `time` [s] is not to be used, or empty."""
        if image.dtype != np.uint8 or image.shape not in self._shapes:
            return "image not as calibrated"
        if not time > self._time:
            return "image not newer than the last"
        self._repeats = self._repeats + 1 if np.array_equal(image, self._image) else 0
        self._time, self._image = time, image
        if self._repeats >= self._frozen_after:
            return "image frozen"
        sample = image[::8, ::8]
        if np.percentile(sample, 99) < _DARK:
            return "image too dark"
        return "" if np.ptp(sample) >= _FLAT else "image featureless"


def head_problem(hand_eye: HandEye, joint_positions: Mapping[str, float]) -> str:
    """Why the camera is not where it was calibrated, or empty.

    Args:
        hand_eye: the calibration, with the joint positions for which it holds.
        joint_positions: measured positions by joint name [rad or m].
    """
    for name, calibrated in hand_eye.joint_positions.items():
        position = joint_positions.get(name, np.nan)
        if not np.isfinite(position):
            return f"{name} not measured"
        if abs(position - calibrated) > hand_eye.joint_tolerance:
            return f"{name} not as calibrated"
    return ""


class JumpGate:
    """Holds back a pose that is far from the last one, until it repeats."""

    def __init__(
        self, distance: float, speed: float, repeats: int, angle: float = np.pi, turning_speed: float = 0.0
    ) -> None:
        """Allow `distance` [m] plus `speed` [m/s] times the elapsed time, and `angle` [rad] plus `turning_speed`
        [rad/s] times the elapsed time, by default any turn; believe a jump seen `repeats` times."""
        self._distance, self._speed, self._repeats = distance, speed, repeats
        self._angle, self._turning_speed = angle, turning_speed
        self._accepted: _TimedPose | None = None
        self._candidate: _TimedPose | None = None
        self._count = 0

    def judge(
        self, time: float, position: np.ndarray, rotation: np.ndarray = _NO_TURN
    ) -> Literal["accepted", "rejected", "moved"]:
        """Whether to believe a position (3,) [m] and a rotation (3, 3); `moved` is a belief too, in a jump that has
        repeated."""
        pose = (time, position, rotation)
        if self._accepted is None or self._is_near(self._accepted, pose):
            return self._accept(pose, "accepted")
        repeated = self._candidate is not None and self._is_near(self._candidate, pose)
        self._count = self._count + 1 if repeated else 1
        self._candidate = pose
        return self._accept(pose, "moved") if self._count >= self._repeats else "rejected"

    def expects(self, time: float, position: np.ndarray, rotation: np.ndarray) -> bool:
        """Whether a pose is near the last one that was believed; there is none at the beginning."""
        return self._accepted is not None and self._is_near(self._accepted, (time, position, rotation))

    def _accept(self, pose: _TimedPose, verdict: Literal["accepted", "moved"]) -> Literal["accepted", "moved"]:
        self._accepted, self._candidate, self._count = pose, None, 0
        return verdict

    def _is_near(self, last: _TimedPose, pose: _TimedPose) -> bool:
        elapsed = pose[0] - last[0]
        near = np.linalg.norm(pose[1] - last[1]) <= self._distance + self._speed * elapsed
        return bool(near and turn_between(last[2], pose[2]) <= self._angle + self._turning_speed * elapsed)


class StaticFilter:
    """Position of something that stands still: the median of the latest few, then a first-order low pass."""

    def __init__(self, window: int, time_constant: float) -> None:
        """Median of `window` positions; low pass of `time_constant` [s]."""
        self._positions: deque[np.ndarray] = deque(maxlen=window)
        self._time_constant = time_constant
        self.reset()

    def reset(self) -> None:
        """Forget; the next position is taken as it is."""
        self._positions.clear()
        self._time = 0.0
        self._filtered: np.ndarray | None = None

    def update(self, time: float, position: np.ndarray) -> np.ndarray:
        """Filtered position (3,) [m] after one more measurement."""
        self._positions.append(position)
        median = np.median(np.array(self._positions), axis=0)
        last = median if self._filtered is None else self._filtered
        gain = 1.0 - np.exp(-(time - self._time) / self._time_constant)
        filtered = last + gain * (median - last)
        self._time, self._filtered = time, filtered
        return filtered
