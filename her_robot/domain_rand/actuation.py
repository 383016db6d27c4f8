"""What a real robot does to an action before anything moves: delay, scale, inertia, noise, and slow fingers.

What moves is the Fetch's gripper, or each actuator of the hand. A gripper's opening is the last component of an action;
it goes through the `GripperReference` that runs on the robot, so its speed and its grip are trained on. Rows are
environments. An action of a nominal row passes unchanged. Arrays are NumPy's or PyTorch's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.configuration import require_not_negative
from her_robot.contract import CONTROL_PERIOD_S
from her_robot.domain_rand.distribution import Range
from her_robot.errors import ConfigurationError
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
    """Standard deviation of Gaussian noise added to the action's motion, drawn every step."""
    bias: float = 0.0
    """Standard deviation of a constant error added to the action's motion, in each axis, drawn every episode."""
    loss: Range = Range(0.0, 0.0)
    """Probability that a command is lost; the one before it is then repeated."""
    finger_speed: Range = Range(5.0, 5.0)
    """Largest speed of a finger [m/s]; those of Gymnasium-Robotics reach 1."""
    grip_lead: Range = Range(0.1, 0.1)
    """The commanded gap stays within this of the measured one [m]; 0.1, the whole range, is no limit."""
    finger_lag: Range = Range(0.0, 0.0)
    """Time constant of a first-order lag with which the fingers, and their squeeze, follow the commanded gap [s]; 0 is
    none."""

    def __post_init__(self) -> None:
        low, high = self.delay_steps
        if not 0 <= low <= high:
            raise ValueError(f"delay_steps {list(self.delay_steps)} must be 0 <= low <= high")
        if not 0.0 <= self.smoothing.low <= self.smoothing.high < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), found [{self.smoothing.low}, {self.smoothing.high}]")
        for name in _POSITIVE:
            if getattr(self, name).low <= 0:
                raise ValueError(f"{name} must stay above 0, found {getattr(self, name).low}")
        require_not_negative(self, "noise", "bias")
        if not 0.0 <= self.loss.low <= self.loss.high < 1.0:
            raise ValueError(f"loss must lie in [0, 1), found [{self.loss.low}, {self.loss.high}]")
        if self.finger_lag.low < 0:
            raise ValueError(f"finger_lag must not be below 0, found {self.finger_lag.low}")


_OF_A_GRIPPER = ("finger_speed", "grip_lead", "finger_lag")
_POSITIVE = ("scale", "axis_scale", "slew_limit", "finger_speed", "grip_lead")


