"""Goals on the way to others."""

import numpy as np
import pytest
import torch

from her_robot import rotations
from her_robot.contract import (
    FETCH_CONTRACTS,
    HAND_CONTRACTS,
    goal_between,
    goal_difference,
    goal_distance,
    is_success,
    waypoint,
    with_tolerance,
)

REACH, BLOCK = FETCH_CONTRACTS["fetch_reach"], HAND_CONTRACTS["hand_block"]
PEN = HAND_CONTRACTS["hand_pen_rotate"]


def _pose(axis, angle):
    return np.concatenate([[0.1, 0.2, 0.3], rotations.from_axis_angle(np.array(axis), angle)])


def test_positions_lie_on_the_line():
    achieved, desired = np.zeros((3, 3)), np.tile([1.0, 2.0, -4.0], (3, 1))
    between = goal_between(REACH, achieved, desired, np.array([0.0, 0.25, 1.0]))
    np.testing.assert_allclose(between, [[0, 0, 0], [0.25, 0.5, -1.0], [1.0, 2.0, -4.0]])


@pytest.mark.parametrize("angle", [0.0, 0.4, 3.0, 5.5, -5.5])
def test_rotations_go_the_way_round_that_the_goal_tells(angle):
    """Past half a turn the way is the long one: q and -q are different goals in these tasks."""
    achieved, desired = _pose([1.0, 1.0, 0.3], 0.7), _pose([1.0, 1.0, 0.3], 0.7 + angle)
    for share in (0.0, 0.3, 1.0):
        between = goal_between(BLOCK, achieved, desired, np.array(share))
        np.testing.assert_allclose(between, _pose([1.0, 1.0, 0.3], 0.7 + share * angle), atol=1e-9)


def test_a_part_of_the_way_is_that_part_of_the_angle():
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(2, 200, 7))
    poses[..., 3:] /= np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
    achieved, desired = poses
    share = rng.uniform(size=200)
    between = goal_between(HAND_CONTRACTS["hand_block_rotate_xyz"], achieved, desired, share)
    contract = HAND_CONTRACTS["hand_block_rotate_xyz"]
    whole, part = goal_distance(contract, achieved, desired), goal_distance(contract, achieved, between)
    np.testing.assert_allclose(part, share * whole, atol=1e-7)
    np.testing.assert_allclose(
        goal_difference(contract, achieved, between)[:, :3], share[:, None] * (desired - achieved)[:, :3]
    )


def test_how_far_a_pen_has_rolled_is_not_missing_to_its_goal():
    pen, rolled, tilted = _pose([1.0, 0.5, 0.3], 0.7), _pose([1.0, 0.5, 0.3], 0.7), _pose([1.0, 0.5, 0.3], 0.7)
    rolled[3:] = rotations.multiply(rolled[3:], rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), 2.0))
    np.testing.assert_allclose(goal_difference(PEN, pen, rolled)[3:], [1.0, 0.0, 0.0, 0.0], atol=1e-12)
    tilt = rotations.from_axis_angle(rotations.to_matrix(pen[3:])[:, 0], 0.4)
    tilted[3:] = rotations.multiply(tilt, rolled[3:])
    np.testing.assert_allclose(goal_difference(PEN, pen, tilted)[3:], tilt, atol=1e-12)
    np.testing.assert_allclose(goal_difference(PEN, -pen, tilted)[3:], tilt, atol=1e-12)


def test_tensors_give_what_arrays_give():
    rng = np.random.default_rng(1)
    poses = rng.normal(size=(2, 50, 7))
    poses[..., 3:] /= np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
    share = rng.uniform(size=50)
    achieved, desired = poses
    tensors = goal_between(BLOCK, torch.from_numpy(achieved), torch.from_numpy(desired), torch.from_numpy(share))
    np.testing.assert_allclose(tensors.numpy(), goal_between(BLOCK, achieved, desired, share), atol=1e-12)


def test_a_waypoint_is_no_farther_than_its_reach():
    achieved, near, far = np.zeros(3), np.array([0.0, 0.06, 0.08]), np.array([0.0, 0.6, 0.8])
    np.testing.assert_array_equal(waypoint(REACH, achieved, near, 2.0), near)
    np.testing.assert_allclose(waypoint(REACH, achieved, far, 2.0), near)


@pytest.mark.parametrize(("angle", "shown"), [(0.4, 0.4), (3.0, 1.6), (5.5, 1.6), (-5.5, -1.6)])
def test_a_waypoint_lies_the_way_round_that_the_goal_tells(angle, shown):
    contract = HAND_CONTRACTS["hand_block_rotate_z"]
    achieved, desired = _pose([0.0, 0.0, 1.0], 0.7), _pose([0.0, 0.0, 1.0], 0.7 + angle)
    np.testing.assert_allclose(
        waypoint(contract, achieved, desired, 16.0), _pose([0.0, 0.0, 1.0], 0.7 + shown), atol=1e-9
    )


def test_waypoints_of_tensors_are_those_of_arrays():
    rng = np.random.default_rng(2)
    poses = rng.normal(size=(2, 50, 7))
    poses[..., 3:] /= np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
    achieved, desired = poses
    found = waypoint(BLOCK, torch.from_numpy(achieved), torch.from_numpy(desired), 20.0).numpy()
    np.testing.assert_allclose(found, waypoint(BLOCK, achieved, desired, 20.0), atol=1e-12)
    np.testing.assert_allclose(waypoint(BLOCK, achieved[3], desired[3], 20.0), found[3], atol=1e-12)
    # Tolerances, of position and orientation together.
    distance = goal_distance(BLOCK, achieved, desired)
    np.testing.assert_allclose(goal_distance(BLOCK, achieved, found), np.minimum(distance, 20.0), atol=1e-6)
    assert (distance > 20.0).any()


def test_less_tolerance_is_less_of_the_distance_and_of_the_angle():
    strict = with_tolerance(BLOCK, 0.5)
    begin, aside = _pose([0.0, 0.0, 1.0], 0.0), np.array([0.006, 0, 0, 0, 0, 0, 0])
    for achieved, angle, reached in ((begin, 0.04, True), (begin, 0.06, False), (begin + aside, 0.0, False)):
        desired = _pose([0.0, 0.0, 1.0], angle)
        assert is_success(BLOCK, achieved, desired)
        assert is_success(strict, achieved, desired) == reached
    assert with_tolerance(REACH, 1.0) == REACH
