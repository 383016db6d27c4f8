"""Playing training episodes: what the policy would do, a guide here and there, and noise.

Episodes are made of what the environments give: NumPy arrays, or tensors on their device.
"""

from typing import Any, NamedTuple

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.contract import Contract, FetchContract, goal_between
from her_robot.policy.acting import Policy
from her_robot.policy.config import ExplorationConfig
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.policy.guide import approach_object, scripted_guide
from her_robot.policy.replay import Episodes


class _Noise(NamedTuple):
    """What exploration does to actions, for as long as it is held."""

    uniform: Array
    """Random actions (n, action_size)."""
    added: Array
    """Added to the policy's actions (n, action_size)."""
    replaces: Array
    """Where a random action is taken instead, boolean (n,)."""


class Explorer:
    """Plays one episode in every environment at a time."""

    def __init__(
        self, env: Any, config: ExplorationConfig, rng: Any, with_truth: bool = False, episode_steps: int | None = None
    ) -> None:
        """
        Args:
            env: a `BatchedGoalEnv` or a `WarpGoalEnv` that resets all its rows together.
            config: how it explores.
            rng: source of its draws: a `numpy.random.Generator`, or a `DeviceGenerator` on the environments' device.
            with_truth: record the truth as well, and what was drawn for the episodes.
            episode_steps: how long an episode lasts; default: as long as the task says.
        """
        self._env, self._config, self._rng = env, config, rng
        self._contract: Contract = env.contract
        self._episode_steps = episode_steps or env.contract.episode_steps
        self.guide = scripted_guide(env.contract, with_truth)
        """What acts in guided episodes; None for none."""
        self._with_truth = with_truth
        self._near = config.grasp_distance
        if isinstance(env.contract, FetchContract) and env.contract.gripper_blocked:
            self._near = config.approach_distance

    def play(self, policy: Policy | None, judged: np.ndarray | None = None) -> Episodes:
        """One episode in every environment; without a policy, actions are uniformly random where no guide acts.

        Args:
            policy: that acts.
            judged: environments in which it acts alone, without exploration, boolean (num_envs,); default: none.
        """
        env = self._env
        observation, _ = env.reset(options=self._draw_continued(judged))
        desired = self._goals(observation["achieved_goal"], observation["desired_goal"])
        alone = self._draw_quiet(desired) if judged is None else judged | self._draw_quiet(desired)
        approaching, guided_steps = self._draw_guidance()
        observations, achieved, actions = [observation["observation"]], [observation["achieved_goal"]], []
        truths = [env.true_observation()] if self._with_truth else []
        noise = self._draw_noise()
        memory = policy.memory() if policy else EpisodeMemory(0, self._contract.action_size)
        for step in range(self._episode_steps):
            if step and step % self._config.hold_steps == 0:
                noise = self._draw_noise()
            seen = observation["observation"]
            shown = truths[-1] if self._with_truth else seen
            action = self._action(policy, memory, seen, shown, desired, approaching, step < guided_steps, alone, noise)
            memory.record(seen, action)
            observation, *_ = env.step(action)
            observations.append(observation["observation"])
            achieved.append(observation["achieved_goal"])
            actions.append(action)
            if self._with_truth:
                truths.append(env.true_observation())
        xp = arrays.namespace(desired)
        return Episodes(
            observation=arrays.to_float32(xp.stack(observations, axis=1)),
            achieved_goal=arrays.to_float32(xp.stack(achieved, axis=1)),
            desired_goal=arrays.to_float32(desired),
            action=arrays.to_float32(xp.stack(actions, axis=1)),
            truth=arrays.to_float32(xp.stack(truths, axis=1)) if self._with_truth else None,
            parameters=env.parameters if self._with_truth else None,
        )

    def _goals(self, achieved: Array, desired: Array) -> Array:
        """What the policy is asked for (n, goal_size), from what is achieved at first and what the task asks for."""
        if not self._config.nearer_goals:
            return desired
        nearer = self._rng.random(len(desired)) < self._config.nearer_goals
        share = arrays.namespace(desired).where(nearer, self._rng.random(len(desired)), 1.0)
        return goal_between(self._contract, achieved, desired, share)

    def _draw_continued(self, judged: np.ndarray | None) -> dict[str, np.ndarray] | None:
        """Which environments go on where their last episode ended; options of a reset."""
        if not self._config.continued_episodes:
            return None
        continued = self._rng.random(self._env.num_envs) < self._config.continued_episodes
        return {"continued": continued if judged is None else continued & ~judged}

    def _draw_quiet(self, goals: Array) -> Array:
        """Environments in which the policy acts without exploration, boolean (num_envs,)."""
        if not self._config.quiet_episodes:
            return arrays.namespace(goals).zeros_like(goals[:, 0], dtype=bool)
        return self._rng.random(len(goals)) < self._config.quiet_episodes

    def _draw_guidance(self) -> tuple[np.ndarray, np.ndarray]:
        """Which environments still approach their object, and for how many steps a guide acts in each, (num_envs,)."""
        size, rng, config = self._env.num_envs, self._rng, self._config
        approaching = (rng.random(size) < config.approach_episodes) & self._contract.has_object
        guided = rng.random(size) < config.guided_episodes
        steps = rng.integers(1, self._episode_steps + 1, size)
        return approaching, arrays.namespace(steps).where(guided, steps, 0)

    def _action(
        self,
        policy: Policy | None,
        memory: EpisodeMemory,
        observation: Array,
        shown: Array,
        desired_goal: Array,
        approaching: Array,
        guided: Array,
        alone: Array,
        noise: _Noise,
    ) -> Array:
        own = policy.explore(observation, desired_goal, memory, self._rng, ~alone) if policy else noise.uniform
        action = arrays.copy(own)
        if approaching.any():
            towards, distance = approach_object(self._contract, observation)
            approaching &= distance > self._near
            action[approaching] = towards[approaching]
        if guided.any() and self.guide:
            action[guided] = self.guide(shown[guided], desired_goal[guided])
        xp = arrays.namespace(action)
        action = xp.clip(action + noise.added, -1.0, 1.0)
        action = xp.where(noise.replaces[:, None], noise.uniform, action)
        return xp.where(alone[:, None], own, action) if policy else action

    def _draw_noise(self) -> _Noise:
        rng, config, shape = self._rng, self._config, (self._env.num_envs, self._contract.action_size)
        uniform, added = rng.uniform(-1.0, 1.0, shape), config.noise * rng.standard_normal(shape)
        replaces = rng.random(len(added)) < config.random_action
        if config.hold_steps > 1:
            added *= rng.random((len(added), 1))
        return _Noise(uniform, added, replaces)
