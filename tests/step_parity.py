"""Whether a batched simulation goes on as the environment of Gymnasium-Robotics does."""

import numpy as np

from her_robot import contract as contracts


def assert_episode_agrees(simulation, env, expected, act, noise):
    """Play an episode in both, which has begun alike, and compare every step.

    Args:
        simulation: of two rows.
        env: unmodified.
        expected: what `env` observed at the beginning.
        act: the action for an observation and some noise.
        noise: its generator.
    """
    contract = simulation.contract
    for _ in range(contract.episode_steps):
        action = act(expected["observation"], noise)
        expected, reward, *_ = env.step(action)
        state = simulation.step(np.stack([action, action]))
        observation = contracts.observation(contract, state)
        achieved = contracts.achieved_goal(contract, state)
        for row in range(2):
            np.testing.assert_allclose(observation[row], expected["observation"], rtol=0, atol=1e-9)
            np.testing.assert_array_equal(achieved[row], expected["achieved_goal"])
        assert contracts.sparse_reward(contract, achieved, expected["desired_goal"])[0] == reward
