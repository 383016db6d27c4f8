"""Intervals, exact tests and summaries of measured samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, comb, sqrt

import numpy as np

_Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
_Z_POWER_80 = 0.8416212335729143
"""80 % quantile of the normal distribution."""


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
    # Rounding must not put an end of the interval on the other side of the rate: that of 400 in 400 would be below 1.
    return min(rate, max(0.0, center - half_width)), max(rate, min(1.0, center + half_width))


@dataclass(frozen=True)
class PairedCounts:
    """Outcomes of two policies on the same episodes."""

    both: int
    """Episodes in which both succeed."""
    only_first: int
    only_second: int
    neither: int

    @staticmethod
    def of(first: Sequence[bool], second: Sequence[bool]) -> "PairedCounts":
        """Count outcomes, pair by pair.

        Raises:
            ValueError: there are no pairs, or one side has more than the other.
        """
        pairs = list(zip(map(bool, first), map(bool, second), strict=True))
        if not pairs:
            raise ValueError("no pairs of outcomes")
        order = ((True, True), (True, False), (False, True), (False, False))
        return PairedCounts(*(pairs.count(outcome) for outcome in order))

    @property
    def pairs(self) -> int:
        """All of them."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Success rate of the second minus that of the first."""
        return (self.only_second - self.only_first) / self.pairs


def mcnemar_p_value(counts: PairedCounts) -> float:
    """Two-sided mid-p value of McNemar's exact test: could both policies be equally good?

    Only the episodes tell in which one policy succeeds and the other does not; were both equally good, each of these
    would be won by either with probability 1/2. The mid-p value counts the observed outcome half: the exact test alone
    errs far less often than it says (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91).
    """
    fewer, total = min(counts.only_first, counts.only_second), counts.only_first + counts.only_second
    # In whole numbers up to the last division: exact for any number of episodes.
    doubled_tail = 2 * sum(comb(total, i) for i in range(fewer + 1)) - comb(total, fewer)
    return min(1.0, doubled_tail / 2**total)


def newcombe_interval(counts: PairedCounts) -> tuple[float, float]:
    """95 % interval of the difference of two paired success rates, second minus first.

    Method 10 of Newcombe (1998, Statistics in Medicine 17, 2635-2650): Wilson's intervals of both rates, added in
    square with the correlation of the pairs.
    """
    n = counts.pairs
    first, second = counts.both + counts.only_first, counts.both + counts.only_second
    (low_1, high_1), (low_2, high_2) = wilson_interval(first, n), wilson_interval(second, n)
    rate_1, rate_2, correlation = first / n, second / n, _newcombe_correlation(counts)

    def reach(part_1: float, part_2: float) -> float:
        return sqrt(max(0.0, part_1**2 - 2 * correlation * part_1 * part_2 + part_2**2))

    below = reach(high_1 - rate_1, rate_2 - low_2)
    above = reach(rate_1 - low_1, high_2 - rate_2)
    return max(-1.0, counts.difference - below), min(1.0, counts.difference + above)


def pairs_needed(counts: PairedCounts) -> int | None:
    """Pairs with which a difference as the one seen would be shown in four of five comparisons (5 % error).

    Connor (1987, Biometrics 43, 207-211), with the observed share of pairs that differ. None where there is no
    difference.
    """
    difference, discordant = abs(counts.difference), (counts.only_first + counts.only_second) / counts.pairs
    if difference == 0.0:
        return None
    root = _Z_95 * sqrt(discordant) + _Z_POWER_80 * sqrt(max(0.0, discordant - difference**2))
    return ceil(root**2 / difference**2)


def quantiles(values: Sequence[float], names: Mapping[str, float]) -> dict[str, float | None]:
    """Quantiles by name, such as {"p50": 0.5}; None where there are no values."""
    if not len(values):
        return dict.fromkeys(names)
    return {name: float(np.quantile(values, quantile)) for name, quantile in names.items()}


def _newcombe_correlation(counts: PairedCounts) -> float:
    """Correlation of the outcomes, with Newcombe's correction for continuity where it is positive."""
    n, first, second = counts.pairs, counts.both + counts.only_first, counts.both + counts.only_second
    margins = first * (n - first) * second * (n - second)
    if margins == 0:
        return 0.0
    covariance = counts.both * counts.neither - counts.only_first * counts.only_second
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    return covariance / sqrt(margins)
