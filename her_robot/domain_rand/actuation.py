"""What a real robot does to an action before anything moves: delay, scale, inertia, noise, and slow fingers.

What moves is the Fetch's gripper, or each actuator of the hand. A gripper's opening is the last component of an action;
it goes through the `GripperReference` that runs on the robot, so its speed and its grip are trained
on. Rows are environments. An action of a nominal row passes unchanged.
"""

from dataclasses import dataclass

import numpy as np

from her_robot.contract import CONTROL_PERIOD_S
from her_robot.domain_rand.distribution import Range
from her_robot.robot.gripper import GripperReference

_GAPS = 0.0, 0.1
"""Smallest and largest gap of the simulated fingers [m]."""
_GRIPPER_GAIN = 2.0
"""In simulation an action of 1 asks each of two fingers to move by 1 m."""


@dataclass(frozen=True)
class ActuationConfig:
    """Ranges that are drawn from once an episode; noise is drawn every step."""

    delay_steps: tuple[int, int] = (0, 0)
    """Fewest and most control periods that an action is delayed by."""
    scale: Range = Range(1.0, 1.0)
    """Factor on the action's motion."""
    axis_scale: Range = Range(1.0, 1.0)
    """Further factor on the motion, drawn for each axis or actuator."""
    smoothing: Range = Range(0.0, 0.0)
    """Weight of the previous effective action in a first-order low pass, 0 (none) to below 1."""
    slew_limit: Range = Range(2.0, 2.0)
    """Largest change of the effective action in one control period; 2 is no limit."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise added to the action's motion."""
    finger_speed: Range = Range(5.0, 5.0)
    """Largest speed of a finger [m/s]; those of Gymnasium-Robotics reach 1."""
    grip_lead: Range = Range(0.1, 0.1)
    """The commanded gap stays within this of the measured one [m]; 0.1, the whole range, is no limit."""

    def __post_init__(self) -> None:
        low, high = self.delay_steps
        if not 0 <= low <= high:
            raise ValueError(f"delay_steps {list(self.delay_steps)} must be 0 <= low <= high")
        if not 0.0 <= self.smoothing.low <= self.smoothing.high < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), found [{self.smoothing.low}, {self.smoothing.high}]")
        for name in _POSITIVE:
            if getattr(self, name).low <= 0:
                raise ValueError(f"{name} must stay above 0, found {getattr(self, name).low}")
        if self.noise < 0:
            raise ValueError(f"noise must not be negative, found {self.noise}")


_POSITIVE = ("scale", "axis_scale", "slew_limit", "finger_speed", "grip_lead")


class Actuation:
    """The actuation of a batch of environments."""

    def __init__(
        self,
        config: ActuationConfig,
        num_envs: int,
        rng: np.random.Generator,
        control_period: float = CONTROL_PERIOD_S,
        motion_size: int = 3,
        has_gripper: bool = True,
    ) -> None:
        """
        Args:
            config: what is drawn.
            num_envs: number of rows.
            rng: source of the draws.
            control_period: [s].
            motion_size: how many components of an action move the robot.
            has_gripper: whether a last component opens a gripper.
        """
        self._motion_size = motion_size
        self._config = config
        self._rng = rng
        self._nominal = np.ones(num_envs, bool)
        self._delay = np.zeros(num_envs, int)
        self._scale = np.ones((num_envs, motion_size))
        self._smoothing = np.zeros((num_envs, 1))
        self._slew_limit = np.full((num_envs, 1), 2.0)
        self._pending = np.zeros((config.delay_steps[1] + 1, num_envs, motion_size + has_gripper))
        self._effective = np.zeros((num_envs, motion_size))
        self._gap_speed = np.zeros(num_envs)
        self._grip_lead = np.zeros(num_envs)
        self._gripper = GripperReference(
            *_GAPS, self._gap_speed, self._grip_lead, _GRIPPER_GAIN, control_period, num_envs
        )

    def reset(self, row: int, nominal: bool, finger_position: np.ndarray | None = None) -> None:
        """Begin an episode of one row, whose gripper's fingers, if it has one, are at (2,) [m]."""
        config, rng = self._config, self._rng
        self._nominal[row] = nominal
        self._delay[row] = rng.integers(config.delay_steps[0], config.delay_steps[1] + 1)
        self._scale[row] = config.scale.sample(rng) * config.axis_scale.sample(rng, self._motion_size)
        self._smoothing[row] = config.smoothing.sample(rng)
        self._slew_limit[row] = config.slew_limit.sample(rng)
        if finger_position is not None:
            self._gap_speed[row] = 2 * config.finger_speed.sample(rng)
            self._grip_lead[row] = config.grip_lead.sample(rng)
            self._gripper.start(finger_position.sum(), row)
        self._pending[:, row] = 0.0
        self._effective[row] = 0.0

    def apply(self, actions: np.ndarray, finger_position: np.ndarray | None = None) -> np.ndarray:
        """The action that takes effect in this period, float32 (num_envs, action_size).

        Args:
            actions: what is commanded (num_envs, action_size).
            finger_position: present right and left finger of a gripper (num_envs, 2) [m].
        """
        size = self._motion_size
        self._pending = np.roll(self._pending, 1, axis=0)
        self._pending[0] = np.clip(actions, -1.0, 1.0)
        self._pending[0, :, :size] += self._config.noise * self._rng.standard_normal(self._effective.shape)
        pending = self._pending[self._delay, np.arange(self._delay.size)]
        delayed = pending[:, :size] * self._scale
        smoothed = self._smoothing * self._effective + (1.0 - self._smoothing) * delayed
        change = np.clip(smoothed - self._effective, -self._slew_limit, self._slew_limit)
        self._effective = self._effective + change
        result = np.array(actions, dtype=np.float32)
        randomised = ~self._nominal
        result[randomised, :size] = self._effective[randomised]
        if finger_position is not None:
            measured = finger_position.sum(axis=1)
            gap = self._gripper.advance(pending[:, size], measured)
            result[randomised, size] = ((gap - measured) / _GRIPPER_GAIN)[randomised]
        return result
