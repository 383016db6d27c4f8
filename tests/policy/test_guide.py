"""The scripted pusher solves what it is to show."""

import numpy as np

from her_robot.policy.guide import guide_push
from her_robot.sim.goal_env import BatchedGoalEnv


def test_pushes_the_object_to_nearly_every_goal():
    env = BatchedGoalEnv("fetch_push", num_envs=20)
    observation, _ = env.reset(seed=0)
    for _ in range(env.contract.episode_steps):
        action = guide_push(env.contract, observation["observation"], observation["desired_goal"])
        assert np.abs(action).max() <= 1.0
        observation, _, _, _, info = env.step(action)
    assert info["is_success"].mean() >= 0.9
