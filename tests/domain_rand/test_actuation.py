"""Delay, scale, smoothing and slew of actions."""

import numpy as np
import pytest

from her_robot.domain_rand.actuation import Actuation, ActuationConfig
from her_robot.domain_rand.distribution import Range


def _effective(config, commands, nominal=False):
    actuation = Actuation(config, 1, np.random.default_rng(0))
    actuation.reset(0, nominal)
    return np.array([actuation.apply(np.array([[x, 0.0, 0.0, 0.5]]))[0] for x in commands])


def test_the_default_changes_nothing():
    commands = [1.0, -0.5, 0.25]
    np.testing.assert_allclose(_effective(ActuationConfig(), commands)[:, 0], commands)


def test_a_nominal_row_is_left_alone():
    config = ActuationConfig(delay_steps=(2, 2), scale=Range(0.5, 0.5), noise=0.3)
    np.testing.assert_allclose(_effective(config, [1.0, -1.0], nominal=True)[:, 0], [1.0, -1.0])


def test_delay_in_control_periods():
    effective = _effective(ActuationConfig(delay_steps=(2, 2)), [1.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(effective[:, 0], [0.0, 0.0, 1.0, 0.5])


def test_scale_and_smoothing():
    effective = _effective(ActuationConfig(scale=Range(0.5, 0.5), smoothing=Range(0.5, 0.5)), [1.0, 1.0, 1.0])
    np.testing.assert_allclose(effective[:, 0], [0.25, 0.375, 0.4375])


def test_slew_limit():
    effective = _effective(ActuationConfig(slew_limit=Range(0.3, 0.3)), [1.0, 1.0, -1.0])
    np.testing.assert_allclose(effective[:, 0], [0.3, 0.6, 0.3])


def test_the_gripper_component_passes():
    effective = _effective(ActuationConfig(delay_steps=(1, 1), scale=Range(0.5, 0.5)), [1.0, 1.0])
    np.testing.assert_allclose(effective[:, 3], 0.5)


def test_an_episode_begins_at_rest():
    actuation = Actuation(ActuationConfig(delay_steps=(1, 1)), 1, np.random.default_rng(0))
    actuation.reset(0, nominal=False)
    actuation.apply(np.ones((1, 4)))
    actuation.reset(0, nominal=False)
    np.testing.assert_array_equal(actuation.apply(np.zeros((1, 4)))[0, :3], 0.0)


@pytest.mark.parametrize(
    "values",
    [{"delay_steps": (2, 1)}, {"smoothing": Range(0.0, 1.0)}, {"scale": Range(0.0, 1.0)}, {"noise": -0.1}],
)
def test_impossible_values(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        ActuationConfig(**values)
