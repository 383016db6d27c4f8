import numpy as np
import pytest

from her_robot.sim.trajectory import TrajectoryFollower

START = np.array([0.1, -0.2])
TIMES = np.array([0.1, 0.3])
POSITIONS = np.array([[0.2, -0.1], [0.5, 0.3]])
VELOCITIES = np.array([[1.0, 2.0], [0.0, 0.5]])


@pytest.fixture
def follower():
    follower = TrajectoryFollower(START)
    follower.follow(0.0, TIMES, POSITIONS, VELOCITIES)
    return follower


def test_without_a_trajectory_it_stays():
    position, velocity = TrajectoryFollower(START).reference(3.0)
    np.testing.assert_array_equal(position, START)
    np.testing.assert_array_equal(velocity, 0.0)


def test_it_passes_the_points_with_their_velocities(follower):
    for time, position, velocity in zip(TIMES, POSITIONS, VELOCITIES, strict=True):
        found = follower.reference(time - 1e-9)
        np.testing.assert_allclose(found[0], position, atol=1e-7)
        np.testing.assert_allclose(found[1], velocity, atol=1e-6)


def test_velocity_is_the_derivative_of_position(follower):
    step = 1e-6
    for time in np.linspace(0.01, 0.29, 20):
        difference = follower.reference(time + step)[0] - follower.reference(time - step)[0]
        np.testing.assert_allclose(difference / (2 * step), follower.reference(time)[1], atol=1e-4)


def test_after_the_last_point_it_holds_there_at_rest(follower):
    position, velocity = follower.reference(0.3)
    np.testing.assert_array_equal(position, POSITIONS[-1])
    np.testing.assert_array_equal(velocity, 0.0)


def test_a_new_trajectory_goes_on_from_where_the_reference_is_moving(follower):
    before = follower.reference(0.05)
    follower.follow(0.05, np.array([0.5]), POSITIONS[:1], VELOCITIES[:1])
    after = follower.reference(0.05)
    np.testing.assert_allclose(after[0], before[0])
    np.testing.assert_allclose(after[1], before[1])


def test_points_that_are_past_are_skipped():
    follower = TrajectoryFollower(START)
    follower.follow(0.2, TIMES, POSITIONS, VELOCITIES)
    np.testing.assert_array_equal(follower.reference(0.2)[0], START)
    np.testing.assert_array_equal(follower.reference(1.0)[0], POSITIONS[-1])


def test_a_trajectory_that_is_over_is_not_followed(follower):
    before = follower.reference(0.2)[0]
    follower.follow(0.2, np.array([0.15]), POSITIONS[1:], VELOCITIES[1:])
    np.testing.assert_array_equal(follower.reference(0.2)[0], before)
