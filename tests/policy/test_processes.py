"""What processes tell each other: alone, among several that are only imagined, and among two over gloo."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from her_robot.errors import CheckpointError, ProcessesError
from her_robot.policy.checkpoint import checkpoint_steps, discard_after, has_checkpoint, load_checkpoint
from her_robot.policy.config import load_config
from her_robot.policy.processes import Processes
from her_robot.policy.trackers import read_progress
from her_robot.policy.training import Trainer

TOY = [
    "num_envs=2",
    "num_threads=1",
    "batch_size=16",
    "updates_per_cycle=4",
    "warmup_steps=200",
    "buffer_steps=5000",
    "network.hidden_sizes=[16, 16]",
    "network.precision=float32",
    "evaluation.interval_steps=400",
    "evaluation.episodes=2",
    "randomization=none",
]
RUN = """
import sys
from her_robot.policy import train
train._FINAL_EPISODES = 1
sys.exit(train.main())
"""


class Imagined(Processes):
    """The first of several processes; what all of them give, one row each, is made up, call by call."""

    def __init__(self, *tables):
        super().__init__()
        self.count, self._tables = len(tables[0]), iter(tables)

    def _gather(self, values):
        return np.array(next(self._tables), float)


def test_alone_all_is_as_it_is():
    alone = Processes()
    gradient = torch.ones(3)
    alone.average(gradient)
    assert gradient.tolist() == [1.0, 1.0, 1.0]
    assert alone.sum(np.array([2.0])).tolist() == [2.0]
    assert alone.agree(True)
    assert not alone.agree(False)
    assert alone.writers(7) == 7
    assert alone.common([300, 100]) == [100, 300]
    alone.check_equal("configuration", "a")
    assert (alone.count, alone.rank, alone.count_here, alone.is_writer) == (1, 0, 1, True)


def test_common_numbers_are_those_of_all():
    assert Imagined([[2], [2]], [[100, 200], [200, 300]]).common([100, 200]) == [200]
    assert Imagined([[2], [1]], [[100, 200], [300, -1]]).common([100, 200]) == []
    assert Imagined([[3], [1], [2]], [[3, 1, 2], [1, -1, -1], [0, 1, -1]]).common([3, 1, 2]) == [1]


def test_a_difference_names_who_differs():
    Imagined([[7], [7]]).check_equal("configuration", "of process 0")
    with pytest.raises(ProcessesError, match="the configuration of process 1, 3 differs from that of process 0"):
        Imagined([[7], [8], [7], [9]]).check_equal("configuration", "of process 0")


def test_processes_that_are_not_found(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "", "MASTER_PORT": "x"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ProcessesError, match=r"process 0 of 2 did not find the others .*docs/scaling.md"):
        Processes()


def test_a_lost_process_is_said_clearly():
    with (
        pytest.raises(ProcessesError, match=r"has lost another one \(Connection closed by peer\).*--resume"),
        Processes()._together(),
    ):
        raise RuntimeError("Connection closed by peer\nand many lines more")


def test_newer_checkpoints_of_another_course_are_discarded(tmp_path):
    for steps in (100, 200, 300):
        folder = tmp_path / f"step-{steps:010d}"
        folder.mkdir()
        (folder / "state.json").write_text("{}")
    discard_after(tmp_path, 200)
    assert checkpoint_steps(tmp_path) == [100, 200]


def test_another_number_of_processes_is_refused(tmp_path):
    config = load_config("fetch_reach", None, [*TOY, "total_steps=100"])
    trainer = Trainer(config, tmp_path)
    trainer.save()
    trainer.processes.count = 2
    trainer.processes.sum = lambda values: values
    with pytest.raises(CheckpointError, match=r"had 1 processes and now has 2; .*--nproc-per-node 1"):
        trainer.resume()
    trainer.processes.count = 1
    trainer.close()


@pytest.fixture
def torchrun(tmp_path):
    """Starts training in two processes; whatever still runs at the end of the test is killed."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    started = []

    def start(out, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
        command += [str(script), "fetch_reach", "--out", str(out), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _options(*more):
    return [item for override in (*TOY, *more) for item in ("--set", override)]


def _checkpoints(out):
    """The newest checkpoints of both processes, which must be of the same step."""
    folders = out / "checkpoints", out / "checkpoints" / "rank-1"
    assert checkpoint_steps(folders[0])[-1] == checkpoint_steps(folders[1])[-1]
    return [load_checkpoint(folder) for folder in folders]


def _assert_alike(first, second):
    """Networks, optimisers and normalisers are equal; what was experienced is not."""
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    for name in first.arrays:
        if name.startswith("normalizer."):
            np.testing.assert_array_equal(first.arrays[name], second.arrays[name])
    assert not np.array_equal(first.arrays["replay.observation"], second.arrays["replay.observation"])


def _process_of_rank(rank, launcher):
    """Process id of a rank that a torchrun has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == launcher and f"\0RANK={rank}\0" in (folder / "environ").read_text():
                return int(folder.name)
    raise AssertionError(f"torchrun has no process of rank {rank}")


def test_two_processes_train_one_policy(tmp_path, torchrun):
    out = tmp_path / "run"
    process = torchrun(out, "--steps", "800", *_options())
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    first, second = _checkpoints(out)
    _assert_alike(first, second)
    # Each of 2 processes plays 2 episodes of 50 steps a cycle; both count all.
    assert [int(row["env_steps"]) for row in read_progress(out / "progress.csv")] == [200, 400, 600, 800]
    for checkpoint in (first, second):
        counters = checkpoint.state["progress"]
        assert (counters["env_steps"], counters["episodes"], counters["updates"]) == (800, 16, 12)
        assert checkpoint.arrays["replay.action"].shape[0] == 8
    normalizer = first.arrays["normalizer.observation"]
    assert normalizer[-1] == 16 * 51
    assert {path.name for path in out.iterdir()} >= {"config.yaml", "progress.csv", "policy", "success.png"}
    assert {path.name for path in (out / "checkpoints" / "rank-1").iterdir()} == {"step-0000000800"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_killed_process_ends_the_run_which_then_goes_on(tmp_path, torchrun):
    out = tmp_path / "run"
    process = torchrun(out, "--steps", "1000000", *_options("checkpoint_interval=0.01"))
    deadline = time.monotonic() + 200
    while not has_checkpoint(out / "checkpoints" / "rank-1") and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.kill(_process_of_rank(1, process.pid), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "her-robot: process 0 of 2" in output
    assert "--resume" in output
    at = min(checkpoint_steps(out / "checkpoints")[-1], checkpoint_steps(out / "checkpoints" / "rank-1")[-1])
    resumed = torchrun(out, "--resume", "--steps", str(at + 400))
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    assert "resuming at" in output
    first, second = _checkpoints(out)
    _assert_alike(first, second)
    assert first.state["progress"]["env_steps"] >= at + 400
