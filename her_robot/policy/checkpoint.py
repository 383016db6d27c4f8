"""Checkpoints that survive a crash at any moment.

A checkpoint is a folder that is written under another name and renamed when it is whole; the one before is kept until
then. Tensors are safetensors, arrays are .npy, all else is JSON: nothing is unpickled.
"""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from her_robot.errors import CheckpointError

_PREFIX = "step-"
_KEPT = 2
_RESERVE_BYTES = 256 * 2**20
"""Disk space that must stay free beyond the checkpoints themselves."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on."""

    tensors: Mapping[str, Tensor]
    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]
    """JSON values."""


def save_checkpoint(directory: Path, env_steps: int, checkpoint: Checkpoint) -> Path:
    """Write `directory/step-<env_steps>`, then drop all but the newest two.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; earlier checkpoints are untouched.
    """
    final = _path(directory, env_steps)
    temporary = directory / f".{final.name}.partial"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        safetensors.torch.save_file(dict(checkpoint.tensors), temporary / "tensors.safetensors")
        for name, array in checkpoint.arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        (temporary / "state.json").write_text(json.dumps(checkpoint.state))
        for file in temporary.iterdir():
            _flush(file)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        reason = "the disk is full" if full else str(error)
        raise CheckpointError(
            f"{final}: checkpoint not written: {reason}. Earlier checkpoints are whole; go on from them with --resume."
        ) from None
    for old in _checkpoints(directory)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_checkpoint(directory: Path, env_steps: int | None = None) -> Checkpoint:
    """Read a checkpoint below `directory`.

    Args:
        directory: where they are.
        env_steps: which; default: the newest.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    path = _newest(directory) if env_steps is None else _path(directory, env_steps)
    try:
        return Checkpoint(
            tensors=safetensors.torch.load_file(path / "tensors.safetensors"),
            arrays={file.stem: np.load(file, allow_pickle=False) for file in sorted(path.glob("*.npy"))},
            state=json.loads((path / "state.json").read_text()),
        )
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from None


def load_state(directory: Path) -> Mapping[str, Any]:
    """The state alone of the newest checkpoint: what it is of, without its gigabytes.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    path = _newest(directory)
    try:
        return json.loads((path / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def checkpoint_steps(directory: Path) -> list[int]:
    """At which environment steps there are checkpoints, in order."""
    return [int(path.name.removeprefix(_PREFIX)) for path in _checkpoints(directory)]


def discard_after(directory: Path, env_steps: int) -> None:
    """Remove checkpoints that are newer than the one a run goes on from: they are of another course of it."""
    for steps in checkpoint_steps(directory):
        if steps > env_steps:
            shutil.rmtree(_path(directory, steps))


def has_checkpoint(directory: Path) -> bool:
    """Whether there is one to resume from."""
    return bool(_checkpoints(directory))


def check_disk_space(directory: Path, checkpoint_bytes: int) -> None:
    """Refuse to begin a run whose checkpoints will not fit.

    Raises:
        CheckpointError: says how much is needed and how much is free.
    """
    directory.mkdir(parents=True, exist_ok=True)
    needed = (_KEPT + 1) * checkpoint_bytes + _RESERVE_BYTES
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise CheckpointError(
            f"{directory}: {free / 1e9:.2f} GB free, but checkpoints may need {needed / 1e9:.2f} GB; free some space, "
            "choose another --out, or set a smaller buffer_steps"
        )


def _path(directory: Path, env_steps: int) -> Path:
    return directory / f"{_PREFIX}{env_steps:010d}"


def _newest(directory: Path) -> Path:
    found = _checkpoints(directory)
    if not found:
        raise CheckpointError(f"{directory}: no checkpoint to resume from; start the run without --resume")
    return found[-1]


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read ({error}); delete this folder to resume from the one before")


def _checkpoints(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"{_PREFIX}*") if (path / "state.json").is_file())


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
