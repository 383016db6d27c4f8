"""Wilson intervals against published values."""

import pytest

from her_robot.evaluation.statistics import quantiles, wilson_interval


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


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match="successes of"):
        wilson_interval(successes, trials)


def test_quantiles():
    assert quantiles([1.0, 2.0, 3.0], {"p50": 0.5, "max": 1.0}) == {"p50": 2.0, "max": 3.0}
    assert quantiles([], {"p50": 0.5}) == {"p50": None}
