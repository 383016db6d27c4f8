"""Control periods that last longer than they should, as on a computer that does other things too.

Each lasts longer by a time that is drawn from an exponential distribution every step, whose rate is drawn every episode
(Peng et al. 2017, arXiv 1710.06537, section V). Physics goes on in its own steps; what is left over of one counts
towards the next period, so that no time is lost. Rows are environments; a nominal row keeps its period.
"""

from dataclasses import dataclass

import numpy as np

from her_robot.domain_rand.distribution import Range


@dataclass(frozen=True)
class TimingConfig:
    """How punctual control is."""

    lateness_rate: Range | None = None
    """Rate of the exponential distribution [1/s]: a period is longer by its inverse in the mean. Default: punctual."""

    def __post_init__(self) -> None:
        if self.lateness_rate is not None and self.lateness_rate.low <= 0:
            raise ValueError(f"lateness_rate must stay above 0 1/s, found {self.lateness_rate.low}")


class Timing:
    """The control periods of a batch of environments."""

    def __init__(
        self, config: TimingConfig, num_envs: int, substeps: int, timestep: float, rng: np.random.Generator
    ) -> None:
        """
        Args:
            config: how punctual.
            num_envs: number of rows.
            substeps: physics steps in a punctual control period.
            timestep: of physics [s].
            rng: source of the draws.
        """
        self._config, self._rng = config, rng
        self._substeps, self._timestep = substeps, timestep
        self._mean = np.zeros(num_envs)
        self._left = np.zeros(num_envs)

    def reset(self, row: int, nominal: bool, config: TimingConfig | None = None) -> dict[str, float]:
        """Begin an episode of one row; returns what was drawn.

        Args:
            row: index.
            nominal: whether it is nominal.
            config: what this episode's draws are from: ranges within those of the batch; default: those.
        """
        config = config or self._config
        self._mean[row] = self._left[row] = 0.0
        if config.lateness_rate is None or nominal:
            return {}
        rate = float(config.lateness_rate.sample(self._rng))
        self._mean[row] = 1.0 / rate
        return {"lateness_rate": rate}

    def advance(self) -> np.ndarray:
        """Physics steps in the next control period of each row, int (num_envs,)."""
        if self._config.lateness_rate is None:
            return np.full(self._mean.size, self._substeps)
        late = self._mean * self._rng.standard_exponential(self._mean.size)
        self._left += late / self._timestep
        extra = np.floor(self._left).astype(int)
        self._left -= extra
        return self._substeps + extra
