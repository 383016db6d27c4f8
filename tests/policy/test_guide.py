"""The scripted guides solve what they are to show."""

import numpy as np
import pytest

from her_robot.policy.guide import GUIDES
from her_robot.sim.goal_env import BatchedGoalEnv


@pytest.mark.parametrize("task", GUIDES)
def test_brings_the_object_to_nearly_every_goal(task):
    env = BatchedGoalEnv(task, num_envs=20)
    observation, _ = env.reset(seed=0)
    for _ in range(env.contract.episode_steps):
        action = GUIDES[task](env.contract, observation["observation"], observation["desired_goal"], 1.0)
        assert np.abs(action).max() <= 1.0
        observation, _, _, _, info = env.step(action)
    assert info["is_success"].mean() >= 0.9
