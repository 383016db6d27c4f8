"""The training loop. It yields progress; whoever wants to draw, log or stop consumes it.

While the learner learns from the episodes so far, the next ones are played by a copy of the policy, in threads of the
simulation. The two meet after every cycle, so a run does not depend on which of them is faster.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from her_robot.contract import Contract, contract_of, is_success, same_interface
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.errors import BundleError, CheckpointError, HerRobotError, TrainingDivergedError
from her_robot.policy.acting import Policy
from her_robot.policy.agent import Losses
from her_robot.policy.bundle import PolicyBundle, shipped_bundle, shipped_teacher
from her_robot.policy.checkpoint import (
    Checkpoint,
    checkpoint_steps,
    discard_after,
    load_checkpoint,
    load_state,
    save_checkpoint,
)
from her_robot.policy.config import TrainConfig
from her_robot.policy.curriculum import Curriculum
from her_robot.policy.demonstrations import KEPT, load_demonstrations
from her_robot.policy.exploration import Explorer
from her_robot.policy.guide import teacher
from her_robot.policy.learner import Learner
from her_robot.policy.processes import Processes
from her_robot.policy.replay import Episodes
from her_robot.policy.warm_start import begin_with
from her_robot.sim.goal_env import BatchedGoalEnv

_EVALUATION_SEED = 500_000_000
"""Evaluations during training take seeds from here on; final evaluations take others (`her_robot.evaluation`)."""
_CONFIRMATION_SEED = 1_500_000_000
"""Evaluations that confirm an earlier one take seeds from here on."""
_EVALUATION_ROWS = 50
_SEEDS_OF_A_PROCESS = 1_000_000
"""Processes of a data-parallel run take their environments' seeds this far apart."""
_NAMING = {"initial_policy": shipped_bundle, "teacher": shipped_teacher}
"""Fields of a configuration that name a trained policy, and which one `shipped` is."""


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
    """How long environments were stepped; learning goes on meanwhile [s]."""
    learning_s: float
    """How long the networks were updated [s]."""
    exploring_success_rate: float
    """Final-step success of this cycle's training episodes."""
    losses: Losses | None
    """None during warm-up."""
    success_rate: float | None = None
    """Of the deterministic policy in the nominal environment; None where no evaluation was due."""
    success_rate_randomized: float | None = None
    """The same in the randomised environment; None also where nothing is randomised."""
    score: float | None = None
    """Mean of both, of goals reached within the share of a success that training rewards (`replay.tolerance`)."""
    curriculum: Mapping[str, float] = field(default_factory=dict)
    """Of automatic domain randomisation: its entropy and present ranges, by column; empty without it."""


