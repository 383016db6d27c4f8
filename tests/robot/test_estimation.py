"""Velocities from sampled poses, holding, and carrying what is pushed out of sight."""

import numpy as np
import pytest

from her_robot.robot.estimation import PoseTracker, TrackerConfig, VelocityFilter

ALWAYS = np.array([True])


def _about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]])


def _see(tracker, time, x, yaw=0.0):
    tracker.update(ALWAYS, np.array([time]), np.array([[x, 0.0, 0.4]]), _about_z(yaw))


def test_velocities_of_a_steady_motion():
    tracker = PoseTracker()
    for k in range(20):
        _see(tracker, k / 15, 0.3 * k / 15, 0.5 * k / 15)
    state = tracker.state(19 / 15)
    np.testing.assert_allclose(state.velocity[0], [0.3, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(state.angular_velocity[0], [0.0, 0.0, 0.5], atol=1e-6)


def test_a_step_in_velocity_is_followed_with_the_time_constant():
    config = TrackerConfig(velocity_time_constant=0.05)
    tracker = PoseTracker(config=config)
    _see(tracker, 0.0, 0.0)
    _see(tracker, 0.05, 0.05)
    assert tracker.state(0.05).velocity[0, 0] == pytest.approx(1.0 - np.exp(-1.0))


def test_positions_are_held_and_velocities_end():
    tracker = PoseTracker()
    _see(tracker, 0.0, 0.0)
    _see(tracker, 0.1, 0.1)
    later = tracker.state(0.5)
    assert later.position[0, 0] == 0.1
    np.testing.assert_array_equal(later.velocity, 0.0)
    assert tracker.age(0.5)[0] == pytest.approx(0.4)
    assert PoseTracker().age(0.0)[0] == np.inf


def test_old_poses_are_ignored():
    tracker = PoseTracker()
    _see(tracker, 1.0, 0.1)
    _see(tracker, 0.9, 0.7)
    _see(tracker, 1.0, 0.7)
    assert tracker.state(1.0).position[0, 0] == 0.1


def test_rows_are_independent_and_can_be_forgotten():
    tracker = PoseTracker(2)
    both = np.array([True, True])
    eye = np.tile(np.eye(3), (2, 1, 1))
    tracker.update(both, np.array([0.0, 0.0]), np.zeros((2, 3)), eye)
    tracker.update(np.array([False, True]), np.array([0.1, 0.1]), np.ones((2, 3)), eye)
    np.testing.assert_array_equal(tracker.state(0.1).position, [[0, 0, 0], [1, 1, 1]])
    tracker.reset(np.array([1]))
    np.testing.assert_array_equal(np.isinf(tracker.age(0.1)), [False, True])


@pytest.mark.parametrize(
    ("grip", "moved"),
    [
        ((-0.02, 0.0, 0.4), (0.019, 0.0)),
        ((0.0, 0.03, 0.4), (0.0, -0.009)),
        ((-0.05, 0.0, 0.4), (0.0, 0.0)),
        ((-0.02, 0.0, 0.5), (0.0, 0.0)),
    ],
    ids=["from behind", "from the side", "not touching", "above"],
)
def test_an_unseen_object_is_carried_out_of_the_gripper(grip, moved):
    tracker = PoseTracker()
    _see(tracker, 0.0, 0.0)
    tracker.carry(0.5, np.array([grip]))
    np.testing.assert_allclose(tracker.state(0.5).position[0], [*moved, 0.4], atol=1e-9)
    assert tracker.age(0.5)[0] == pytest.approx(0.5)


def _hold(tracker, grip=(0.005, 0.002, 0.41), gap=0.048):
    """The object is seen at (0, 0, 0.4), and the fingers close on it."""
    _see(tracker, 0.0, 0.0)
    tracker.carry(0.04, np.array([[0.3, 0.0, 0.6]]), 0.1)
    tracker.carry(0.08, np.array([grip]), gap)


def test_a_held_object_goes_where_the_fingers_go_seen_or_not():
    tracker = PoseTracker()
    _hold(tracker)
    for k in range(3, 40):
        tracker.carry(0.04 * k, np.array([[0.005 + 0.01 * (k - 2), 0.002, 0.41 + 0.015 * (k - 2)]]), 0.048)
    state = tracker.state(0.04 * 39)
    np.testing.assert_allclose(state.position[0], [0.37, 0.0, 0.4 + 0.555], atol=1e-9)
    np.testing.assert_allclose(state.velocity[0], [0.25, 0.0, 0.375], atol=1e-3)
    assert tracker.age(0.04 * 39)[0] == pytest.approx(1.56)
    assert tracker.lost_for(0.04 * 39)[0] == pytest.approx(0.0)


def test_an_image_of_a_held_object_is_compared_with_where_the_gripper_was_then():
    tracker = PoseTracker()
    _hold(tracker)
    for k in range(3, 10):
        tracker.carry(0.04 * k, np.array([[0.005, 0.002, 0.41 + 0.02 * (k - 1)]]), 0.048)
    # Taken before the fingers had closed on it.
    tracker.update(ALWAYS, np.array([0.06]), np.array([[0.0, 0.0, 0.4]]), np.eye(3)[None])
    np.testing.assert_allclose(tracker.state(0.36).position[0], [0.0, 0.0, 0.56], atol=1e-9)
    # Taken 0.1 s ago, when the gripper was 5 cm lower; the object has slipped by 3 mm.
    tracker.update(ALWAYS, np.array([0.26]), np.array([[0.0, 0.003, 0.4 + 0.11]]), np.eye(3)[None])
    np.testing.assert_allclose(tracker.state(0.36).position[0], [0.0, 0.003, 0.56], atol=1e-9)
    tracker.carry(0.40, np.array([[0.005, 0.002, 0.59]]), 0.048)
    np.testing.assert_allclose(tracker.state(0.40).position[0], [0.0, 0.003, 0.58], atol=1e-9)
    np.testing.assert_allclose(tracker.state(0.40).velocity[0, 2], 0.5, atol=0.03)


def test_one_misread_image_of_a_held_object_moves_it_little():
    tracker = PoseTracker()
    _hold(tracker)
    tracker.carry(0.12, np.array([[0.005, 0.002, 0.41]]), 0.048)
    tracker.update(ALWAYS, np.array([0.1]), np.array([[0.002, 0.0, 0.35]]), np.eye(3)[None])
    np.testing.assert_allclose(tracker.state(0.12).position[0], [0.002, 0.0, 0.395], atol=1e-9)


@pytest.mark.parametrize(
    ("grip", "gap"),
    [((0.0, 0.0, 0.46), 0.048), ((0.0, 0.0, 0.41), 0.06), ((0.05, 0.0, 0.41), 0.048), ((0.0, 0.0, 0.41), 0.02)],
    ids=["above it", "open", "beside it", "closed too far"],
)
def test_what_is_not_held_stays(grip, gap):
    tracker = PoseTracker()
    _hold(tracker, grip, gap)
    tracker.carry(0.12, np.array([grip]) + [[0.0, 0.0, 0.1]], gap)
    np.testing.assert_allclose(tracker.state(0.12).position[0], [0.0, 0.0, 0.4], atol=1e-9)


def test_an_object_that_is_let_go_of_stays_where_it_is():
    tracker = PoseTracker()
    _hold(tracker)
    tracker.carry(0.12, np.array([[0.025, 0.002, 0.41]]), 0.048)
    tracker.carry(0.16, np.array([[0.025, 0.002, 0.41]]), 0.06)
    tracker.carry(0.20, np.array([[0.205, 0.002, 0.61]]), 0.06)
    np.testing.assert_allclose(tracker.state(0.20).position[0], [0.02, 0.0, 0.4], atol=1e-9)


def test_open_fingers_straddle_an_unseen_object_and_each_pushes():
    tracker = PoseTracker()
    _see(tracker, 0.0, 0.0)
    tracker.carry(0.5, np.array([[0.0, 0.005, 0.4]]), 0.08)
    np.testing.assert_allclose(tracker.state(0.5).position[0], [0.0, 0.0, 0.4], atol=1e-9)
    # The right finger's inner side is at 0.03 - 0.04 = -0.01, 15 mm inside of the object.
    tracker.carry(0.54, np.array([[0.0, 0.03, 0.4]]), 0.08)
    np.testing.assert_allclose(tracker.state(0.54).position[0], [0.0, 0.015, 0.4], atol=1e-9)


def test_a_seen_object_is_not_carried():
    tracker = PoseTracker()
    _see(tracker, 0.45, 0.0)
    tracker.carry(0.5, np.array([[-0.02, 0.0, 0.4]]))
    assert tracker.state(0.5).position[0, 0] == 0.0


def test_what_is_seen_again_is_believed():
    tracker = PoseTracker()
    _see(tracker, 0.0, 0.0)
    tracker.carry(0.5, np.array([[-0.02, 0.0, 0.4]]))
    _see(tracker, 0.45, 0.01)
    assert tracker.state(0.5).position[0, 0] == 0.01


def test_velocity_filter():
    filtered = VelocityFilter(time_constant=0.02)
    np.testing.assert_array_equal(filtered.update(0.0, np.array([1.0, 2.0])), [0.0, 0.0])
    for k in range(1, 30):
        velocity = filtered.update(0.01 * k, np.array([1.0 + 0.02 * k, 2.0]))
    np.testing.assert_allclose(velocity, [2.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(filtered.update(0.1, np.array([9.0, 9.0])), velocity)
    filtered.reset()
    np.testing.assert_array_equal(filtered.update(5.0, np.array([7.0, 7.0])), [0.0, 0.0])
