"""Distributions that a randomised parameter is drawn from."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Range:
    """A range and how it is drawn from. `low == high` is a constant."""

    low: float
    """Smallest value, in the unit of the parameter."""
    high: float
    """Largest value, in the unit of the parameter."""
    distribution: Literal["uniform", "log_uniform"] = "uniform"
    """`uniform`, or `log_uniform`: uniform in the logarithm."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"range [{self.low}, {self.high}] is not finite")
        if self.low > self.high:
            raise ValueError(f"range has low {self.low} above high {self.high}")
        if self.distribution == "log_uniform" and self.low <= 0:
            raise ValueError(f"log_uniform needs a low above 0, found {self.low}")

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> np.ndarray:
        """Draw values of shape `size`."""
        if self.distribution == "log_uniform":
            return np.exp(rng.uniform(math.log(self.low), math.log(self.high), size))
        return np.asarray(rng.uniform(self.low, self.high, size))
