"""Delay, scale, smoothing and slew of actions, and fingers that take their time."""

import numpy as np
import pytest

from her_robot.domain_rand.actuation import Actuation, ActuationConfig
from her_robot.domain_rand.distribution import Range

STILL = np.zeros((1, 2))


def _effective(config, commands, nominal=False):
    actuation = Actuation(config, 1, np.random.default_rng(0))
    actuation.reset(0, nominal, STILL[0])
    return np.array([actuation.apply(np.array([[x, 0.0, 0.0, 0.5]]), STILL)[0] for x in commands])


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


@pytest.mark.parametrize("nominal", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        ActuationConfig(delay_steps=(3, 3), scale=Range(0.6, 0.6), smoothing=Range(0.5, 0.5)),
        ActuationConfig(smoothing=Range(0.8, 0.8)),
        ActuationConfig(slew_limit=Range(0.05, 0.05)),
    ],
)
def test_what_is_under_way_is_what_still_takes_effect_when_nothing_more_is_commanded(config, nominal):
    actuation = Actuation(config, 1, np.random.default_rng(0))
    actuation.reset(0, nominal, STILL[0])
    rng = np.random.default_rng(1)
    for _ in range(20):
        actuation.apply(np.array([[*rng.uniform(0.3, 1.0, 3), 0.0]]), STILL)
    under_way = actuation.under_way()
    later = [actuation.apply(np.zeros((1, 4)), STILL)[0, :3] for _ in range(100)]
    np.testing.assert_allclose(under_way[0], np.sum(later, axis=0), atol=1e-4)
    assert nominal or (under_way > 0.5).all()


def test_a_bias_is_constant_within_an_episode_and_another_in_the_next():
    actuation = Actuation(ActuationConfig(bias=0.1), 1, np.random.default_rng(0))
    errors = []
    for _ in range(200):
        drawn = actuation.reset(0, False, STILL[0])
        episode = [actuation.apply(np.zeros((1, 4)), STILL)[0, :3] for _ in range(3)]
        np.testing.assert_allclose(episode, [drawn["bias"]] * 3, rtol=1e-6)
        errors.append(episode[0])
    assert np.std(errors) == pytest.approx(0.1, rel=0.1)


def test_a_lost_command_leaves_the_one_before_it_in_effect():
    config = ActuationConfig(loss=Range(0.3, 0.3), delay_steps=(1, 1))
    actuation = Actuation(config, 1, np.random.default_rng(0))
    assert actuation.reset(0, False, STILL[0])["loss"] == 0.3
    commands = np.linspace(-1.0, 1.0, 400)
    found = np.array([actuation.apply(np.array([[x, 0.0, 0.0, 0.0]]), STILL)[0, 0] for x in commands])
    held = np.diff(found[1:]) == 0.0
    assert held.mean() == pytest.approx(0.3, abs=0.07)
    np.testing.assert_allclose(found[2:][~held], commands[1:-1][~held], rtol=1e-6)


def test_what_was_drawn_is_told_and_nothing_of_a_nominal_row():
    config = ActuationConfig(scale=Range(0.5, 0.5), axis_scale=Range(0.9, 1.1), delay_steps=(2, 2))
    actuation = Actuation(config, 1, np.random.default_rng(0))
    drawn = actuation.reset(0, False, STILL[0])
    assert (drawn["scale"], drawn["delay_steps"], len(drawn["axis_scale"])) == (0.5, 2, 3)
    assert actuation.reset(0, True, STILL[0]) == {}


def _gaps(config, components, block=0.0):
    """Gaps of ideal fingers, in each period where they were told to be in the one before, but for a block between."""
    actuation = Actuation(config, 1, np.random.default_rng(0))
    fingers, gaps = np.full((1, 2), block / 2), []
    actuation.reset(0, False, fingers[0])
    for component in components:
        effective = actuation.apply(np.array([[0.0, 0.0, 0.0, component]]), fingers)[0, 3]
        fingers = np.maximum(fingers + effective, block / 2)
        gaps.append(fingers.sum())
    return np.array(gaps)


def test_fingers_open_and_close_at_their_speed():
    gaps = _gaps(ActuationConfig(finger_speed=Range(0.1, 0.1)), [1.0] * 5 + [-1.0] * 3)
    np.testing.assert_allclose(gaps, [0.008, 0.016, 0.024, 0.032, 0.04, 0.032, 0.024, 0.016], atol=1e-6)


def test_fingers_are_delayed_as_the_arm_is():
    gaps = _gaps(ActuationConfig(finger_speed=Range(0.1, 0.1), delay_steps=(2, 2)), [1.0] * 4)
    np.testing.assert_allclose(gaps, [0.0, 0.0, 0.008, 0.016], atol=1e-6)


def test_a_block_is_squeezed_by_the_lead_and_let_go_of_after_that_way_back():
    config = ActuationConfig(finger_speed=Range(0.1, 0.1), grip_lead=Range(0.02, 0.02))
    gaps = _gaps(config, [-1.0] * 10 + [1.0] * 4, block=0.05)
    np.testing.assert_allclose(gaps[:12], 0.05, atol=1e-6)
    assert gaps[-1] > 0.051


def test_fingers_lag_behind_a_gap_that_changes_by_their_speed_times_their_lag():
    """A first-order lag follows a ramp at a distance of slope times time constant, here in discrete time."""
    config, kept = ActuationConfig(finger_speed=Range(0.025, 0.025), finger_lag=Range(0.08, 0.08)), np.exp(-0.5)
    gaps = _gaps(config, [1.0] * 25)
    np.testing.assert_allclose(gaps[-1], 0.05 - 0.002 * kept / (1.0 - kept), atol=1e-6)
    np.testing.assert_allclose(gaps[:2], [0.002 * (1.0 - kept), 0.002 * (1.0 - kept) * (2.0 + kept)], atol=1e-6)


def test_the_gripper_of_a_nominal_row_passes():
    config = ActuationConfig(finger_speed=Range(0.05, 0.05), delay_steps=(1, 1))
    np.testing.assert_array_equal(_effective(config, [1.0, 1.0], nominal=True)[:, 3], 0.5)


def test_an_episode_begins_at_rest():
    actuation = Actuation(ActuationConfig(delay_steps=(1, 1)), 1, np.random.default_rng(0))
    actuation.reset(0, False, STILL[0])
    actuation.apply(np.ones((1, 4)), STILL)
    actuation.reset(0, False, STILL[0])
    np.testing.assert_array_equal(actuation.apply(np.zeros((1, 4)), STILL)[0], 0.0)


@pytest.mark.parametrize(
    "values",
    [
        {"delay_steps": (2, 1)},
        {"smoothing": Range(0.0, 1.0)},
        {"scale": Range(0.0, 1.0)},
        {"noise": -0.1},
        {"bias": -0.1},
        {"loss": Range(0.0, 1.0)},
        {"finger_speed": Range(0.0, 0.1)},
        {"grip_lead": Range(-0.1, 0.1)},
        {"finger_lag": Range(-0.1, 0.1)},
    ],
)
def test_impossible_values(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        ActuationConfig(**values)
