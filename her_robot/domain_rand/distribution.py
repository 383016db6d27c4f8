"""Distributions that a randomised parameter is drawn from."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from her_robot import arrays
from her_robot.arrays import Array


@dataclass(frozen=True)
class Range:
    """A range and how it is drawn from; nothing outside of it is ever drawn. `low == high` is a constant."""

    low: float = -math.inf
    """Smallest value, in the unit of the parameter. A choice has its own."""
    high: float = math.inf
    """Largest value, in the unit of the parameter. A choice has its own."""
    distribution: Literal["uniform", "log_uniform", "normal", "choice"] = "uniform"
    """`uniform`; `log_uniform`, uniform in the logarithm; `normal`, truncated to the range; `choice` of `values`."""
    mean: float | None = None
    """Of the normal distribution before it is truncated; default: the middle of the range."""
    deviation: float | None = None
    """Standard deviation of the normal distribution before it is truncated."""
    values: tuple[float, ...] = ()
    """What a choice is made from, each with the same probability."""

    def __post_init__(self) -> None:
        self._check_arguments()
        if self.distribution == "choice":
            self._take_range_of_values()
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"range [{self.low}, {self.high}] is not finite; {self.distribution} needs low and high")
        if self.low > self.high:
            raise ValueError(f"range has low {self.low} above high {self.high}")
        if self.distribution == "log_uniform" and self.low <= 0:
            raise ValueError(f"log_uniform needs a low above 0, found {self.low}")
        if self.distribution == "normal":
            self._check_normal()

    @property
    def center(self) -> float:
        """The mean of the normal distribution; of others, the middle of the range."""
        return (self.low + self.high) / 2 if self.mean is None else self.mean

    def sample(self, rng: Any, size: int | tuple[int, ...] | None = None) -> Array:
        """Draw values of shape `size`, by a generator of NumPy or one on a GPU (`sim.warp.generator`)."""
        if self.distribution == "log_uniform":
            exponent = rng.uniform(math.log(self.low), math.log(self.high), size)
            return arrays.namespace(exponent).exp(exponent)
        if self.distribution == "normal":
            return self._sample_normal(rng, size)
        if self.distribution == "choice":
            return _as_array(rng.choice(self.values, size))
        return _as_array(rng.uniform(self.low, self.high, size))

    def part(self, first: float, last: float) -> Self:
        """What lies between two positions, 0 to 1, that go with the logarithm where it is drawn so; a normal
        distribution stays where it is as far as it can.

        Raises:
            ValueError: a choice has no parts.
        """
        if self.distribution == "choice":
            raise ValueError("a choice has no parts")
        if (first, last) == (0.0, 1.0):
            return self
        low, high = self._at(first), self._at(last)
        if low == high:
            return replace(self, low=low, high=high, distribution="uniform", mean=None, deviation=None)
        if self.distribution == "normal" and self.deviation is not None:
            mean, deviation = min(max(self.center, low), high), min(self.deviation, high - low)
            return replace(self, low=low, high=high, mean=mean, deviation=deviation)
        return replace(self, low=low, high=high)

    def _at(self, position: float) -> float:
        """The value at a position; the ends are exact."""
        if position in (0.0, 1.0):
            return self.high if position else self.low
        if self.distribution == "log_uniform":
            return self.low * (self.high / self.low) ** position
        return self.low + position * (self.high - self.low)

    def _sample_normal(self, rng: Any, size: int | tuple[int, ...] | None) -> Array:
        """What falls outside of the range is drawn again, which truncates exactly."""
        mean, deviation = self.center, self.deviation or 0.0
        drawn = _as_array(rng.normal(mean, deviation, size))
        while (outside := (drawn < self.low) | (drawn > self.high)).any():
            drawn = arrays.namespace(drawn).where(outside, rng.normal(mean, deviation, size), drawn)
        return drawn

    def _check_arguments(self) -> None:
        if self.distribution != "normal" and not (self.mean is None and self.deviation is None):
            raise ValueError(f"mean and deviation belong to a normal distribution, not to {self.distribution}")
        if self.distribution != "choice" and self.values:
            raise ValueError(f"values belong to a choice, not to {self.distribution}")

    def _take_range_of_values(self) -> None:
        if not self.values:
            raise ValueError("choice needs values")
        found = min(self.values), max(self.values)
        for name, given, value in zip(("low", "high"), (self.low, self.high), found, strict=True):
            if math.isfinite(given) and given != value:
                raise ValueError(f"choice has {name} {given}, but its values have {value}; leave {name} out")
            object.__setattr__(self, name, value)

    def _check_normal(self) -> None:
        if self.deviation is None or not self.deviation > 0:
            raise ValueError(f"normal needs a deviation above 0, found {self.deviation}")
        if self.deviation > self.high - self.low:
            raise ValueError(
                f"normal has deviation {self.deviation}, wider than its range [{self.low}, {self.high}]; use uniform"
            )
        if not self.low <= self.center <= self.high:
            raise ValueError(f"normal has mean {self.mean} outside of its range [{self.low}, {self.high}]")


def _as_array(drawn: Any) -> Array:
    return arrays.like(drawn, drawn)
