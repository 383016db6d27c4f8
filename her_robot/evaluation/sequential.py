"""A test of a success rate that may be looked at after every episode, and ends as soon as the answer is clear.

A fixed number of episodes, tested again after each, would find what it looks for too often. Here the evidence that the
rate lies above r is a likelihood ratio: the outcomes' likelihood, averaged over rates above r, to that under r. As long
as the true rate is r or less, this is a non-negative supermartingale that begins at 1; the probability that it ever
reaches 1 / ERROR is therefore at most ERROR, however often one looks and whenever one stops (Ville 1939). The average
over alternatives is Robbins' (1970, Annals of Mathematical Statistics 41(5), 1397-1409); Howard, Ramdas, McAuliffe and
Sekhon (2021, Annals of Statistics 49(2), 1055-1080) have the theory of today. Unlike Wald's test of two rates it needs
no second rate. The alternatives are spread evenly over the angle asin(sqrt(rate)), Jeffreys' prior.
"""

from enum import Enum
from math import asin, inf, isfinite, log, pi, sqrt

import numpy as np

ERROR = 0.05
"""Largest probability of `ABOVE` where the rate is not above, and of `BELOW` where it is not below."""
_ALTERNATIVES = 256
_BISECTIONS = 40
_MOST_EPISODES = 10_000_000


class Verdict(Enum):
    """What is known about a rate."""

    ABOVE = "above"
    BELOW = "below"
    UNDECIDED = "undecided"


def verdict(successes: float, trials: float, rate: float) -> Verdict:
    """Whether the success rate is clearly above or below `rate`.

    Raises:
        ValueError: `rate` is not between 0 and 1, or the counts are impossible.
    """
    _check(successes, trials, rate)
    if _log_evidence_above(successes, trials, rate) >= -log(ERROR):
        return Verdict.ABOVE
    if _log_evidence_above(trials - successes, trials, 1.0 - rate) >= -log(ERROR):
        return Verdict.BELOW
    return Verdict.UNDECIDED


class SequentialTest:
    """Outcomes as they come, until the verdict falls."""

    def __init__(self, rate: float) -> None:
        """
        Raises:
            ValueError: `rate` is not between 0 and 1.
        """
        _check(0, 0, rate)
        self.rate = rate
        self._successes = self._trials = 0

    def add(self, success: bool) -> Verdict:
        """Take in one outcome."""
        self._trials += 1
        self._successes += success
        return verdict(self._successes, self._trials, self.rate)


def anytime_interval(successes: int, trials: int) -> tuple[float, float]:
    """Rates for which the verdict is still open: each side fails with a probability of at most `ERROR`, at any time.

    Wilson's interval would be too narrow where it is the outcomes that say when to stop.

    Raises:
        ValueError: the counts are impossible.
    """
    _check(successes, trials, 0.5)
    return _lower_bound(successes, trials), 1.0 - _lower_bound(trials - successes, trials)


def episodes_to_decide(observed: float, rate: float) -> int | None:
    """Episodes after which the verdict on `rate` falls, if a share `observed` of them succeeds throughout.

    Returns:
        The number; None where it is beyond ten million, as when both rates are the same.
    """
    _check(observed, 1.0, rate)
    low, high = 0, 1
    while verdict(observed * high, high, rate) is Verdict.UNDECIDED:
        low, high = high, 2 * high
        if high > _MOST_EPISODES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if verdict(observed * middle, middle, rate) is Verdict.UNDECIDED:
            low = middle
        else:
            high = middle
    return high


def _log_evidence_above(successes: float, trials: float, rate: float) -> float:
    """Logarithm of the likelihood ratio of an average of rates above `rate` to `rate`."""
    lowest = asin(sqrt(rate))
    angles = lowest + (pi / 2 - lowest) * (np.arange(_ALTERNATIVES) + 0.5) / _ALTERNATIVES
    failures = trials - successes
    ratios = 2 * successes * np.log(np.sin(angles)) + 2 * failures * np.log(np.cos(angles))
    ratios -= successes * log(rate) + failures * log(1.0 - rate)
    return float(np.logaddexp.reduce(ratios) - log(_ALTERNATIVES))


def _lower_bound(successes: int, trials: int) -> float:
    """The lowest rate that the outcomes leave open."""
    if successes == 0:
        return 0.0
    low, high = 0.0, successes / trials
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _log_evidence_above(successes, trials, middle) >= -log(ERROR):
            low = middle
        else:
            high = middle
    return low


def _check(successes: float, trials: float, rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise ValueError(f"a rate of {rate} cannot be tested; it must lie between 0 and 1")
    if not (isfinite(trials) and 0 <= successes <= trials < inf):
        raise ValueError(f"{successes} successes of {trials} trials")
