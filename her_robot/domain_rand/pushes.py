"""Forces that push the object now and then, for a moment, in a horizontal direction.

They stand for what no model has: cables, drafts, a hand. Rows are environments; a nominal row is not pushed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.domain_rand.distribution import Range


@dataclass(frozen=True)
class PushConfig:
    """How often, how hard, how long."""

    rate: Range = Range(0.0, 0.0)
    """Pushes that begin in a second [1/s], drawn every episode."""
    force: Range = Range(1.0, 1.0)
    """[N], drawn for every push. A block of 2 kg with friction 1 begins to slide at 20 N, the puck at 2 N."""
    duration: Range = Range(0.1, 0.1)
    """[s], drawn for every push."""

    def __post_init__(self) -> None:
        for name in ("rate", "force"):
            if getattr(self, name).low < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name).low}")
        if self.duration.low <= 0:
            raise ValueError(f"duration must stay above 0 s, found {self.duration.low}")


class Pushes:
    """The forces on the objects of a batch of environments."""

    def __init__(self, config: PushConfig, num_envs: int, control_period: float, rng: Any, xp: Any = np) -> None:
        self._config, self._rng, self._period = config, rng, control_period
        self._rate = xp.zeros(num_envs)
        self._left = xp.zeros(num_envs)
        self._force = xp.zeros((num_envs, 3))

    @property
    def any(self) -> bool:
        """Whether there are pushes at all."""
        return self._config.rate.high > 0

    def reset(self, row: Any, nominal: Any, config: PushConfig | None = None) -> dict[str, float]:
        """Begin an episode of one row, or of several; returns what was drawn for one.

        Args:
            row: index, or indices (k,).
            nominal: whether it is nominal, or (k,).
            config: what this episode's draws are from: ranges within those of the batch; default: those.
        """
        config = config or self._config
        self._rate[row] = self._left[row] = 0.0
        if not self.any:
            return {}
        if shape := getattr(nominal, "shape", ()):
            rate = config.rate.sample(self._rng, shape)
            self._rate[row] = arrays.namespace(rate).where(nominal, 0.0, rate)
        if shape or nominal:
            return {}
        self._rate[row] = config.rate.sample(self._rng)
        return {"rate": float(self._rate[row])}

    def advance(self) -> Array:
        """The force in the next control period of each row, world frame (num_envs, 3) [N]."""
        config, rng, count, xp = self._config, self._rng, len(self._rate), arrays.namespace(self._rate)
        self._left -= self._period
        begins = (self._left <= 0) & (rng.random(count) < self._rate * self._period)
        angle, force, duration = (
            rng.uniform(-np.pi, np.pi, count),
            config.force.sample(rng, count),
            config.duration.sample(rng, count),
        )
        push = force[:, None] * xp.stack([xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)], axis=1)
        self._left = xp.where(begins, duration, self._left)
        self._force = xp.where(begins[:, None], push, self._force)
        return xp.where(self._left[:, None] > 0, self._force, 0.0)
