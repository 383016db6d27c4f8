"""Checkpoints: whole or not at all."""

import errno

import numpy as np
import pytest
import torch

from her_robot.errors import CheckpointError
from her_robot.policy import checkpoint as checkpoints
from her_robot.policy.checkpoint import Checkpoint, check_disk_space, load_checkpoint, save_checkpoint


def _checkpoint(value):
    return Checkpoint({"weight": torch.full((2,), float(value))}, {"replay": np.arange(3) + value}, {"value": value})


def test_the_newest_is_loaded_and_only_two_are_kept(tmp_path):
    for steps in (100, 20, 3000):
        save_checkpoint(tmp_path, steps, _checkpoint(steps))
    loaded = load_checkpoint(tmp_path)
    assert loaded.state == {"value": 3000}
    assert loaded.tensors["weight"].tolist() == [3000.0, 3000.0]
    assert loaded.arrays["replay"].tolist() == [3000, 3001, 3002]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unfinished_one_is_not_seen(tmp_path):
    save_checkpoint(tmp_path, 1, _checkpoint(1))
    (tmp_path / ".step-0000000002.partial").mkdir()
    (tmp_path / "step-0000000003").mkdir()
    assert load_checkpoint(tmp_path).state == {"value": 1}


def test_a_full_disk_leaves_the_earlier_one(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, _checkpoint(1))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.np, "save", full)
    with pytest.raises(CheckpointError, match=r"the disk is full.*--resume"):
        save_checkpoint(tmp_path, 2, _checkpoint(2))
    assert load_checkpoint(tmp_path).state == {"value": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001"]


def test_a_damaged_one_says_which(tmp_path):
    path = save_checkpoint(tmp_path, 1, _checkpoint(1))
    (path / "tensors.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"step-0000000001: cannot be read"):
        load_checkpoint(tmp_path)


def test_pickled_arrays_are_not_read(tmp_path):
    path = save_checkpoint(tmp_path, 1, _checkpoint(1))
    np.save(path / "replay.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_nothing_to_resume_from(tmp_path):
    with pytest.raises(CheckpointError, match="start the run without --resume"):
        load_checkpoint(tmp_path)


def test_too_little_disk_space_is_said_before_starting(tmp_path):
    with pytest.raises(CheckpointError, match="GB free, but checkpoints may need"):
        check_disk_space(tmp_path, 10**18)