class Actuation:
    """The actuation of a batch of environments."""

    def __init__(
        self,
        config: ActuationConfig,
        num_envs: int,
        rng: Any,
        control_period: float = CONTROL_PERIOD_S,
        motion_size: int = 3,
        has_gripper: bool = True,
        xp: Any = np,
    ) -> None:
        """
        Args:
            config: what is drawn.
            num_envs: number of rows.
            rng: source of the draws.
            control_period: [s].
            motion_size: how many components of an action move the robot.
            has_gripper: whether a last component opens a gripper.
            xp: numpy or torch.

        Raises:
            ConfigurationError: the configuration asks for fingers of a gripper that there is not.
        """
        for name in () if has_gripper else _OF_A_GRIPPER:
            if getattr(config, name) != getattr(ActuationConfig(), name):
                raise ConfigurationError(f"actuation: {name} is of a gripper; a hand has none")
        self._motion_size = motion_size
        self._config, self._rng, self._xp = config, rng, xp
        self._nominal = xp.ones(num_envs, dtype=bool)
        self._delay = xp.zeros(num_envs, dtype=int)
        self._scale = xp.ones((num_envs, motion_size))
        self._smoothing = xp.zeros((num_envs, 1))
        self._slew_limit = xp.full((num_envs, 1), 2.0)
        self._bias = xp.zeros((num_envs, motion_size))
        self._loss = xp.zeros(num_envs)
        self._pending = xp.zeros((config.delay_steps[1] + 1, num_envs, motion_size + has_gripper))
        self._effective = xp.zeros((num_envs, motion_size))
        self._gap_speed = xp.zeros(num_envs)
        self._grip_lead = xp.zeros(num_envs)
        self._finger_lag = xp.zeros(num_envs)
        self._followed = xp.zeros(num_envs)
        """The gap that the fingers aim at: the commanded one, after their lag [m]."""
        self._control_period = control_period
        self._gripper = GripperReference(
            *_GAPS, self._gap_speed, self._grip_lead, _GRIPPER_GAIN, control_period, num_envs, xp
        )

    def reset(
        self,
        row: Any,
        nominal: Any,
        finger_position: Array | None = None,
        config: ActuationConfig | None = None,
    ) -> dict[str, Any]:
        """Begin an episode of one row, or of several.

        Args:
            row: index, or indices (k,).
            nominal: whether it is nominal, or (k,).
            finger_position: right and left finger (2,), or (k, 2) [m], of a robot with a gripper.
            config: what this episode's draws are from: ranges within those of the batch; default: those.

        Returns:
            What was drawn, by field; nothing for a nominal row, and for several.
        """
        config, rng, shape = config or self._config, self._rng, tuple(getattr(nominal, "shape", ()))
        self._nominal[row] = nominal
        self._delay[row] = rng.integers(config.delay_steps[0], config.delay_steps[1] + 1, shape)
        scale = config.scale.sample(rng, (*shape, 1))
        axis_scale = config.axis_scale.sample(rng, (*shape, self._motion_size))
        self._scale[row] = scale * axis_scale
        self._smoothing[row] = config.smoothing.sample(rng, (*shape, 1))
        self._slew_limit[row] = config.slew_limit.sample(rng, (*shape, 1))
        if finger_position is not None:
            self._gap_speed[row] = 2 * config.finger_speed.sample(rng, shape)
            self._grip_lead[row] = config.grip_lead.sample(rng, shape)
        # What is off draws nothing: presets made before it was there keep their draws.
        self._bias[row] = rng.normal(0.0, config.bias, (*shape, self._motion_size)) if config.bias else 0.0
        self._loss[row] = config.loss.sample(rng, shape) if config.loss.high else 0.0
        if finger_position is not None:
            self._finger_lag[row] = config.finger_lag.sample(rng, shape) if config.finger_lag.high else 0.0
            self._gripper.start(finger_position.sum(axis=-1), row)
            self._followed[row] = self._gripper.gap[row]
        self._pending[:, row] = 0.0
        self._effective[row] = 0.0
        if shape or nominal:
            return {}
        return {"scale": float(scale[0]), "axis_scale": axis_scale.tolist()} | self._drawn(row)

    def under_way(self) -> Array:
        """What has been commanded and has not yet taken effect, summed over the periods to come.

        Waiting actions, and how far a gripper that is told nothing more would still go on, (num_envs, motion_size), in
        units of the action.
        """
        xp = self._xp
        waits = 1.0 * (xp.arange(len(self._pending))[:, None] < self._delay)
        waiting = xp.einsum("pni,pn->ni", self._pending[:, :, : self._motion_size], waits) * self._scale
        smoothed = self._effective * self._smoothing / (1.0 - self._smoothing)
        periods = xp.floor(xp.abs(self._effective) / self._slew_limit)
        braked = self._effective * periods - xp.sign(self._effective) * self._slew_limit * periods * (periods + 1) / 2.0
        going_on = xp.where(xp.abs(braked) > xp.abs(smoothed), braked, smoothed)
        return xp.where(self._nominal[:, None], 0.0, waiting + going_on)

    def apply(self, actions: Array, finger_position: Array | None = None) -> Array:
        """The action that takes effect in this period, float32 (num_envs, action_size).

        Args:
            actions: what is commanded (num_envs, action_size).
            finger_position: present right and left finger of a gripper (num_envs, 2) [m].
        """
        xp, size, last = self._xp, self._motion_size, self._pending[0]
        self._pending = xp.roll(self._pending, 1, 0)
        self._pending[0] = xp.clip(actions, -1.0, 1.0)
        self._pending[0, :, :size] += self._config.noise * self._rng.standard_normal(self._effective.shape)
        self._pending[0, :, :size] += self._bias
        if self._config.loss.high:
            lost = self._rng.random(len(self._loss)) < self._loss
            self._pending[0, lost] = last[lost]
        pending = self._pending[self._delay, xp.arange(len(self._delay))]
        delayed = pending[:, :size] * self._scale
        smoothed = self._smoothing * self._effective + (1.0 - self._smoothing) * delayed
        change = xp.clip(smoothed - self._effective, -self._slew_limit, self._slew_limit)
        self._effective = self._effective + change
        result = arrays.copy(arrays.to_float32(actions))
        randomised = ~self._nominal
        result[randomised, :size] = arrays.to_float32(self._effective[randomised])
        if finger_position is not None:
            measured = finger_position.sum(axis=1)
            gap = self._gripper.advance(pending[:, size], measured)
            kept = xp.exp(-self._control_period / xp.clip(self._finger_lag, 1e-9, None))
            self._followed = gap + kept * (self._followed - gap)
            result[randomised, size] = arrays.to_float32(((self._followed - measured) / _GRIPPER_GAIN)[randomised])
        return result

    def _drawn(self, row: int) -> dict[str, Any]:
        return {
            "delay_steps": int(self._delay[row]),
            "smoothing": float(self._smoothing[row, 0]),
            "slew_limit": float(self._slew_limit[row, 0]),
            "bias": self._bias[row].tolist(),
            "loss": float(self._loss[row]),
            "finger_speed": float(self._gap_speed[row] / 2),
            "grip_lead": float(self._grip_lead[row]),
            "finger_lag": float(self._finger_lag[row]),
        }
