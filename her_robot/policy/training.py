"""The training loop. It yields progress; whoever wants to draw, log or stop consumes it."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from her_robot.contract import contract_of, is_success
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.errors import TrainingDivergedError
from her_robot.policy.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from her_robot.policy.config import TrainConfig
from her_robot.policy.ddpg import Losses
from her_robot.policy.guide import GUIDES
from her_robot.policy.learner import Learner
from her_robot.policy.replay import Episodes
from her_robot.sim.goal_env import BatchedGoalEnv

_EVALUATION_SEED = 500_000_000
"""Evaluations during training take seeds from here on; final evaluations take others (`her_robot.evaluation`)."""
_EVALUATION_ROWS = 50


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a cycle."""

    env_steps: int
    """Environment steps, summed over environments."""
    updates: int
    episodes: int
    wall_s: float
    """Time spent, over all sessions of the run [s]."""
    simulation_s: float
    """Share of it that went into stepping environments [s]."""
    learning_s: float
    """Share of it that went into updates [s]."""
    exploring_success_rate: float
    """Final-step success of this cycle's training episodes."""
    losses: Losses | None
    """None during warm-up."""
    success_rate: float | None = None
    """Of the deterministic policy in the nominal environment; None where no evaluation was due."""
    success_rate_randomized: float | None = None
    """The same in the randomised environment; None also where nothing is randomised."""


class Trainer:
    """One run: environments, a learner, and the counters that a checkpoint holds."""

    def __init__(self, config: TrainConfig, directory: Path) -> None:
        torch.manual_seed(config.seed)
        threads = config.num_threads or os.cpu_count() or 1
        torch.set_num_threads(threads)
        self.config = config
        self.contract = contract_of(config.task)
        self.preset = load_preset(config.randomization)
        self.learner = Learner(self.contract, config)
        self._checkpoints = directory / "checkpoints"
        self._env = BatchedGoalEnv(config.task, config.num_envs, threads, self.preset, AutoresetMode.DISABLED)
        self._env.reset(seed=config.seed)
        self._evaluation_envs = _evaluation_envs(config, threads, self.preset)
        self._guide = GUIDES.get(config.task)
        self._rng = np.random.default_rng([config.seed, 1])
        self.progress = Progress(0, 0, 0, 0.0, 0.0, 0.0, 0.0, None)

    def run(self) -> Iterator[Progress]:
        """Train until `total_steps`; yields after every cycle, and checkpoints when one is due and at the end.

        Raises:
            TrainingDivergedError: a loss became NaN or infinite; the message says where the state that led there is.
            CheckpointError: a checkpoint could not be written.
        """
        saved = time.monotonic()
        while self.progress.env_steps < self.config.total_steps:
            self.progress = self._cycle()
            if time.monotonic() - saved >= self.config.checkpoint_interval:
                self.save()
                saved = time.monotonic()
            yield self.progress
        self.save()

    def save(self, below: str = "") -> Path:
        """Write a checkpoint. A cycle begins with a reset: environments have no state but their random generators."""
        learner = self.learner
        arrays = {
            **_prefixed("replay", learner.buffer.state()),
            **_prefixed("observation_normalizer", learner.observation_normalizer.state()),
            **_prefixed("goal_normalizer", learner.goal_normalizer.state()),
            "torch_rng": torch.get_rng_state().numpy(),
        }
        state = {
            "task": self.config.task,
            "progress": {name: getattr(self.progress, name) for name in _COUNTERS},
            "rng": self._rng.bit_generator.state,
            "environment_rngs": self._env.random_states(),
        }
        checkpoint = Checkpoint(learner.agent.state(), arrays, state)
        return save_checkpoint(self._checkpoints / below, self.progress.env_steps, checkpoint)

    def resume(self) -> None:
        """Continue from the newest checkpoint.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        checkpoint = load_checkpoint(self._checkpoints)
        arrays, state, learner = checkpoint.arrays, checkpoint.state, self.learner
        learner.agent.restore(dict(checkpoint.tensors))
        learner.buffer.restore(_below(arrays, "replay"))
        learner.observation_normalizer.restore(_below(arrays, "observation_normalizer"))
        learner.goal_normalizer.restore(_below(arrays, "goal_normalizer"))
        torch.set_rng_state(torch.from_numpy(arrays["torch_rng"]))
        self._rng.bit_generator.state = state["rng"]
        self._env.set_random_states(state["environment_rngs"])
        self.progress = replace(self.progress, **state["progress"])

    def close(self) -> None:
        """Stop the simulations' threads."""
        for env in (self._env, *self._evaluation_envs.values()):
            env.close()

    def _cycle(self) -> Progress:
        before, config = self.progress, self.config
        begun = time.perf_counter()
        warming_up = before.env_steps < config.warmup_steps
        episodes = self._explore(uniformly=warming_up)
        self.learner.take_in(episodes)
        simulated = time.perf_counter()
        losses = None if warming_up else self._learn()
        learned = time.perf_counter()
        env_steps = before.env_steps + episodes.action.shape[0] * episodes.action.shape[1]
        final = is_success(self.contract, episodes.achieved_goal[:, -1], episodes.desired_goal)
        rates = self._evaluate() if self._evaluation_is_due(before.env_steps, env_steps) else {}
        return Progress(
            env_steps=env_steps,
            updates=self.learner.agent.updates,
            episodes=before.episodes + len(episodes),
            wall_s=before.wall_s + time.perf_counter() - begun,
            simulation_s=before.simulation_s + simulated - begun,
            learning_s=before.learning_s + learned - simulated,
            exploring_success_rate=float(final.mean()),
            losses=losses,
            success_rate=rates.get("nominal"),
            success_rate_randomized=rates.get("randomized"),
        )

    def _learn(self) -> Losses:
        try:
            return self.learner.learn(self.config.updates_per_cycle, self._rng, self._imitation())
        except TrainingDivergedError as error:
            raise TrainingDivergedError(f"{error}. What led there is kept in {self.save('diverged')}") from None

    def _imitation(self) -> float:
        """Weight of imitation at present."""
        agent = self.config.agent
        return agent.imitation * max(0.0, 1.0 - self.progress.env_steps / agent.imitation_steps)

    def _explore(self, uniformly: bool) -> Episodes:
        """One training episode in every environment."""
        env, rng = self._env, self._rng
        observation, _ = env.reset()
        desired = observation["desired_goal"]
        guided_steps = self._draw_guided_steps()
        observations, achieved, actions = [observation["observation"]], [observation["achieved_goal"]], []
        for step in range(self.contract.episode_steps):
            if uniformly:
                action = rng.uniform(-1.0, 1.0, (env.num_envs, self.contract.action_size))
            else:
                action = self._exploring_action(observation["observation"], desired, step < guided_steps)
            observation, *_ = env.step(action)
            observations.append(observation["observation"])
            achieved.append(observation["achieved_goal"])
            actions.append(action)
        return Episodes(
            observation=np.stack(observations, axis=1).astype(np.float32),
            achieved_goal=np.stack(achieved, axis=1).astype(np.float32),
            desired_goal=desired.astype(np.float32),
            action=np.stack(actions, axis=1).astype(np.float32),
        )

    def _draw_guided_steps(self) -> np.ndarray:
        """For how many steps the guide acts in each environment, (num_envs,)."""
        size, rng = self._env.num_envs, self._rng
        guided = rng.random(size) < self.config.exploration.guided_episodes
        return np.where(guided, rng.integers(1, self.contract.episode_steps + 1, size), 0)

    def _exploring_action(self, observation: np.ndarray, desired_goal: np.ndarray, guided: np.ndarray) -> np.ndarray:
        """What the policy would do, or the guide where it acts, with noise, and now and then at random."""
        rng, exploration = self._rng, self.config.exploration
        action = self.learner.act(observation, desired_goal)
        if self._guide is not None and guided.any():
            action[guided] = self._guide(self.contract, observation[guided], desired_goal[guided])
        action = np.clip(action + exploration.noise * rng.standard_normal(action.shape), -1.0, 1.0)
        explores = rng.random(len(action)) < exploration.random_action
        return np.where(explores[:, None], rng.uniform(-1.0, 1.0, action.shape), action)

    def _evaluation_is_due(self, before: int, after: int) -> bool:
        interval = self.config.evaluation.interval_steps
        return after // interval > before // interval or after >= self.config.total_steps

    def _evaluate(self) -> dict[str, float]:
        """Final-step success of the deterministic policy, by environment; the seeds are new each time."""
        episodes = self.config.evaluation.episodes
        first = _EVALUATION_SEED + self.progress.env_steps
        return {
            name: evaluate_batched(env, self.learner, range(first, first + episodes))
            for name, env in self._evaluation_envs.items()
        }


