"""Demonstrations: episodes in which something else than the policy acted, for a policy to learn from.

A folder holds a file for each episode, named by its seed: a collection that was interrupted goes on where it was.
"""

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from her_robot.configuration import write_atomically
from her_robot.contract import Contract, contract_of, same_interface
from her_robot.errors import ConfigurationError, HerRobotError
from her_robot.policy.replay import Episodes

KEPT = "demonstrations"
"""Folder of a run that holds a copy of those that it learns from."""
_ARRAYS = ("observation", "achieved_goal", "desired_goal", "action")


def demonstration_path(directory: Path, seed: int) -> Path:
    """The file of the episode of a seed."""
    return directory / f"{seed:08d}.npz"


def save_demonstration(path: Path, task: str, episode: Episodes) -> None:
    """Write one episode, whole or not at all."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {name: getattr(episode, name)[0] for name in _ARRAYS}
    np.savez_compressed(content, task=np.array(task), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def demonstration_files(directory: Path) -> list[Path]:
    """The files of a folder, in the order of their seeds."""
    return sorted(directory.glob("*.npz"))


def keep_demonstrations(directory: Path, run: Path) -> None:
    """Copy a folder into that of a run, which goes on with them when it is resumed. What is there stays."""
    kept, unfinished = run / KEPT, run / f"{KEPT}.unfinished"
    if kept.is_dir():
        return
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for path in demonstration_files(directory):
        shutil.copy(path, unfinished)
    unfinished.rename(kept)


def load_demonstrations(directory: Path, contract: Contract, episode_steps: int) -> Episodes:
    """All episodes of a folder.

    Args:
        directory: that `her-robot demonstrate` has written.
        contract: of the task that is trained; the episodes may be of another one that sees, wants and does the same.
        episode_steps: how long its episodes are.

    Raises:
        ConfigurationError: there are none, or one is damaged, of another robot, or of another length.
    """
    files = demonstration_files(directory)
    if not files:
        raise ConfigurationError(f"{directory}: no demonstrations; `her-robot demonstrate {contract.task}` makes some")
    episodes = [_load(path, contract, episode_steps) for path in files]
    return Episodes(**{name: np.stack([episode[name] for episode in episodes]) for name in _ARRAYS})


def _load(path: Path, contract: Contract, episode_steps: int) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            episode = {name: content[name] for name in ("task", *_ARRAYS)}
        demonstrated = contract_of(str(episode["task"]))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, HerRobotError) as error:
        raise ConfigurationError(f"{path}: not a demonstration, or damaged: {error}") from None
    if not same_interface(demonstrated, contract):
        raise ConfigurationError(
            f"{path}: of {demonstrated.task}, which has other observations, goals or actions than {contract.task}"
        )
    steps = len(episode["action"])
    if steps != episode_steps:
        raise ConfigurationError(f"{path}: {steps} steps long; the run's episodes have {episode_steps}")
    shapes = {
        "observation": (steps + 1, contract.observation_size),
        "achieved_goal": (steps + 1, contract.goal_size),
        "desired_goal": (contract.goal_size,),
        "action": (steps, contract.action_size),
    }
    for name, shape in shapes.items():
        if episode[name].shape != shape or not np.isfinite(episode[name]).all():
            raise ConfigurationError(f"{path}: {name} must be {shape} finite numbers, has shape {episode[name].shape}")
    return {name: episode[name].astype(np.float32) for name in _ARRAYS}
