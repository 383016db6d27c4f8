"""What a hand senses: constant errors that last for an episode, noise that does not, and nothing in a nominal row."""

import numpy as np
import pytest

from her_robot import rotations
from her_robot.contract import HandObjectState, HandState
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.hand_sensing import HandSensing
from her_robot.domain_rand.sensing import SensingConfig

EPISODES = 400


def _state(num_envs=EPISODES):
    still = np.zeros((num_envs, 3))
    obj = HandObjectState(still + 1.0, np.tile([1.0, 0.0, 0.0, 0.0], (num_envs, 1)), still, still)
    return HandState(np.zeros((num_envs, 24)), np.zeros((num_envs, 24)), np.zeros((num_envs, 5, 3)), obj)


def _see(config, times=2, nominal=()):
    """What all rows see at several times, and what was drawn for them."""
    sensing, state = HandSensing(config, EPISODES, np.random.default_rng(0)), _state()
    drawn = [sensing.reset(row, row in nominal, state) for row in range(EPISODES)]
    return [sensing.present(state) for _ in range(times)], drawn


def test_a_constant_error_of_fingertips_lasts_and_differs_between_episodes():
    (first, second), drawn = _see(SensingConfig(fingertip_bias=0.001))
    np.testing.assert_array_equal(first.fingertip_position, second.fingertip_position)
    np.testing.assert_array_equal(first.fingertip_position, [found["fingertip_bias"] for found in drawn])
    # 6000 draws: the deviation is known to 1 %.
    assert first.fingertip_position.std() == pytest.approx(0.001, rel=0.05)


def test_noise_of_fingertips_is_drawn_every_time():
    (first, second), _ = _see(SensingConfig(fingertip_noise=0.002))
    assert first.fingertip_position.std() == pytest.approx(0.002, rel=0.05)
    assert np.corrcoef(first.fingertip_position.ravel(), second.fingertip_position.ravel())[0, 1] < 0.1


def test_a_constant_error_of_an_orientation_is_about_each_axis():
    (first, second), drawn = _see(SensingConfig(rotation_bias=0.1))
    np.testing.assert_array_equal(first.object.quaternion, second.object.quaternion)
    angles = np.array([found["rotation_bias"] for found in drawn])
    assert angles.std(axis=0) == pytest.approx(0.1, rel=0.15)
    np.testing.assert_allclose(first.object.quaternion, rotations.from_euler(*angles.T), atol=1e-12)


def test_a_nominal_row_sees_the_truth():
    config = SensingConfig(
        fingertip_noise=0.002, fingertip_bias=0.001, rotation_bias=0.1, position_noise=Range(0.001, 0.001)
    )
    (seen,), drawn = _see(config, 1, nominal=(0,))
    true = _state()
    assert drawn[0] == {}
    np.testing.assert_array_equal(seen.fingertip_position[0], true.fingertip_position[0])
    np.testing.assert_array_equal(seen.object.quaternion[0], true.object.quaternion[0])
    assert (seen.fingertip_position[1:] != true.fingertip_position[1:]).all()
