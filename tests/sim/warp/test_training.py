"""Training on the device, at toy size: what is played, stored and learned from are tensors, and a run resumes."""

import dataclasses

import pytest

pytest.importorskip("mujoco_warp")
import torch

from her_robot.contract import CONTRACTS
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.config import load_config
from her_robot.policy.train import train_command
from her_robot.policy.training import Trainer
from her_robot.sim.hand_tasks import hand_task

TOY = [
    "sim=warp",
    "randomization=robot_loop",
    "num_envs=2",
    "num_threads=1",
    "batch_size=32",
    "updates_per_cycle=3",
    "warmup_steps=6",
    "buffer_steps=600",
    "network.hidden_sizes=[16, 16]",
    "evaluation.interval_steps=12",
    "evaluation.episodes=2",
    "evaluation.final_episodes=1",
]


@pytest.fixture(autouse=True)
def _short_episodes(monkeypatch, short_task):
    """Of three steps, for training as for the worlds."""
    monkeypatch.setitem(CONTRACTS, "fetch_push", short_task.contract)
    monkeypatch.setattr("her_robot.sim.warp.goal_env.fetch_task", lambda name: short_task)


def test_a_resumed_run_goes_on_on_the_device(tmp_path):
    config = load_config("fetch_push", "guided", [*TOY, "total_steps=6"])
    trainer = Trainer(config, tmp_path)
    played = []
    explore = trainer._explorer.play
    trainer._explorer.play = lambda *arguments: played.append(explore(*arguments)) or played[-1]
    list(trainer.run())
    trainer.close()
    for name in ("observation", "achieved_goal", "desired_goal", "action"):
        assert isinstance(getattr(played[0], name), torch.Tensor), name
    resumed = Trainer(load_config("fetch_push", "guided", [*TOY, "total_steps=12"]), tmp_path)
    resumed.resume()
    assert torch.equal(resumed.learner.buffer.episodes.observation, played[0].observation)
    progress = list(resumed.run())
    resumed.close()
    assert [p.env_steps for p in progress] == [12]
    assert progress[-1].updates == 3
    assert progress[-1].success_rate is not None
    assert progress[-1].success_rate_randomized is not None


def test_the_command_trains_a_bundle_that_runs_anywhere(tmp_path):
    overrides = [*TOY, "randomization=none", "warmup_steps=0", "evaluation.interval_steps=6"]
    assert train_command("fetch_push", "guided", overrides=overrides, out=tmp_path / "run", steps=6) == 0
    card = PolicyBundle.load(tmp_path / "run" / "policy", "fetch_push").card
    assert card["training"]["sim"] == "warp"
    assert card["success"]["episodes"] == 1


def test_the_hand_learns_on_the_device(tmp_path, monkeypatch):
    task = hand_task("hand_reach")
    task = dataclasses.replace(task, contract=dataclasses.replace(task.contract, episode_steps=2))
    monkeypatch.setitem(CONTRACTS, "hand_reach", task.contract)
    monkeypatch.setattr("her_robot.sim.warp.goal_env.hand_task", lambda name: task)
    overrides = [*TOY, "randomization=hand_reach", "warmup_steps=0", "evaluation.interval_steps=100", "total_steps=8"]
    trainer = Trainer(load_config("hand_reach", None, overrides), tmp_path)
    progress = list(trainer.run())
    trainer.close()
    assert progress[-1].updates == 3
    assert trainer.learner.buffer.episodes.observation.shape[-1] == task.contract.observation_size
