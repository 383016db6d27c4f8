"""Playing training episodes: what the policy would do, a guide here and there, and noise.

Episodes are made of what the environments give: NumPy arrays, or tensors on their device.
"""

from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.contract import Contract
from her_robot.policy.config import ExplorationConfig
from her_robot.policy.guide import GUIDES, approach_object
from her_robot.policy.learner import Policy
from her_robot.policy.replay import Episodes


class Explorer:
    """Plays one episode in every environment at a time."""

    def __init__(self, env: Any, config: ExplorationConfig, rng: Any) -> None:
        """
        Args:
            env: a `BatchedGoalEnv` or a `WarpGoalEnv`.
            config: how episodes depart from the policy.
            rng: source of the draws: a `numpy.random.Generator`, or a `DeviceGenerator` on the environments' device.
        """
        self._env, self._config, self._rng = env, config, rng
        self._contract: Contract = env.contract
        self._guide = GUIDES.get(env.contract.task)
        self._near = config.approach_distance if env.contract.gripper_blocked else config.grasp_distance

    def play(self, policy: Policy | None) -> Episodes:
        """One episode in every environment; without a policy, actions are uniformly random where no guide acts."""
        env = self._env
        observation, _ = env.reset()
        desired = observation["desired_goal"]
        approaching, guided_steps = self._draw_guidance()
        observations, achieved, actions = [observation["observation"]], [observation["achieved_goal"]], []
        for step in range(self._contract.episode_steps):
            action = self._action(policy, observation["observation"], desired, approaching, step < guided_steps)
            observation, *_ = env.step(action)
            observations.append(observation["observation"])
            achieved.append(observation["achieved_goal"])
            actions.append(action)
        xp = arrays.namespace(desired)
        return Episodes(
            observation=arrays.to_float32(xp.stack(observations, axis=1)),
            achieved_goal=arrays.to_float32(xp.stack(achieved, axis=1)),
            desired_goal=arrays.to_float32(desired),
            action=arrays.to_float32(xp.stack(actions, axis=1)),
        )

    def _draw_guidance(self) -> tuple[np.ndarray, np.ndarray]:
        """Which environments still approach their object, and for how many steps a guide acts in each, (num_envs,)."""
        size, rng, config = self._env.num_envs, self._rng, self._config
        approaching = (rng.random(size) < config.approach_episodes) & self._contract.has_object
        guided = rng.random(size) < config.guided_episodes
        steps = rng.integers(1, self._contract.episode_steps + 1, size)
        return approaching, arrays.namespace(steps).where(guided, steps, 0)

    def _action(
        self,
        policy: Policy | None,
        observation: np.ndarray,
        desired_goal: np.ndarray,
        approaching: np.ndarray,
        guided: np.ndarray,
    ) -> np.ndarray:
        rng, config, shape = self._rng, self._config, (len(observation), self._contract.action_size)
        uniform = rng.uniform(-1.0, 1.0, shape)
        action = policy.explore(observation, desired_goal, rng) if policy else arrays.copy(uniform)
        if approaching.any():
            towards, distance = approach_object(self._contract, observation)
            approaching &= distance > self._near
            action[approaching] = towards[approaching]
        if guided.any() and self._guide is not None:
            action[guided] = self._guide(self._contract, observation[guided], desired_goal[guided])
        xp = arrays.namespace(action)
        action = xp.clip(action + config.noise * rng.standard_normal(shape), -1.0, 1.0)
        explores = rng.random(len(action)) < config.random_action
        return xp.where(explores[:, None], uniform, action)
