"""Intervals and summaries of measured samples."""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

_Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success probability (Wilson 1927).

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    rate = successes / trials
    shrink = 1.0 + _Z_95**2 / trials
    center = (rate + _Z_95**2 / (2 * trials)) / shrink
    half_width = _Z_95 * sqrt(rate * (1 - rate) / trials + _Z_95**2 / (4 * trials**2)) / shrink
    return max(0.0, center - half_width), min(1.0, center + half_width)


def quantiles(values: Sequence[float], names: Mapping[str, float]) -> dict[str, float | None]:
    """Quantiles by name, such as {"p50": 0.5}; None where there are no values."""
    if not len(values):
        return dict.fromkeys(names)
    return {name: float(np.quantile(values, quantile)) for name, quantile in names.items()}
