"""Whatever is asked for, what is sent keeps the limits."""

import numpy as np
import pytest

from her_robot.robot.safety import JointLimits, SafetyFilter

PERIOD = 0.04
LIMITS = JointLimits(
    position_low=np.array([-1.0, -np.inf, -0.5]),
    position_high=np.array([1.0, np.inf, 0.5]),
    velocity=np.array([1.0, 1.5, 2.0]),
    acceleration=np.array([4.0, 6.0, 10.0]),
)
TOLERANCE = 1e-9


def _filter(start=(0.0, 0.0, 0.0)):
    safety = SafetyFilter(LIMITS, PERIOD)
    safety.start(np.array(start))
    return safety


def _check(command, before):
    """The limits, for a command that follows positions and velocities `before`; returns its own."""
    positions, velocities = command.positions[0], command.velocities[0]
    assert (positions >= LIMITS.position_low - TOLERANCE).all()
    assert (positions <= LIMITS.position_high + TOLERANCE).all()
    assert (command.positions[1] >= LIMITS.position_low - TOLERANCE).all()
    assert (command.positions[1] <= LIMITS.position_high + TOLERANCE).all()
    assert (np.abs(velocities) <= LIMITS.velocity + TOLERANCE).all()
    assert (np.abs(velocities - before[1]) <= LIMITS.acceleration * PERIOD + TOLERANCE).all()
    np.testing.assert_allclose(positions, before[0] + velocities * PERIOD, atol=1e-6)
    np.testing.assert_array_equal(command.velocities[1], 0.0)
    return positions, velocities


@pytest.mark.parametrize("seed", range(8))
def test_random_demands_never_break_a_limit(seed):
    rng = np.random.default_rng(seed)
    safety = _filter(rng.uniform(-0.5, 0.5, 3))
    before = safety.positions, np.zeros(3)
    for step in range(400):
        kind = rng.integers(4)
        if kind == 0:
            command = safety.approach(rng.uniform(-3, 3, 3), speed=rng.uniform(0.1, 1.0))
        elif kind == 1 and step % 7 == 0:
            command = safety.brake()
        else:
            command = safety.move(rng.normal(0.0, rng.choice([0.1, 1.0, 30.0]), 3))
        before = _check(command, before)


def test_full_speed_into_a_limit_stops_before_it():
    safety = _filter()
    for _ in range(100):
        command = safety.move(np.array([5.0, 0.0, 0.0]))
    assert 0.98 < command.positions[0, 0] <= 1.0
    assert abs(command.velocities[0, 0]) < 0.05


def test_a_motion_within_the_limits_is_untouched():
    safety = _filter()
    command = safety.move(np.array([0.1, 0.1, -0.2]))
    assert not command.clamped
    assert safety.clamped == 0
    np.testing.assert_allclose(command.positions[0], [0.004, 0.004, -0.008])


def test_clamping_keeps_the_direction_and_is_counted():
    safety = _filter()
    command = safety.move(np.array([3.0, 3.0, 3.0]))
    assert command.clamped
    assert safety.clamped == 1
    np.testing.assert_allclose(command.velocities[0], command.velocities[0, 0])


def test_approach_comes_to_rest_at_the_target_without_overshoot():
    safety = _filter()
    target = np.array([0.6, -0.9, 0.3])
    path = [safety.approach(target, speed=1.0).positions[0] for _ in range(60)]
    np.testing.assert_allclose(path[-1], target, atol=1e-4)
    assert not safety.moving
    assert (np.array(path)[:, 0] <= 0.6 + 1e-9).all()
    assert (np.array(path)[:, 1] >= -0.9 - 1e-9).all()


def test_braking_is_smooth_and_ends():
    safety = _filter()
    for _ in range(10):
        before = safety.move(np.array([0.9, 1.4, -0.4]))
    speeds = []
    for _ in range(20):
        command = safety.brake()
        speeds.append(np.abs(command.velocities[0]))
    assert (np.diff(np.array(speeds), axis=0) <= TOLERANCE).all()
    assert not safety.moving
    assert (np.abs(before.velocities[0] - command.velocities[0]) > 0.1).any()


def test_an_arm_that_hears_nothing_more_comes_to_rest():
    safety = _filter()
    for _ in range(10):
        command = safety.move(np.array([0.5, 0.5, 0.1]))
    assert command.times[1] > command.times[0] == PERIOD
    duration = command.times[1] - command.times[0]
    assert (np.abs(command.velocities[0]) / duration <= LIMITS.acceleration + TOLERANCE).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_demands_that_are_not_finite_brake(bad):
    safety = _filter()
    safety.move(np.array([0.1, 0.1, 0.1]))
    command = safety.move(np.array([bad, 0.0, 0.0]))
    np.testing.assert_array_equal(command.velocities[0], 0.0)


def test_a_stop_is_latched_until_rearmed():
    safety = _filter()
    safety.move(np.array([0.1, 0.1, 0.1]))
    safety.stop("button")
    safety.stop("again")
    assert safety.stops == 1
    for _ in range(5):
        command = safety.move(np.array([1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(command.velocities[0], 0.0)
    safety.rearm()
    assert safety.stop_reason == ""
    at_rest = safety.positions
    np.testing.assert_allclose(safety.move(np.array([0.1, 0.0, 0.0])).positions[0], at_rest + [0.004, 0.0, 0.0])


def test_rearming_a_moving_arm_goes_on_braking_within_the_limits():
    safety = _filter()
    for _ in range(10):
        command = safety.move(np.array([0.9, 1.4, -0.4]))
    before = safety.positions, command.velocities[0]
    safety.stop("button")
    safety.rearm()
    assert safety.moving
    _check(safety.brake(), before)


def test_a_joint_found_outside_of_its_limits_is_not_jerked_back():
    safety = _filter((1.2, 0.0, -0.6))
    rng = np.random.default_rng(0)
    last = safety.positions
    np.testing.assert_array_equal(safety.move(np.zeros(3)).positions, [last, last])
    for _ in range(100):
        command = safety.move(rng.normal(0.0, 1.0, 3))
        now = command.positions[0]
        assert (np.abs(now - last) <= LIMITS.velocity * PERIOD + TOLERANCE).all()
        assert now[0] <= max(last[0], 1.0) + TOLERANCE
        assert now[2] >= min(last[2], -0.5) - TOLERANCE
        last = now


def test_nothing_is_sent_without_a_measured_start():
    with pytest.raises(RuntimeError, match="call start"):
        SafetyFilter(LIMITS, PERIOD).move(np.zeros(3))


def test_joints_that_need_not_keep_together_each_arrive_as_soon_as_they_can():
    count = len(LIMITS.velocity)
    target = np.linspace(0.1, 0.5, count)
    arrived = []
    for together in (True, False):
        safety = SafetyFilter(LIMITS, PERIOD, together)
        safety.start(np.zeros(count))
        positions = []
        for _ in range(200):
            positions.append(safety.approach(target, speed=1.0).positions[0])
        path = np.array(positions)
        velocities = np.diff(path, axis=0, prepend=0.0) / PERIOD
        assert (np.abs(velocities) <= LIMITS.velocity + 1e-9).all()
        assert (np.abs(np.diff(velocities, axis=0)) <= LIMITS.acceleration * PERIOD + 1e-9).all()
        np.testing.assert_allclose(path[-1], target, atol=1e-6)
        arrived.append((np.abs(path - target) > 1e-3).sum(axis=0))
    np.testing.assert_allclose(arrived[0], arrived[0][0], atol=2)
    assert (arrived[1] <= arrived[0]).all()
    assert arrived[1][0] < arrived[0][0] - 2
