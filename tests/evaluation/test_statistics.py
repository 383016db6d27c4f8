"""Intervals and tests against published and hand-computed values."""

import numpy as np
import pytest
from scipy.stats import binomtest

from her_robot.evaluation.statistics import (
    PairedCounts,
    mcnemar_p_value,
    newcombe_interval,
    pairs_needed,
    quantiles,
    wilson_interval,
)

AIRWAYS = PairedCounts(both=1, only_first=1, only_second=7, neither=12)
"""Airway hyper-responsiveness before and after a transplantation, the example of Fagerland, Lydersen and Laake."""


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_symmetry_and_bounds():
    low, high = wilson_interval(20, 20)
    assert high == 1.0
    assert low == pytest.approx(1.0 - wilson_interval(0, 20)[1])


def test_the_rate_lies_within_whatever_rounding_does():
    for trials in range(1, 501):
        assert wilson_interval(0, trials)[0] == 0.0
        assert wilson_interval(trials, trials)[1] == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match="successes of"):
        wilson_interval(successes, trials)


def test_pairs_are_counted():
    counts = PairedCounts.of([True, True, False, False, True], [True, False, True, False, False])
    assert counts == PairedCounts(both=1, only_first=2, only_second=1, neither=1)
    assert counts.pairs == 5
    assert counts.difference == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="no pairs"):
        PairedCounts.of([], [])


def test_published_p_values():
    # 2013, BMC Medical Research Methodology 13:91, tables 1 and 2: mid-p .039 and .035.
    assert mcnemar_p_value(AIRWAYS) == pytest.approx(0.039, abs=5e-4)
    assert mcnemar_p_value(PairedCounts(59, 6, 16, 80)) == pytest.approx(0.035, abs=5e-4)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (0, 9), (12, 2), (400, 460)])
def test_mid_p_is_the_exact_p_value_less_half_of_what_was_seen(first, second):
    counts = PairedCounts(5, first, second, 5)
    if first == second:
        assert mcnemar_p_value(counts) == 1.0
        return
    total, fewer = first + second, min(first, second)
    exact = binomtest(fewer, total).pvalue
    point = binomtest(fewer, total, alternative="less").pvalue
    point -= binomtest(fewer - 1, total, alternative="less").pvalue if fewer else 0.0
    assert mcnemar_p_value(counts) == pytest.approx(exact - point)
    assert mcnemar_p_value(PairedCounts(0, second, first, 0)) == mcnemar_p_value(counts)


def test_published_interval_of_a_paired_difference():
    # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33, table IV: -0.507 to -0.026, first minus second.
    assert newcombe_interval(AIRWAYS) == pytest.approx((0.026, 0.507), abs=1e-3)


def test_an_interval_of_a_difference_covers_what_it_should():
    generator = np.random.default_rng(0)
    both, only_first, only_second = 0.7, 0.05, 0.15
    rates = (both, only_first, only_second, 1 - both - only_first - only_second)
    covered = 0
    for counts in generator.multinomial(60, rates, size=2000):
        low, high = newcombe_interval(PairedCounts(*map(int, counts)))
        covered += low <= only_second - only_first <= high
    assert 0.93 < covered / 2000 < 0.98


def test_pairs_needed_give_the_power_that_they_promise():
    seen = PairedCounts(both=70, only_first=5, only_second=15, neither=10)
    # (1.95996 sqrt(.2) + .84162 sqrt(.2 - .01))^2 / .01 = 154.3
    needed = pairs_needed(seen)
    assert needed == 155
    generator = np.random.default_rng(1)
    draws = generator.multinomial(needed, (0.7, 0.05, 0.15, 0.1), size=1000)
    shown = sum(mcnemar_p_value(PairedCounts(*map(int, counts))) < 0.05 for counts in draws)
    assert 0.76 < shown / 1000 < 0.86
    assert pairs_needed(PairedCounts(8, 1, 1, 0)) is None


def test_quantiles():
    assert quantiles([1.0, 2.0, 3.0], {"p50": 0.5, "max": 1.0}) == {"p50": 2.0, "max": 3.0}
    assert quantiles([], {"p50": 0.5}) == {"p50": None}
