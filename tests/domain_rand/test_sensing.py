"""The camera chain in training: rate, latency, hiding, holding."""

from dataclasses import replace

import numpy as np
import pytest

from her_robot.contract import ObjectState, RobotState
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.sensing import Sensing, SensingConfig

PERIOD = 0.04
SPEED = 0.5


def _state(x, grip=(10.0, 0.0, 0.0)):
    still = np.zeros((1, 3))
    obj = ObjectState(np.array([[x, 0.0, 0.4]]), np.eye(3)[None], np.array([[SPEED, 0.0, 0.0]]), still)
    return RobotState(np.array([grip]), still, np.zeros((1, 2)), np.zeros((1, 2)), obj)


def _watch(config, steps, nominal=False, grip=(10.0, 0.0, 0.0)):
    """What is seen of an object that moves at SPEED along x, beside where it is."""
    sensing = Sensing(config, 1, PERIOD, np.random.default_rng(0))
    sensing.reset(0, nominal, _state(0.0, grip))
    seen, true = [], []
    for step in range(1, steps + 1):
        state = _state(SPEED * PERIOD * step, grip)
        sensing.advance(state)
        presented = sensing.present(state)
        seen.append(presented.object.position[0, 0])
        true.append(state.object.position[0, 0])
    return np.array(seen), np.array(true), presented


def test_a_nominal_row_sees_the_truth():
    config = SensingConfig(camera_latency=Range(0.1, 0.1), position_noise=Range(0.05, 0.05), grip_noise=0.1)
    seen, true, presented = _watch(config, 20, nominal=True)
    np.testing.assert_array_equal(seen, true)
    np.testing.assert_array_equal(presented.grip_position[0], [10.0, 0.0, 0.0])


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.1])
def test_what_is_seen_lags_by_the_latency_and_up_to_a_frame(latency):
    seen, true, _ = _watch(SensingConfig(camera_rate=15.0, camera_latency=Range(latency, latency)), 60)
    lag = (true - seen)[10:] / SPEED
    assert lag.min() >= latency - 1e-6
    assert lag.max() <= latency + 1.0 / 15.0 + 1e-6
    assert np.ptp(lag) > 0.02


def test_images_come_at_the_cameras_rate():
    seen, _, _ = _watch(SensingConfig(camera_rate=15.0), 100)
    changes = np.count_nonzero(np.diff(seen))
    assert changes == pytest.approx(100 * PERIOD * 15.0, abs=2)


def test_velocity_is_estimated_from_what_is_seen():
    _, _, presented = _watch(SensingConfig(), 40)
    assert presented.object.velocity[0, 0] == pytest.approx(SPEED, rel=0.05)


def test_a_lost_object_is_held_where_it_was():
    config = SensingConfig(dropout=Range(1.0, 1.0))
    seen, _, presented = _watch(config, 30)
    np.testing.assert_array_equal(seen, seen[0])
    np.testing.assert_array_equal(presented.object.velocity, 0.0)


def test_the_gripper_hides_what_is_behind_it():
    camera = (-1.0, 0.0, 1.4)
    config = SensingConfig(camera_position=camera, gripper_radius=Range(0.05, 0.05), gripper_clearance=0.0)
    hidden, _, _ = _watch(config, 10, grip=(-0.06, 0.0, 0.41))
    visible, _, _ = _watch(config, 10, grip=(0.4, 0.2, 0.41))
    assert np.count_nonzero(np.diff(hidden)) == 0
    assert np.count_nonzero(np.diff(visible)) > 2


def test_an_object_too_far_from_the_camera_is_not_seen():
    near, far = (SensingConfig(camera_position=(0.0, 0.0, 1.4), camera_range=Range(x, x)) for x in (2.0, 0.9))
    assert np.count_nonzero(np.diff(_watch(near, 10)[0])) > 2
    assert np.count_nonzero(np.diff(_watch(far, 10)[0])) == 0


def test_fingers_are_measured_with_noise():
    config = SensingConfig(finger_noise=0.001, finger_velocity_noise=0.02)
    sensing, state = Sensing(config, 1, PERIOD, np.random.default_rng(0)), _state(0.0)
    sensing.reset(0, False, state)
    seen = [sensing.present(state) for _ in range(300)]
    assert np.std([s.finger_position for s in seen]) == pytest.approx(0.001, rel=0.15)
    assert np.std([s.finger_velocity for s in seen]) == pytest.approx(0.02, rel=0.15)
    sensing.reset(0, True, state)
    np.testing.assert_array_equal(sensing.present(state).finger_position, 0.0)


