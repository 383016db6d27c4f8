"""`her-robot demonstrate`: episodes of a planner that knows the simulation, in a folder."""

import os
from pathlib import Path

import numpy as np
from gymnasium.vector import AutoresetMode
from rich.console import Console

from her_robot.contract import HAND_CONTRACTS, HandObjectContract, contract_of, goal_between, is_success
from her_robot.errors import ConfigurationError
from her_robot.evaluation.console import EpisodeProgress
from her_robot.policy.demonstrations import demonstration_path, save_demonstration
from her_robot.policy.planner import PlannerConfig, SamplingPlanner
from her_robot.policy.replay import Episodes
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.hand import HandSimulation
from her_robot.sim.hand_tasks import HandObjectTask

_PLANS, _GOALS = 1, 2
"""Streams of an episode's random draws. The environment's of the same numbers are for randomisation: here there is
none."""
_LEAST_SHARE = 0.2
"""Of the way to the goal that a nearer one is away."""


class Demonstrator:
    """A planner in the unmodified environment."""

    def __init__(self, task: str, config: PlannerConfig, nearer_goals: float, num_threads: int) -> None:
        """
        Args:
            task: with an object in the hand, such as hand_egg_rotate.
            config: of the planner.
            nearer_goals: share of episodes whose goal is anywhere on the way to it, as in training.
            num_threads: of the planner.

        Raises:
            UnknownNameError, ConfigurationError: no such task, or not one that the planner knows.
        """
        self.contract = contract_of(task)
        if not isinstance(self.contract, HandObjectContract) or self.contract.relative_control:
            known = [name for name, contract in HAND_CONTRACTS.items() if isinstance(contract, HandObjectContract)]
            raise ConfigurationError(
                f"{task}: the planner is for an object in the hand and absolute control: {', '.join(known)}"
            )
        self._nearer_goals = nearer_goals
        self._env = BatchedGoalEnv(task, 1, 1, autoreset_mode=AutoresetMode.DISABLED)
        simulation = self._env.simulation
        assert isinstance(simulation, HandSimulation)
        assert isinstance(simulation.task, HandObjectTask)
        self._data = simulation.rows[0].data
        self._planner = SamplingPlanner(simulation.task, config, num_threads)

    def play(self, seed: int) -> Episodes:
        """One episode; the same seed plays the same one."""
        observation, _ = self._env.reset(seed=seed)
        goal = self._goal(observation, np.random.default_rng([seed, _GOALS]))
        achieved = observation["achieved_goal"]
        self._planner.begin(achieved[0], goal[0], np.random.default_rng([seed, _PLANS]))
        observations, goals, actions = [observation["observation"]], [achieved], []
        for _ in range(self.contract.episode_steps):
            action = self._planner.act(self._data)[None]
            observation, *_ = self._env.step(action)
            observations.append(observation["observation"])
            goals.append(observation["achieved_goal"])
            actions.append(action)
        return Episodes(
            observation=np.stack(observations, axis=1).astype(np.float32),
            achieved_goal=np.stack(goals, axis=1).astype(np.float32),
            desired_goal=goal.astype(np.float32),
            action=np.stack(actions, axis=1).astype(np.float32),
        )

    def _goal(self, observation: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """What the planner is asked for, (1, 7)."""
        share = rng.uniform(_LEAST_SHARE, 1.0, 1) if rng.random() < self._nearer_goals else np.ones(1)
        return goal_between(self.contract, observation["achieved_goal"], observation["desired_goal"], share)

    def close(self) -> None:
        """Stop its threads."""
        self._planner.close()
        self._env.close()


def demonstrate_command(
    task: str, out: Path, episodes: int, seed: int = 0, nearer_goals: float = 0.5, config: PlannerConfig | None = None
) -> int:
    """Play episodes that are not there yet, and keep each.

    Args:
        task: with an object in the hand.
        out: folder; one that holds episodes is added to.
        episodes: seeds from `seed` on that shall be there.
        seed: of the first.
        nearer_goals: share of episodes with a nearer goal.
        config: of the planner.

    Returns:
        The exit status.

    Raises:
        HerRobotError: anything that is wrong with the arguments.
    """
    if episodes < 1 or seed < 0 or not 0.0 <= nearer_goals <= 1.0:
        raise ConfigurationError(
            f"--episodes is {episodes}, --seed {seed}, --nearer-goals {nearer_goals}: at least 1, at least 0 and a "
            "share from 0 to 1 are asked for"
        )
    demonstrator = Demonstrator(task, config or PlannerConfig(), nearer_goals, os.cpu_count() or 1)
    seeds = [number for number in range(seed, seed + episodes) if not demonstration_path(out, number).is_file()]
    console = Console()
    try:
        with EpisodeProgress(console, episodes, episodes - len(seeds)) as progress:
            for number in seeds:
                episode = demonstrator.play(number)
                save_demonstration(demonstration_path(out, number), task, episode)
                achieved, desired = episode.achieved_goal[0, -1], episode.desired_goal[0]
                progress.count(bool(is_success(demonstrator.contract, achieved, desired)))
    finally:
        demonstrator.close()
    console.print(f"{task}: {len(seeds)} episodes played, {progress.successes} of them reached their goal → {out}")
    return 0
