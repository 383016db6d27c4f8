"""Control periods that are longer now and then."""

import numpy as np
import pytest

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.timing import Timing, TimingConfig

SUBSTEPS, TIMESTEP = 20, 0.002


def _timing(rate, count=2):
    config = TimingConfig(None if rate is None else Range(rate, rate))
    return Timing(config, count, SUBSTEPS, TIMESTEP, np.random.default_rng(0))


def test_control_is_punctual_by_default_and_in_a_nominal_row():
    timing = _timing(None)
    assert timing.reset(0, nominal=False) == {}
    np.testing.assert_array_equal(timing.advance(), SUBSTEPS)
    timing = _timing(125.0)
    timing.reset(0, nominal=True)
    assert timing.reset(1, nominal=False) == {"lateness_rate": 125.0}
    steps = np.array([timing.advance() for _ in range(50)])
    np.testing.assert_array_equal(steps[:, 0], SUBSTEPS)
    assert steps[:, 1].min() >= SUBSTEPS
    assert steps[:, 1].max() > SUBSTEPS


@pytest.mark.parametrize("rate", [125.0, 1000.0])
def test_the_mean_is_that_of_the_exponential_distribution_though_physics_steps_are_coarse(rate):
    timing = _timing(rate, 50)
    for row in range(50):
        timing.reset(row, nominal=False)
    late = (np.array([timing.advance() for _ in range(400)]) - SUBSTEPS) * TIMESTEP
    assert late.mean() == pytest.approx(1.0 / rate, rel=0.03)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="lateness_rate must stay above 0"):
        TimingConfig(Range(0.0, 10.0))
