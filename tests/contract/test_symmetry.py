"""An object whose axes are named anew is the same object."""

import numpy as np
import pytest
import torch

from her_robot import rotations
from her_robot.contract import HAND_CONTRACTS, goal_difference, term_slice
from her_robot.contract.symmetry import cube_rotations, show_nearest_side, sides_of, spindle_rotations

CONTRACT = HAND_CONTRACTS["hand_block"]
POSE = term_slice(CONTRACT, "object_pose")
SPIN = term_slice(CONTRACT, "object_angular_vel")


def _anything(count=500):
    rng = np.random.default_rng(0)
    observation, goal = rng.normal(size=(count, CONTRACT.observation_size)), rng.normal(size=(count, 7))
    observation[:, POSE][:, 3:] /= np.linalg.norm(observation[:, POSE][:, 3:], axis=1, keepdims=True)
    goal[:, 3:] /= np.linalg.norm(goal[:, 3:], axis=1, keepdims=True)
    return observation, goal


def test_the_rotations_of_a_cube_are_a_group_of_24_with_both_signs():
    sides = cube_rotations()
    assert sides.shape == (48, 4)
    matrices = rotations.to_matrix(sides)
    np.testing.assert_allclose(np.sort(np.abs(matrices), axis=-1), np.tile([0.0, 0.0, 1.0], (48, 3, 1)), atol=1e-12)
    assert len(np.unique(matrices.round(6), axis=0)) == 24
    products = rotations.multiply(sides[:, None], sides[None]).reshape(-1, 4)
    assert len(np.unique(products.round(6) + 0.0, axis=0)) == 48


def test_the_rotations_of_a_spindle_are_a_group_that_keeps_its_axis():
    sides = spindle_rotations()
    axis = rotations.to_matrix(sides)[..., 2]
    np.testing.assert_allclose(axis, np.where(np.arange(288) < 144, 1.0, -1.0)[:, None] * [0.0, 0.0, 1.0], atol=1e-12)
    known = {tuple(side) for side in sides.round(6) + 0.0}
    products = rotations.multiply(sides[:, None], sides[None]).reshape(-1, 4)
    assert {tuple(product) for product in products.round(6) + 0.0} == known
    assert len(known) == 288


@pytest.mark.parametrize("task", ["hand_block", "hand_egg_rotate", "hand_pen_rotate"])
def test_what_is_to_be_done_stays_the_same(task):
    contract = HAND_CONTRACTS[task]
    observation, goal = _anything()
    seen, wanted = show_nearest_side(contract, observation, goal, sides_of(contract))
    before = goal_difference(contract, observation[:, POSE], goal)
    np.testing.assert_allclose(goal_difference(contract, seen[:, POSE], wanted), before, atol=1e-9)


def test_the_object_lies_and_turns_as_before_in_the_world():
    observation, goal = _anything()
    seen, _ = show_nearest_side(CONTRACT, observation, goal, cube_rotations())

    def in_world(values):
        return np.einsum("nij,nj->ni", rotations.to_matrix(values[:, POSE][:, 3:]), values[:, SPIN])

    np.testing.assert_allclose(in_world(seen), in_world(observation), atol=1e-12)
    others = np.setdiff1d(np.arange(CONTRACT.observation_size), [*range(SPIN.start, SPIN.stop), *range(57, 61)])
    assert POSE.stop == 61
    np.testing.assert_array_equal(seen[:, others], observation[:, others])
    # The axes point along the same lines, whatever they are called.
    first = rotations.to_matrix(seen[:, POSE][:, 3:])
    lines = np.abs(np.einsum("nij,nik->njk", first, rotations.to_matrix(observation[:, POSE][:, 3:])))
    np.testing.assert_allclose(np.sort(lines, axis=-1), np.tile([0.0, 0.0, 1.0], (len(lines), 3, 1)), atol=1e-9)


def test_no_side_is_nearer():
    observation, goal = _anything()
    seen, _ = show_nearest_side(CONTRACT, observation, goal, cube_rotations())
    # A cube can always be named so that at most 62.8 degrees are left (its farthest orientations).
    assert (2.0 * np.arccos(seen[:, POSE][:, 3]) < np.radians(62.9)).all()


def test_a_spindle_is_seen_nearly_untwisted_and_with_its_nearer_end_up():
    observation, goal = _anything()
    seen, _ = show_nearest_side(HAND_CONTRACTS["hand_egg"], observation, goal, spindle_rotations())
    w, _, _, z = seen[:, POSE][:, 3:].T
    assert (w > 0.0).all()
    assert (np.abs(2.0 * np.arctan2(z, w)) <= np.radians(2.5) + 1e-9).all()
    # As far as the nearer of its ends was from the world's z axis, tilted by at most a right angle.
    height = rotations.to_matrix(observation[:, POSE][:, 3:])[:, 2, 2]
    np.testing.assert_allclose(rotations.to_matrix(seen[:, POSE][:, 3:])[:, 2, 2], np.abs(height), atol=1e-12)


def test_cubes_that_look_alike_are_seen_alike():
    observation, goal = _anything(1)
    many, goals = np.repeat(observation, 48, axis=0), np.repeat(goal, 48, axis=0)
    for values, at in ((many, slice(POSE.start + 3, POSE.stop)), (goals, slice(3, 7))):
        values[:, at] = rotations.multiply(values[:, at], cube_rotations())
    turn = rotations.to_matrix(cube_rotations())
    many[:, SPIN] = np.einsum("nji,nj->ni", turn, many[:, SPIN])
    for values in show_nearest_side(CONTRACT, many, goals, cube_rotations()):
        np.testing.assert_allclose(values, np.broadcast_to(values[:1], values.shape), atol=1e-9)


def test_tensors_as_arrays():
    observation, goal = _anything()
    arrays = show_nearest_side(CONTRACT, observation, goal, cube_rotations())
    tensors = show_nearest_side(
        CONTRACT, torch.from_numpy(observation), torch.from_numpy(goal), torch.from_numpy(cube_rotations())
    )
    for array, tensor in zip(arrays, tensors, strict=True):
        np.testing.assert_allclose(tensor.numpy(), array, atol=1e-12)
