"""Training episodes: the approach, the guide, the noise."""

from typing import cast

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from her_robot.contract import contract_of, term_slice
from her_robot.policy.acting import Policy
from her_robot.policy.config import ExplorationConfig
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.policy.exploration import Explorer
from her_robot.policy.guide import approach_object
from her_robot.sim.goal_env import BatchedGoalEnv


class _Still:
    """A policy that does nothing."""

    def __init__(self, action_size=4):
        self._action_size = action_size

    def memory(self):
        return EpisodeMemory(0, self._action_size)

    def explore(self, observation, desired_goal, memory, rng, explores):
        return np.zeros((len(observation), self._action_size))


def _play(task, num_envs=8, policy=None, **config):
    env = BatchedGoalEnv(task, num_envs, 1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    settings = ExplorationConfig(**{"noise": 0.0, "random_action": 0.0, **config})
    episodes = Explorer(env, settings, np.random.default_rng(0)).play(cast(Policy, policy or _Still()))
    env.close()
    return episodes


def _distance(task, episodes):
    relative = episodes.observation[..., term_slice(contract_of(task), "object_rel_pos")]
    return np.linalg.norm(relative, axis=-1)


@pytest.mark.parametrize(
    ("task", "near"), [("fetch_push", 0.06), ("fetch_slide", 0.06), ("fetch_pick_and_place", 0.03)]
)
def test_the_gripper_goes_to_the_object(task, near):
    distance = _distance(task, _play(task, approach_episodes=1.0))
    assert (distance[:, 0] > 0.09).all()
    assert (distance.min(axis=1) < near + 0.005).all()
    if task != "fetch_slide":
        # Then the policy acts, which does nothing here: the object is not run over, though a puck slides on.
        assert (distance[:, -1] < 0.12).all()


def test_open_fingers_straddle_the_object():
    task = "fetch_pick_and_place"
    episodes = _play(task, approach_episodes=1.0)
    contract = contract_of(task)
    moved = np.linalg.norm(episodes.achieved_goal[:, -1] - episodes.achieved_goal[:, 0], axis=1)
    assert np.median(moved) < 0.01
    fingers = episodes.observation[..., term_slice(contract, "gripper_state")].sum(axis=-1)
    assert (fingers.max(axis=1) > 0.08).all()


def test_the_share_of_episodes_that_approach():
    distance = _distance("fetch_push", _play("fetch_push", num_envs=40, approach_episodes=0.5))
    near = distance.min(axis=1) < 0.07
    assert 0.25 < near.mean() < 0.75
    assert (distance[~near] > 0.09).all()


def test_without_an_object_there_is_no_approach():
    episodes = _play("fetch_reach", approach_episodes=1.0)
    assert np.abs(episodes.action).max() == 0.0


def test_noise_and_random_actions():
    still = _play("fetch_push", noise=0.2)
    assert still.action.std() == pytest.approx(0.2, abs=0.02)
    uniform = _play("fetch_push", random_action=1.0)
    assert uniform.action.std() == pytest.approx(1 / 3**0.5, abs=0.03)


def test_quiet_episodes_are_the_policy_s_own():
    episodes = _play("fetch_push", num_envs=40, quiet_episodes=0.5, noise=0.2, random_action=0.1, approach_episodes=1.0)
    quiet = np.abs(episodes.action).max(axis=(1, 2)) == 0.0
    assert 0.25 < quiet.mean() < 0.75
    assert episodes.action[~quiet].std(axis=(1, 2)).min() > 0.1


def test_open_fingers_stay_above_what_they_are_not_over():
    contract = contract_of("fetch_pick_and_place")
    observation = np.zeros((2, contract.observation_size))
    observation[:, term_slice(contract, "object_rel_pos")] = [[0.1, 0.0, -0.05], [0.001, 0.0, -0.05]]
    action, distance = approach_object(contract, observation)
    assert action[0, 2] > 0 > action[1, 2]
    np.testing.assert_allclose(action[:, 3], 1.0)
    np.testing.assert_allclose(distance, np.hypot([0.1, 0.001], 0.05))


def test_noise_that_is_held_stays_for_so_many_steps_and_differs_in_size():
    episodes = _play("fetch_reach", num_envs=40, noise=0.2, hold_steps=20)
    holds = np.split(episodes.action, [20, 40], axis=1)
    for hold in holds:
        np.testing.assert_array_equal(hold, np.broadcast_to(hold[:, :1], hold.shape))
    assert not np.isclose(holds[0][:, 0], holds[1][:, 0]).any()
    sizes = np.array([hold[:, 0].std(axis=1) for hold in holds])
    assert sizes.max() < 0.5
    assert sizes.min() < 0.02
    # Scaled by a uniform draw, a variance is a third.
    assert np.sqrt(np.mean([np.square(hold[:, 0]).mean() for hold in holds])) == pytest.approx(0.2 / 3**0.5, abs=0.015)


def test_random_actions_are_held_as_well():
    episodes = _play("fetch_reach", random_action=1.0, hold_steps=10)
    assert (np.abs(np.diff(episodes.action, axis=1)).max(axis=(0, 2)) > 0).nonzero()[0].tolist() == [9, 19, 29, 39]


def test_nearer_goals_lie_on_the_way_from_where_the_episode_begins():
    episodes = _play("fetch_reach", num_envs=60, nearer_goals=0.5)
    env = BatchedGoalEnv("fetch_reach", 60, 1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    asked = env.reset()[0]["desired_goal"]
    env.close()
    begin = episodes.achieved_goal[:, 0]
    share = np.linalg.norm(episodes.desired_goal - begin, axis=1) / np.linalg.norm(asked - begin, axis=1)
    np.testing.assert_allclose(episodes.desired_goal, begin + share[:, None] * (asked - begin), atol=1e-5)
    nearer = share < 0.999
    assert 0.3 < nearer.mean() < 0.7
    assert 0.3 < share[nearer].mean() < 0.7


def test_continued_episodes_begin_where_those_before_ended():
    env = BatchedGoalEnv("hand_reach", 40, 1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    settings = ExplorationConfig(noise=0.5, random_action=0.0, continued_episodes=0.5)
    explorer = Explorer(env, settings, np.random.default_rng(0), episode_steps=5)
    still, judged = cast(Policy, _Still(20)), np.arange(40) < 10
    first = explorer.play(still)
    second = explorer.play(still, judged)
    env.close()
    joints = term_slice(env.contract, "joint_pos")
    begins, ends = second.observation[:, 0, joints], first.observation[:, -1, joints]
    gone_on = (begins == ends).all(axis=1)
    assert not gone_on[judged].any()
    assert 0.25 < gone_on[~judged].mean() < 0.75
    np.testing.assert_array_equal(begins[~gone_on], begins[:1].repeat(sum(~gone_on), axis=0))