def evaluate_batched(env: BatchedGoalEnv, learner: Learner, seeds: range) -> float:
    """Final-step success rate of the deterministic policy over one episode a seed."""
    successes = 0
    for start in range(0, len(seeds), env.num_envs):
        chunk = list(seeds[start : start + env.num_envs])
        padded: list[int | None] = [*chunk, *chunk[:1] * (env.num_envs - len(chunk))]
        observation, _ = env.reset(seed=padded)
        success = np.zeros(env.num_envs, bool)
        for _ in range(env.contract.episode_steps):
            action = learner.act(observation["observation"], observation["desired_goal"])
            observation, _, _, _, info = env.step(action)
            success = info["is_success"]
        successes += int(success[: len(chunk)].sum())
    return successes / len(seeds)


_COUNTERS = ("env_steps", "updates", "episodes", "wall_s", "simulation_s", "learning_s")


def _evaluation_envs(config: TrainConfig, threads: int, preset: RandomizationPreset) -> dict[str, BatchedGoalEnv]:
    rows = min(config.evaluation.episodes, _EVALUATION_ROWS)
    presets = {"nominal": None, "randomized": preset}
    if preset.nominal_fraction >= 1.0:
        del presets["randomized"]
    return {
        name: BatchedGoalEnv(config.task, rows, threads, preset, AutoresetMode.DISABLED)
        for name, preset in presets.items()
    }


def _prefixed(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{prefix}.")}
