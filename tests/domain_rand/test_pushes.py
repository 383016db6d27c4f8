"""Forces that push the object."""

import numpy as np
import pytest

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.pushes import PushConfig, Pushes

PERIOD = 0.04


def _forces(config, steps=2000, nominal=False):
    pushes = Pushes(config, 1, PERIOD, np.random.default_rng(0))
    pushes.reset(0, nominal)
    return np.array([pushes.advance()[0] for _ in range(steps)])


def test_pushes_come_at_their_rate_with_their_force_for_their_time():
    config = PushConfig(rate=Range(1.0, 1.0), force=Range(2.0, 5.0), duration=Range(0.2, 0.2))
    forces = _forces(config)
    sizes = np.linalg.norm(forces, axis=1)
    pushed = sizes > 0
    begins = np.flatnonzero(np.diff(sizes) * pushed[1:])
    assert sizes[pushed].min() >= 2.0
    assert sizes[pushed].max() <= 5.0
    np.testing.assert_array_equal(forces[:, 2], 0.0)
    # A push lasts 0.2 s, and the next one begins a second later in the mean.
    assert begins.size == pytest.approx(2000 * PERIOD / 1.2, rel=0.3)
    assert pushed.mean() == pytest.approx(0.2 / 1.2, rel=0.3)
    angles = np.arctan2(forces[pushed, 1], forces[pushed, 0])
    assert np.unique(np.sign(angles)).size == 2


def test_a_nominal_row_and_a_preset_without_pushes_are_left_alone():
    assert not _forces(PushConfig(rate=Range(5.0, 5.0)), nominal=True).any()
    assert not Pushes(PushConfig(), 1, PERIOD, np.random.default_rng(0)).any


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": Range(-1.0, 1.0)}, "rate must not be negative"),
        ({"force": Range(-1.0, 1.0)}, "force must not be negative"),
        ({"duration": Range(0.0, 1.0)}, "duration must stay above 0"),
    ],
)
def test_impossible_pushes(values, message):
    with pytest.raises(ValueError, match=message):
        PushConfig(**values)