class Trainer:
    """One run: environments, a learner, and the counters that a checkpoint holds."""

    def __init__(self, config: TrainConfig, directory: Path, processes: Processes | None = None) -> None:
        """
        Args:
            config: of the run.
            directory: of the run, for its checkpoints; nothing is written yet.
            processes: of a data-parallel run; default: this one alone.

        Raises:
            HerRobotError: a preset or a policy that the configuration names is unknown, damaged or does not fit.
        """
        self.policies = _named_policies(config, directory)
        """Trained policies that the configuration names, by the field that does. The run keeps a copy of each in a
        folder of that name."""
        self.demonstrations = _named_demonstrations(config, directory)
        """Episodes that are replayed beside the run's own; it keeps a copy of them, too."""
        self.processes = processes or Processes(config.device)
        threads = config.num_threads or max(1, (os.cpu_count() or 1) // self.processes.count_here)
        # Simulation and the actor's updates run beside the critics'; and at these sizes a second thread gains less than
        # it costs to meet it.
        torch.set_num_threads(max(1, threads // 2))
        self.config = config
        self.contract = contract_of(config.task)
        self.preset = load_preset(config.randomization)
        rank = self.processes.rank
        self._checkpoints = directory / "checkpoints" / (f"rank-{rank}" if rank else "")
        device = self.processes.device
        self._env = _environments(config, config.num_envs, threads, device, self.preset)
        drawn = self._env.parameter_names
        beside = threads > 1
        self.learner = Learner(self.contract, config, self.processes, beside, drawn, self.demonstrations)
        self._env.reset(seed=config.seed + _SEEDS_OF_A_PROCESS * rank)
        self._evaluation_envs = _evaluation_envs(config, threads, device, self.preset)
        self._rng = _generator(config, [config.seed, 1, rank], device)
        self._explorer = Explorer(
            self._env, config.exploration, self._rng, config.network.asymmetric, config.steps_of_an_episode
        )
        self._curriculum = Curriculum(config.adr, self._env, self.preset) if config.adr.enabled else None
        self._player = ThreadPoolExecutor(1, thread_name_prefix="player")
        try:
            self._take_up(self.policies)
        except HerRobotError:
            self.close()
            raise
        self.progress = Progress(0, 0, 0, 0.0, 0.0, 0.0, 0.0, None, curriculum=self._curriculum_numbers())

    def run(self, until_success: float | None = None) -> Iterator[Progress]:
        """Train until `total_steps`; yields after every cycle, and checkpoints when one is due and at the end.

        Args:
            until_success: end as soon as an evaluation reaches this rate, and another, over other seeds, does so too.

        Raises:
            TrainingDivergedError: a loss became NaN or infinite; the message says where the state that led there is.
            CheckpointError: a checkpoint could not be written.
        """
        saved = time.monotonic()
        while self.progress.env_steps < self.config.total_steps:
            self.progress = self._cycle()
            # Processes of one run save at the same cycle: the writer's clock decides.
            if self.processes.agree(time.monotonic() - saved >= self.config.checkpoint_interval):
                self.save()
                saved = time.monotonic()
            yield self.progress
            rate = self.progress.success_rate
            if (
                until_success is not None
                and rate is not None
                and rate >= until_success
                and self._confirm(until_success)
            ):
                break
        self.save()

    def _confirm(self, rate: float) -> bool:
        """Whether the policy reaches a rate over seeds that its last evaluation has not seen."""
        return self._evaluate(_CONFIRMATION_SEED)["nominal"] >= rate

    def save(self, below: str = "") -> Path:
        """Write a checkpoint. A cycle begins with a reset: environments have no state but their random generators."""
        learner = self.learner
        arrays = {
            **_prefixed("replay", learner.buffer.state()),
            **{f"normalizer.{name}": normalizer.sums for name, normalizer in learner.inputs.normalizers.items()},
            "learner_rng": learner.random_state(),
        }
        state = {
            "task": self.config.task,
            "processes": self.processes.count,
            "progress": {name: getattr(self.progress, name) for name in _COUNTERS},
            "rng": self._rng.bit_generator.state,
            "environment_rngs": self._env.random_states(),
            "curriculum": self._curriculum.state() if self._curriculum else {},
        }
        checkpoint = Checkpoint(learner.agent.state(), arrays, state)
        return save_checkpoint(self._checkpoints / below, self.progress.env_steps, checkpoint)

    def _take_up(self, policies: Mapping[str, PolicyBundle]) -> None:
        """Begin with one trained policy, and let another take the place of the task's script: it acts in guided
        episodes, and is imitated."""
        if "initial_policy" in policies:
            begin_with(self.learner, policies["initial_policy"], self.config.network)
        if "teacher" in policies:
            self._explorer.guide = self.learner.guide = teacher(policies["teacher"])

    def resume(self) -> None:
        """Continue from the newest checkpoint that all processes have.

        Raises:
            CheckpointError: there is none, it cannot be read, or the run had another number of processes.
        """
        step = self._common_step()
        checkpoint = load_checkpoint(self._checkpoints, step)
        discard_after(self._checkpoints, step)
        arrays, state, learner = checkpoint.arrays, checkpoint.state, self.learner
        learner.agent.restore(dict(checkpoint.tensors))
        learner.buffer.restore(_below(arrays, "replay"))
        for name, normalizer in learner.inputs.normalizers.items():
            normalizer.restore(arrays[f"normalizer.{name}"])
        learner.set_random_state(arrays["learner_rng"])
        self._rng.bit_generator.state = state["rng"]
        self._env.set_random_states(state["environment_rngs"])
        if self._curriculum is not None:
            self._curriculum.restore(state["curriculum"])
        self.progress = replace(self.progress, **state["progress"], curriculum=self._curriculum_numbers())

    def _common_step(self) -> int:
        """Newest step that all processes have a checkpoint of: killed while saving, they differ by one."""
        processes = self.processes
        before = processes.writers(load_state(self._checkpoints).get("processes", 1) if processes.is_writer else 0)
        if before != processes.count:
            raise CheckpointError(
                f"this run had {before:.0f} processes and now has {processes.count}; each goes on from a checkpoint of "
                f"its own, so start as many again (torchrun --nproc-per-node {before:.0f}, see docs/scaling.md)"
            )
        steps = processes.common(checkpoint_steps(self._checkpoints))
        if not steps:
            raise CheckpointError(
                f"{self._checkpoints}: no checkpoint that all {processes.count} processes have; --out must be a folder "
                "that all machines see, and the run must have reached its first checkpoint"
            )
        return steps[-1]

    def close(self) -> None:
        """Stop the simulations' threads, and what the learner has beside it."""
        self._player.shutdown()
        self.learner.close()
        for env in (self._env, *self._evaluation_envs.values()):
            env.close()

    def _cycle(self) -> Progress:
        """Play episodes and learn from those before, at the same time."""
        before, config = self.progress, self.config
        begun = time.perf_counter()
        warming_up = before.env_steps < config.warmup_steps
        acts_at_random = warming_up and not config.initial_policy
        playing = self._player.submit(self._play, None if acts_at_random else self.learner.policy())
        # Without a warm-up, the first cycle has nothing to learn from yet.
        losses = None if warming_up or not len(self.learner.buffer) else self._learn()
        learned = time.perf_counter()
        episodes, simulation_s = playing.result()
        self.learner.take_in(episodes)
        final = is_success(self.contract, episodes.achieved_goal[:, -1], episodes.desired_goal)
        played, successes = self.processes.sum(np.array([len(episodes), float(final.sum())]))
        if self._curriculum is not None:
            self._curriculum.record(self.processes.sum(self._curriculum.count(final)))
        env_steps = before.env_steps + int(played) * config.steps_of_an_episode
        rates = self._evaluate() if self._evaluation_is_due(before.env_steps, env_steps) else {}
        return Progress(
            env_steps=env_steps,
            updates=self.learner.agent.updates,
            episodes=before.episodes + int(played),
            wall_s=before.wall_s + time.perf_counter() - begun,
            simulation_s=before.simulation_s + simulation_s,
            learning_s=before.learning_s + learned - begun,
            exploring_success_rate=successes / played,
            losses=losses,
            success_rate=rates.get("nominal"),
            success_rate_randomized=rates.get("randomized"),
            score=rates.get("score"),
            curriculum=self._curriculum_numbers(),
        )

    def _play(self, policy: Policy | None) -> tuple[Episodes, float]:
        """One episode in every environment, and how long it took [s]."""
        begun = time.perf_counter()
        judged = self._curriculum.begin(self._rng, policy is not None) if self._curriculum else None
        return self._explorer.play(policy, judged), time.perf_counter() - begun

    def _curriculum_numbers(self) -> dict[str, float]:
        return self._curriculum.numbers() if self._curriculum else {}

    def _learn(self) -> Losses:
        try:
            return self.learner.learn(self.config.updates_per_cycle, self._imitation())
        except TrainingDivergedError as error:
            raise TrainingDivergedError(f"{error}. What led there is kept in {self.save('diverged')}") from None

    def _imitation(self) -> float:
        """Weight of imitation at present."""
        config = self.config
        weight, steps = config.agent.imitation, config.agent.imitation_steps
        if config.initial_policy:
            weight, steps = config.anchor, config.anchor_steps
        return weight * max(0.0, 1.0 - self.progress.env_steps / steps)

    def _evaluation_is_due(self, before: int, after: int) -> bool:
        interval = self.config.evaluation.interval_steps
        return after // interval > before // interval or after >= self.config.total_steps

    def _evaluate(self, first_seed: int = _EVALUATION_SEED) -> dict[str, float]:
        """Final-step success of the deterministic policy, by environment, and its score; with new seeds each time."""
        episodes, rank = self.config.evaluation.episodes, self.processes.rank
        share = -(-episodes // self.processes.count)
        first = first_seed + self.progress.env_steps + rank * share
        policy = self.learner.policy(averaged=True)
        steps = {"nominal": self.contract.episode_steps, "randomized": self.config.steps_of_an_episode}
        reached = [
            evaluate_batched(
                env, policy, range(first, first + share), steps[name], [self.contract, self.learner.rewarded]
            )
            for name, env in self._evaluation_envs.items()
        ]
        rates = self.processes.sum(np.array(reached, np.float64)) / (share * self.processes.count)
        success, rewarded = rates.T
        return dict(zip(self._evaluation_envs, success.tolist(), strict=True), score=float(rewarded.mean()))


def evaluate_batched(
    env: Any, policy: Policy, seeds: range, episode_steps: int, contracts: Sequence[Contract]
) -> list[int]:
    """In how many episodes, one a seed, the deterministic policy is at its goal at the last of `episode_steps`, as each
    of the contracts judges it."""
    reached = [0] * len(contracts)
    for start in range(0, len(seeds), env.num_envs):
        chunk = list(seeds[start : start + env.num_envs])
        padded: list[int | None] = [*chunk, *chunk[:1] * (env.num_envs - len(chunk))]
        observation, _ = env.reset(seed=padded)
        memory = policy.memory()
        for _ in range(episode_steps):
            action = policy.act(observation["observation"], observation["desired_goal"], memory)
            observation, *_ = env.step(action)
        achieved, desired = (observation[name][: len(chunk)] for name in ("achieved_goal", "desired_goal"))
        for index, contract in enumerate(contracts):
            reached[index] += int(is_success(contract, achieved, desired).sum())
    return reached


_COUNTERS = ("env_steps", "updates", "episodes", "wall_s", "simulation_s", "learning_s")


def _environments(
    config: TrainConfig, count: int, threads: int, device: torch.device, preset: RandomizationPreset | None
) -> Any:
    """A `BatchedGoalEnv` or a `WarpGoalEnv`, as `config.sim` says: one takes and gives arrays, the other tensors."""
    if config.sim == "cpu":
        return BatchedGoalEnv(config.task, count, threads, preset, AutoresetMode.DISABLED)
    from her_robot.sim.warp.goal_env import WarpGoalEnv

    return WarpGoalEnv(config.task, count, device, preset, AutoresetMode.DISABLED)


def _generator(config: TrainConfig, seed: list[int], device: torch.device) -> Any:
    """Source of exploration's draws, where the environments are."""
    if config.sim == "cpu":
        return np.random.default_rng(seed)
    from her_robot.sim.warp.generator import DeviceGenerator

    return DeviceGenerator.of_seeds(seed, device)


def _evaluation_envs(
    config: TrainConfig, threads: int, device: torch.device, preset: RandomizationPreset
) -> dict[str, Any]:
    rows = min(config.evaluation.episodes, _EVALUATION_ROWS)
    presets = {"nominal": None, "randomized": preset}
    if preset.nominal_fraction >= 1.0:
        del presets["randomized"]
    return {name: _environments(config, rows, threads, device, preset) for name, preset in presets.items()}


def _prefixed(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{prefix}.")}


def _named_policies(config: TrainConfig, directory: Path) -> dict[str, PolicyBundle]:
    """The trained policies that a configuration names, by its fields; of a run that has been begun, the copies that it
    keeps. They may be of another task that sees, wants and does the same, such as another object in the hand.

    Raises:
        BundleError: one is missing, damaged, or of a task with other observations, goals or actions.
    """
    contract, policies = contract_of(config.task), {}
    for naming, shipped in _NAMING.items():
        if named := getattr(config, naming):
            kept = directory / naming
            elsewhere = shipped(config.task) if named == "shipped" else Path(named)
            bundle = policies[naming] = PolicyBundle.load(kept if kept.is_dir() else elsewhere)
            if not same_interface(bundle.contract, contract):
                raise BundleError(
                    f"{bundle.path}: a policy for {bundle.contract.task}, which has other observations, goals or "
                    f"actions than {config.task}"
                )
    return policies


def _named_demonstrations(config: TrainConfig, directory: Path) -> Episodes | None:
    """The demonstrations that a configuration names; of a run that has been begun, the copy that it keeps.

    Raises:
        ConfigurationError: there are none, or they are not of such a task.
    """
    if not config.demonstrations:
        return None
    kept = directory / KEPT
    named = kept if kept.is_dir() else Path(config.demonstrations)
    return load_demonstrations(named, contract_of(config.task), config.steps_of_an_episode)
