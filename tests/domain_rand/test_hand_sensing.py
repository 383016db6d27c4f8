"""What a hand senses: constant errors that last for an episode, noise that does not, and nothing in a nominal row."""

import numpy as np
import pytest

from her_robot import rotations
from her_robot.contract import HandObjectState, HandState
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.hand_sensing import HandSensing
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.errors import ConfigurationError
from her_robot.robot.hand_object import HandObjectTracker

EPISODES, PERIOD = 400, 0.04


def _state(num_envs=EPISODES):
    still = np.zeros((num_envs, 3))
    obj = HandObjectState(still + 1.0, np.tile([1.0, 0.0, 0.0, 0.0], (num_envs, 1)), still, still)
    return HandState(np.zeros((num_envs, 24)), np.zeros((num_envs, 24)), np.zeros((num_envs, 5, 3)), obj)


def _see(config, times=2, nominal=()):
    """What all rows see at several times, and what was drawn for them."""
    sensing, state = HandSensing(config, EPISODES, PERIOD, np.random.default_rng(0)), _state()
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


def _turning(config, rows=6, periods=12):
    """Blocks that move by 0.05 m/s and turn by 2 rad/s about an axis of their own: the truth, and what is seen."""
    sensing = HandSensing(config, rows, PERIOD, np.random.default_rng(0))
    axis = np.tile([0.6, 0.0, 0.8], (rows, 1))

    def at(time):
        obj = HandObjectState(
            np.tile([1.0 + 0.05 * time, 0.9, 0.2], (rows, 1)),
            rotations.from_axis_angle(axis, np.full(rows, 2.0 * time)),
            np.tile([0.05, 0.0, 0.0], (rows, 1)),
            2.0 * axis,
        )
        return HandState(np.zeros((rows, 24)), np.zeros((rows, 24)), np.zeros((rows, 5, 3)), obj)

    drawn = [sensing.reset(row, row == 0, at(0.0)) for row in range(rows)]
    true, seen = [], []
    for period in range(1, periods + 1):
        true.append(at(PERIOD * period))
        sensing.advance(true[-1])
        seen.append(sensing.present(true[-1]))
    return true, seen, np.array([values.get("camera_latency", 0.0) for values in drawn]), at


def test_a_late_pose_is_the_one_of_a_latency_ago_and_its_velocities_are_estimated():
    true, seen, latency, at = _turning(SensingConfig(camera_latency=Range(0.02, 0.10)))
    assert 0.02 <= latency[1:].min() < latency[1:].max() <= 0.10
    for row in range(1, 6):
        then = at(PERIOD * len(true) - latency[row]).object
        np.testing.assert_allclose(seen[-1].object.position[row], then.position[row], atol=1e-9)
        np.testing.assert_allclose(seen[-1].object.quaternion[row], then.quaternion[row], atol=1e-4)
        np.testing.assert_allclose(seen[-1].object.velocity[row], then.velocity[row], atol=1e-3)
        np.testing.assert_allclose(seen[-1].object.angular_velocity[row], then.angular_velocity[row], atol=0.05)
    for name in vars(true[-1].object):
        np.testing.assert_array_equal(getattr(seen[-1].object, name)[0], getattr(true[-1].object, name)[0])


def test_a_pose_that_no_camera_has_seen_is_held():
    _, seen, _, _ = _turning(SensingConfig(camera_latency=Range(0.02, 0.10), dropout=Range(1.0, 1.0)))
    np.testing.assert_array_equal(seen[-1].object.position[1:], seen[0].object.position[1:])
    assert (seen[-1].object.velocity[1:] == 0.0).all()


def test_it_sees_what_the_robot_s_tracker_does():
    true, seen, _, at = _turning(SensingConfig(camera_latency=Range(0.05, 0.05)))
    tracker = HandObjectTracker()
    for time in [0.0, *(PERIOD * (period + 1) for period in range(len(true)))]:
        obj = at(max(time - 0.05, 0.0)).object
        tracker.update(time - 0.05, obj.position[1], rotations.to_matrix(obj.quaternion[1]))
    found = tracker.state(PERIOD * len(true))
    for name in vars(found):
        np.testing.assert_allclose(getattr(found, name), getattr(seen[-1].object, name)[1], atol=5e-3, err_msg=name)


def test_a_latency_that_cannot_be_simulated_is_refused():
    with pytest.raises(ValueError, match=r"camera_latency must not exceed 0\.240 s"):
        HandSensing(SensingConfig(camera_latency=Range(0.0, 0.3)), 2, PERIOD, np.random.default_rng(0))


def test_a_dropout_without_a_latency_is_refused():
    with pytest.raises(ConfigurationError, match="dropout is simulated for the hand with a camera_latency alone"):
        HandSensing(SensingConfig(dropout=Range(0.0, 0.1)), 2, PERIOD, np.random.default_rng(0))
