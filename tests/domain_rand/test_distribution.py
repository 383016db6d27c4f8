"""What is drawn lies in its range and has its distribution; what cannot be is refused."""

import numpy as np
import pytest

from her_robot import configuration
from her_robot.domain_rand.distribution import Range
from her_robot.errors import ConfigurationError


def _sample(distribution, count=4000):
    return distribution.sample(np.random.default_rng(0), count)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "low 2.0 above high 1.0"),
        ({"low": 0.0, "high": 1.0, "distribution": "log_uniform"}, "low above 0"),
        ({"low": float("nan"), "high": 1.0}, "not finite"),
        ({"low": 1.0}, r"range \[1.0, inf\] is not finite; uniform needs low and high"),
        ({"low": 0.0, "high": 1.0, "deviation": 0.1}, "belong to a normal distribution, not to uniform"),
        ({"low": 0.0, "high": 1.0, "values": [0.5]}, "values belong to a choice"),
        ({"low": 0.0, "high": 1.0, "distribution": "normal"}, "normal needs a deviation above 0, found None"),
        ({"low": 0.0, "high": 1.0, "distribution": "normal", "deviation": 2}, "wider than its range"),
        ({"low": 0.0, "high": 1.0, "distribution": "normal", "deviation": 0.1, "mean": 2}, "mean 2.0 outside"),
        ({"distribution": "normal", "deviation": 0.1, "mean": 2}, "not finite; normal needs low and high"),
        ({"distribution": "choice"}, "choice needs values"),
        ({"distribution": "choice", "values": [1, 2], "low": 0}, "choice has low 0.0, but its values have 1.0"),
        ({"low": 0, "high": 1, "distribution": "gauss"}, "'gauss' is not one of uniform, log_uniform, normal, choice"),
        ({"lo": 0, "high": 1}, "unknown key 'lo'; did you mean 'low'"),
    ],
)
def test_impossible_ranges(values, message):
    with pytest.raises(ConfigurationError, match=message):
        configuration.build(Range, values, "preset.yaml")


def test_log_uniform_has_its_median_at_the_geometric_mean():
    samples = _sample(Range(0.1, 10.0, "log_uniform"))
    assert samples.min() >= 0.1
    assert samples.max() <= 10.0
    assert np.median(samples) == pytest.approx(1.0, rel=0.1)


def test_normal_is_truncated_and_keeps_its_shape():
    distribution = Range(0.0, 3.0, "normal", mean=1.0, deviation=1.0)
    samples = _sample(distribution, 40_000)
    assert samples.min() >= 0.0
    assert samples.max() <= 3.0
    # Mean of a standard normal between -1 and 2: (phi(-1) - phi(2)) / (Phi(2) - Phi(-1)).
    assert samples.mean() == pytest.approx(1.0 + (0.24197 - 0.05399) / (0.97725 - 0.15866), abs=0.01)


def test_a_choice_has_all_values_alike_and_a_range():
    distribution = Range(distribution="choice", values=(0.2, 0.5, 2.0))
    found, counts = np.unique(_sample(distribution), return_counts=True)
    np.testing.assert_array_equal(found, [0.2, 0.5, 2.0])
    np.testing.assert_allclose(counts / counts.sum(), 1 / 3, atol=0.03)
    assert (distribution.low, distribution.high) == (0.2, 2.0)


@pytest.mark.parametrize(
    "distribution",
    [
        Range(0.1, 0.2),
        Range(0.1, 0.2, "normal", deviation=0.02),
        Range(distribution="choice", values=(0.1, 0.2)),
    ],
)
def test_shapes_and_configuration_round_trip(distribution):
    rng = np.random.default_rng(0)
    assert np.ndim(distribution.sample(rng)) == 0
    assert distribution.sample(rng, (2, 3)).shape == (2, 3)
    assert configuration.build(Range, configuration.to_mapping(distribution), "again") == distribution
