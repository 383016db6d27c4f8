"""What a preset costs: CPU time of the simulation with and without it."""

import time
from dataclasses import dataclass, replace

import numpy as np
from gymnasium.vector import AutoresetMode

from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.sim.goal_env import BatchedGoalEnv

_NUM_ENVS = 50
_ROUNDS = 7


@dataclass(frozen=True)
class Cost:
    """CPU time, resets and draws included, of one thread that steps a batch under uniformly random actions."""

    nominal_us: float
    """For a control period without randomisation [us]."""
    randomized_us: float
    """For a control period with everything randomised [us]."""
    longer: float
    """How much longer control periods last on average through the preset's timing, 0.05 for 5 %."""

    @property
    def share(self) -> float:
        """What randomisation adds to the CPU time of a simulated second, 0.05 for 5 %."""
        return self.randomized_us / (1.0 + self.longer) / self.nominal_us - 1.0


def measure_cost(task: str, preset: RandomizationPreset, seed: int) -> Cost:
    """Play rounds of episodes with and without the preset, in turn; medians count."""
    presets = (None, replace(preset, nominal_fraction=0.0))
    envs = [BatchedGoalEnv(task, _NUM_ENVS, 1, each, AutoresetMode.DISABLED) for each in presets]
    contract = envs[0].contract
    actions = np.random.default_rng(seed).uniform(-1.0, 1.0, (contract.episode_steps, _NUM_ENVS, contract.action_size))
    for env in envs:
        env.reset(seed=seed)
    rounds = np.array([[_play(env, actions) for env in envs] for _ in range(_ROUNDS)])
    for env in envs:
        env.close()
    (nominal, randomized), lasted = np.median(rounds[..., 0], axis=0), rounds[..., 1].sum(axis=0)
    return Cost(1e6 * nominal, 1e6 * randomized, float(lasted[1] / lasted[0] - 1.0))


def _play(env: BatchedGoalEnv, actions: np.ndarray) -> tuple[float, float]:
    """CPU time of a control period of one environment, and simulated time of an episode of all [s]."""
    begun = time.thread_time()
    env.reset()
    started = sum(row.data.time for row in env.simulation.rows)
    for action in actions:
        env.step(action)
    spent = time.thread_time() - begun
    lasted = sum(row.data.time for row in env.simulation.rows) - started
    return spent / (len(actions) * env.num_envs), lasted
