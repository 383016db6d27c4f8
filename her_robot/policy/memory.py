"""How much memory a run will take, told before it starts."""

import os

import torch

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError
from her_robot.policy.config import TrainConfig

_BYTES_PER_ENVIRONMENT = 4 * 2**20
"""A simulation with a model of its own: MuJoCo's model, data and arena."""
_BASE_BYTES = 700 * 2**20
"""Python, PyTorch, MuJoCo and their libraries."""


def replay_bytes(config: TrainConfig) -> int:
    """Size of the replay buffer when the run ends."""
    contract = contract_of(config.task)
    floats_per_step = contract.observation_size + contract.goal_size + contract.action_size
    if config.network.asymmetric:
        floats_per_step += contract.observation_size
    return 4 * floats_per_step * min(config.buffer_steps, config.total_steps)


def check_memory(config: TrainConfig, device: torch.device, processes: int = 1) -> None:
    """Refuse a run that will not fit.

    Args:
        config: of the run.
        device: where its networks live; each process has a GPU of its own.
        processes: how many of its processes share this machine's memory.

    Raises:
        ConfigurationError: says how much is needed, how much there is, and what to change.
    """
    replay, activations = replay_bytes(config), _activation_bytes(config)
    # Worlds on a GPU are checked when they are made, with what a world of the task takes.
    environments = _BYTES_PER_ENVIRONMENT * (config.num_envs + 2 * config.evaluation.episodes)
    environments *= config.sim == "cpu"
    if device.type == "cuda":
        _check("GPU memory", replay + activations, torch.cuda.mem_get_info(device)[0], replay)
        replay = 0
    needed = _BASE_BYTES + environments + replay + activations
    _check("memory", processes * needed, _available_bytes(), processes * replay)


def _activation_bytes(config: TrainConfig) -> int:
    """What a draw of batches and the passes of an update hold at a time, roughly."""
    contract = contract_of(config.task)
    per_transition = 4 * (contract.observation_size + contract.goal_size + contract.action_size)
    seen = (1 + config.network.history) * per_transition
    return config.batch_size * (20 * 6 * seen + 4 * 8 * sum(config.network.hidden_sizes))


def _check(kind: str, needed: int, available: int, replay: int) -> None:
    if needed > available:
        raise ConfigurationError(
            f"this run may need {needed / 1e9:.1f} GB of {kind}, {replay / 1e9:.1f} GB of it for replay; "
            f"{available / 1e9:.1f} GB is available. Lower buffer_steps, num_envs or batch_size"
        )


def _available_bytes() -> int:
    """Memory that can be had without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
