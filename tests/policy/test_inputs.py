"""What the networks see."""

import numpy as np
import pytest
import torch

from her_robot import rotations
from her_robot.contract import CONTRACTS, FETCH_CONTRACTS, term_slice
from her_robot.policy.config import NetworkConfig, NormalizerConfig
from her_robot.policy.inputs import Inputs


def _inputs(task="fetch_push", **network):
    contract = CONTRACTS[task]
    inputs = Inputs(contract, NormalizerConfig(), NetworkConfig(**network), torch.device("cpu"))
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(6, 51, contract.observation_size)).astype(np.float32)
    achieved = observation[..., term_slice(contract, contract.goal.name)]
    inputs.add(inputs.sums_of(observation, achieved, rng.normal(size=(6, 3)).astype(np.float32)))
    return contract, inputs, torch.from_numpy(observation[:, 0])


def test_observation_goal_and_what_is_missing_side_by_side():
    contract, inputs, observation = _inputs()
    goal = torch.randn(6, 3)
    seen = inputs(observation, goal)
    assert seen.shape == (6, inputs.size) == (6, 31)
    normalizers = inputs.normalizers
    torch.testing.assert_close(seen[:, :25], normalizers["observation"](observation))
    torch.testing.assert_close(seen[:, 25:28], normalizers["goal"](goal))
    missing = goal - observation[:, term_slice(contract, "object_pos")]
    torch.testing.assert_close(seen[:, 28:], normalizers["difference"](missing))


def test_a_goal_out_of_reach_is_seen_as_a_waypoint():
    contract, inputs, observation = _inputs(goal_reach=2.0)
    position = observation[:, term_slice(contract, "object_pos")]
    direction = torch.nn.functional.normalize(torch.randn(6, 3), dim=-1)
    seen = inputs(observation, position + 0.1 * direction)
    torch.testing.assert_close(inputs(observation, position + 0.4 * direction), seen)
    assert not torch.allclose(inputs(observation, position + 0.08 * direction), seen, atol=1e-3)
    # Normalised by what is shown, and not by what is missing in truth.
    assert inputs.normalizers["difference"].std.max() < 0.1


def test_without_the_difference():
    _, inputs, observation = _inputs(goal_difference=False)
    assert inputs(observation, torch.randn(6, 3)).shape == (6, 28)


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_relative_inputs_do_not_change_when_everything_moves(task):
    contract, inputs, observation = _inputs(task, positions="relative")
    goal = torch.randn(6, 3)
    moved, moved_goal = observation.clone(), goal + torch.tensor([0.3, -0.2, 0.0])
    for term in ("grip_pos", "object_pos")[: 1 + contract.has_object]:
        start = term_slice(contract, term).start
        moved[:, start : start + 2] += torch.tensor([0.3, -0.2])
    torch.testing.assert_close(inputs(observation, goal), inputs(moved, moved_goal))
    assert not torch.equal(inputs(observation, goal), inputs(observation, moved_goal))


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_reach_keeps_where_the_gripper_is_and_leaves_out_the_rest(task):
    contract, inputs, observation = _inputs(task, positions="reach")
    _, relative, _ = _inputs(task, positions="relative")
    goal = torch.randn(6, 3)
    assert inputs.size == relative.size + 2
    moved = observation.clone()
    moved[:, term_slice(contract, "grip_pos").start] += 0.1
    assert not torch.equal(inputs(observation, goal), inputs(moved, goal))
    if contract.has_object:
        # Object and goal moved alike: what is missing stays, and the gripper's place tells of nothing else.
        moved, moved_goal = observation.clone(), goal + torch.tensor([0.3, -0.2, 0.0])
        start = term_slice(contract, "object_pos").start
        moved[:, start : start + 2] += torch.tensor([0.3, -0.2])
        torch.testing.assert_close(inputs(observation, goal), inputs(moved, moved_goal))


def test_a_snapshot_stays_as_it_is():
    _, inputs, observation = _inputs()
    goal, snapshot = torch.randn(6, 3), inputs.snapshot()
    before = snapshot(observation, goal)
    inputs.add(inputs.sums_of(np.ones((1, 51, 25)), np.ones((1, 51, 3)), np.ones((1, 3))))
    assert torch.equal(snapshot(observation, goal), before)
    assert not torch.equal(inputs(observation, goal), before)


def test_a_block_is_seen_alike_from_all_sides():
    task = "hand_block_rotate_z"
    contract = CONTRACTS[task]
    inputs = Inputs(contract, NormalizerConfig(), NetworkConfig(nearest_side=True), torch.device("cpu"))
    pose, spin = (term_slice(contract, name) for name in ("object_pose", "object_angular_vel"))
    rng = np.random.default_rng(0)
    episodes = rng.normal(size=(6, 101, contract.observation_size)).astype(np.float32)
    inputs.add(inputs.sums_of(episodes, episodes[..., pose], episodes[:, -1, pose]))
    observation, goal = torch.from_numpy(episodes[0, :9]), torch.from_numpy(episodes[1, :9, pose])
    # A quarter turn about the block's own z axis: what was x is y.
    quarter = torch.tensor([0.5**0.5, 0.0, 0.0, 0.5**0.5]).expand(9, 4)
    turned, turned_goal = observation.clone(), goal.clone()
    turned[:, pose.start + 3 : pose.stop] = rotations.multiply(observation[:, pose][:, 3:], quarter)
    turned_goal[:, 3:] = rotations.multiply(goal[:, 3:], quarter)
    turned[:, spin] = torch.stack(
        [observation[:, spin][:, 1], -observation[:, spin][:, 0], observation[:, spin][:, 2]], -1
    )
    torch.testing.assert_close(inputs(turned, turned_goal), inputs(observation, goal), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(inputs(turned, goal), inputs(observation, goal), atol=1e-2)