def test_what_the_fingers_hold_goes_where_they_go():
    """The gripper hides the block that it lifts: its pose comes from the gripper, without the camera's delay."""
    config = SensingConfig(camera_latency=Range(0.08, 0.08), dropout=Range(1.0, 1.0))
    sensing = Sensing(config, 1, PERIOD, np.random.default_rng(0))

    def lifted(height):
        position = np.array([[0.0, 0.0, 0.425 + height]])
        still = np.zeros((1, 3))
        obj = ObjectState(position, np.eye(3)[None], still, still)
        return RobotState(position + [[0.005, 0.0, 0.01]], still, np.full((1, 2), 0.024), np.zeros((1, 2)), obj)

    sensing.reset(0, False, lifted(0.0))
    for step in range(20):
        sensing.advance(lifted(0.02 * step))
    presented = sensing.present(lifted(0.38))
    np.testing.assert_allclose(presented.object.position[0], [0.0, 0.0, 0.425 + 0.38], atol=1e-6)
    assert presented.object.velocity[0, 2] == pytest.approx(0.5, rel=0.05)


def test_latency_beyond_the_history_is_refused():
    with pytest.raises(ValueError, match="camera_latency must not exceed"):
        Sensing(SensingConfig(camera_latency=Range(1.0, 1.0)), 1, PERIOD, np.random.default_rng(0))


def test_the_grip_is_known_late():
    config = SensingConfig(grip_latency=Range(0.06, 0.06))
    sensing = Sensing(config, 1, PERIOD, np.random.default_rng(0))
    states = [replace(_state(0.0), grip_position=np.array([[SPEED * PERIOD * step, 0.0, 0.0]])) for step in range(20)]
    assert sensing.reset(0, False, states[0])["grip_latency"] == 0.06
    for step in range(1, 20):
        sensing.advance(states[step])
        seen = sensing.present(states[step]).grip_position[0, 0]
        assert seen == pytest.approx(max(SPEED * (PERIOD * step - 0.06), 0.0), abs=1e-9)


@pytest.mark.parametrize("kind", ["grip", "position"])
def test_drift_has_its_deviation_and_forgets_with_its_time(kind):
    config = replace(SensingConfig(drift_time=0.4, camera_rate=25.0), **{f"{kind}_drift": 0.01})
    sensing = Sensing(config, 200, PERIOD, np.random.default_rng(0))
    state = _tile(_state(0.0), 200)
    for row in range(200):
        sensing.reset(row, False, state)
    errors = []
    for _ in range(60):
        sensing.advance(state)
        seen = sensing.present(state)
        if kind == "grip":
            errors.append(seen.grip_position - state.grip_position)
        else:
            errors.append(seen.object.position - state.object.position)
    errors = np.array(errors)[20:]
    assert errors[..., :2].std() == pytest.approx(0.01, rel=0.1)
    # Ten steps are one drift time.
    related = np.mean(errors[:-10, :, :2] * errors[10:, :, :2]) / errors[..., :2].var()
    assert related == pytest.approx(np.exp(-1.0), abs=0.12)


def test_longer_control_periods_are_seen_by_the_clock():
    """An object at constant speed is seen late by the same time, however long the control periods are."""
    config = SensingConfig(camera_rate=25.0, camera_latency=Range(0.05, 0.05))
    sensing, rng, now = Sensing(config, 1, PERIOD, np.random.default_rng(0)), np.random.default_rng(1), 0.0
    sensing.reset(0, False, _state(0.0))
    for step in range(60):
        periods = np.array([1.0 + rng.exponential(0.2)])
        now += periods[0] * PERIOD
        sensing.advance(_state(SPEED * now), periods)
        lag = now - sensing.present(_state(SPEED * now)).object.position[0, 0] / SPEED
        if step > 10:
            assert 0.05 - 1e-6 <= lag <= 0.05 + 1.0 / 25.0 + 1e-6


def test_impossible_drift_and_latency_are_refused():
    with pytest.raises(ValueError, match="drift_time must be above 0"):
        SensingConfig(drift_time=0.0)
    with pytest.raises(ValueError, match="grip_drift must not be negative"):
        SensingConfig(grip_drift=-1.0)
    with pytest.raises(ValueError, match="grip_latency must not exceed"):
        Sensing(SensingConfig(grip_latency=Range(1.0, 1.0)), 1, PERIOD, np.random.default_rng(0))


def _tile(state, count):
    obj = ObjectState(**{name: np.repeat(value, count, axis=0) for name, value in vars(state.object).items()})
    arrays = {name: np.repeat(value, count, axis=0) for name, value in vars(state).items() if name != "object"}
    return RobotState(**arrays, object=obj)
