"""Stable-Baselines3's hindsight experience replay, as a learner to be compared with. Nothing else here imports it.

Whatever it has in common with ours is set to the same value; the rest is as its documentation and its zoo of tuned
settings have it: `HerReplayBuffer` with four goals from the future for each real one, normalised observations.
"""

import importlib.util
from typing import Any

import numpy as np
import torch

from her_robot.contract import Contract, contract_of, term_slice
from her_robot.policy.budget import Act, Budget
from her_robot.policy.config import TrainConfig
from her_robot.sim.tasks import make_gymnasium_env

ALGORITHMS = ("ddpg", "sac")


def is_installed() -> bool:
    """Whether there is something to compare with."""
    return importlib.util.find_spec("stable_baselines3") is not None


def train(algorithm: str, config: TrainConfig, threads: int, budget: Budget) -> Act:
    """Train until the budget is spent.

    Args:
        algorithm: one of `ALGORITHMS`.
        config: of ours; what both have is taken from there.
        threads: for PyTorch, and as many environments, each in a process of its own.
        budget: says when to stop.

    Returns:
        The policy at the end.
    """
    torch.set_num_threads(threads)
    contract = contract_of(config.task)
    achieved = term_slice(contract, contract.goal.name)
    env = _vector_env(contract, threads)
    try:
        model = _model(algorithm, config, env)

        def act(observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
            # What is achieved is a part of the observation; Stable-Baselines3's policies see it once more.
            seen = {
                "observation": observation,
                "achieved_goal": observation[achieved],
                "desired_goal": desired_goal,
            }
            return model.predict(env.normalize_obs(seen), deterministic=True)[0]

        budget.begin()
        model.learn(2**62, callback=lambda *_: budget.goes_on(model.num_timesteps, act))
        return act
    finally:
        env.close()


def settings(algorithm: str, config: TrainConfig, num_envs: int) -> dict[str, Any]:
    """Keyword arguments of Stable-Baselines3's algorithms that say the same as a configuration of ours."""
    agent, contract = config.agent, contract_of(config.task)
    updates_per_step = config.updates_per_cycle / (config.num_envs * contract.episode_steps)
    chosen = {
        "learning_rate": agent.learning_rate,
        "batch_size": config.batch_size,
        "buffer_size": config.buffer_steps,
        # No goal can be drawn before the first episodes have ended.
        "learning_starts": max(config.warmup_steps, num_envs * contract.episode_steps),
        "gamma": agent.gamma,
        # Its targets follow at every update.
        "tau": 1.0 - agent.polyak ** (1.0 / agent.target_interval),
        "train_freq": (1, "step"),
        "gradient_steps": max(1, round(num_envs * updates_per_step)),
        "policy_kwargs": {"net_arch": list(config.network.hidden_sizes)},
        "replay_buffer_kwargs": {"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        "seed": config.seed,
        "device": "cpu",
    }
    return chosen | ({"ent_coef": "auto"} if algorithm == "sac" else {})


def _model(algorithm: str, config: TrainConfig, env: Any) -> Any:
    from stable_baselines3 import DDPG, SAC, HerReplayBuffer
    from stable_baselines3.common.noise import NormalActionNoise

    chosen = settings(algorithm, config, env.num_envs)
    if algorithm == "ddpg":
        size = contract_of(config.task).action_size
        chosen["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, config.exploration.noise))
    kind = {"ddpg": DDPG, "sac": SAC}[algorithm]
    return kind("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, **chosen)


def _vector_env(contract: Contract, count: int) -> Any:
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

    makers = [lambda: make_gymnasium_env(contract.environment, disable_env_checker=True)] * count
    env = DummyVecEnv(makers) if count == 1 else SubprocVecEnv(makers)
    return VecNormalize(env, norm_obs=True, norm_reward=False, clip_obs=5.0)
