"""The loop at toy size: it learns, it resumes to the bit, it survives being killed."""

import os
import re
import signal
import subprocess
import sys
import time
from typing import cast

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from her_robot.contract import HAND_CONTRACTS, contract_of, sparse_reward, with_tolerance
from her_robot.errors import CheckpointError, ConfigurationError, TrainingDivergedError
from her_robot.policy import training
from her_robot.policy.acting import Policy
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.checkpoint import has_checkpoint, load_state
from her_robot.policy.config import load_config
from her_robot.policy.exploration import Explorer
from her_robot.policy.export import export_bundle
from her_robot.policy.learner import Learner
from her_robot.policy.trackers import read_progress
from her_robot.policy.train import train_command
from her_robot.policy.training import Trainer
from her_robot.sim.goal_env import BatchedGoalEnv

TOY = [
    "num_envs=4",
    "num_threads=1",
    "batch_size=32",
    "updates_per_cycle=5",
    "warmup_steps=200",
    "buffer_steps=5000",
    "network.hidden_sizes=[16, 16]",
    "evaluation.interval_steps=400",
    "evaluation.episodes=4",
    "evaluation.final_episodes=2",
]


def _trainer(directory, steps, *overrides, task="fetch_push"):
    return Trainer(load_config(task, None, [*TOY, f"total_steps={steps}", *overrides]), directory)


def _finish(trainer):
    progress = list(trainer.run())
    trainer.close()
    return progress


WITHOUT_MEMORY = ["network.history=0", "agent.algorithm=ddpg"]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [*WITHOUT_MEMORY, "network.asymmetric=false", "adr.enabled=false"],
        [*WITHOUT_MEMORY, "network.recurrent=lstm"],
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, overrides):
    whole = _trainer(tmp_path / "whole", 800, *overrides)
    _finish(whole)
    _finish(_trainer(tmp_path / "parts", 600, *overrides))
    resumed = _trainer(tmp_path / "parts", 800, *overrides)
    resumed.resume()
    assert resumed.progress.env_steps == 600
    _finish(resumed)
    for name, tensor in whole.learner.agent.state().items():
        assert torch.equal(tensor, resumed.learner.agent.state()[name]), name
    expected, found = whole.learner.buffer.episodes, resumed.learner.buffer.episodes
    np.testing.assert_array_equal(found.observation, expected.observation)
    np.testing.assert_array_equal(found.action, expected.action)


ADR = ["adr.enabled=true", "adr.boundary_probability=0.5", "adr.episodes=2", "randomization=robot_loop_reach"]


def test_a_resumed_run_goes_on_with_its_ranges(tmp_path):
    def trainer(directory, steps):
        return Trainer(load_config("fetch_reach", None, [*TOY, *ADR, f"total_steps={steps}"]), directory)

    whole, half = trainer(tmp_path / "whole", 1200), trainer(tmp_path / "parts", 800)
    expected = _finish(whole)
    _finish(half)
    resumed = trainer(tmp_path / "parts", 1200)
    resumed.resume()
    assert resumed.progress.curriculum == half.progress.curriculum
    assert [p.curriculum for p in _finish(resumed)] == [p.curriculum for p in expected[-2:]]
    state = load_state(tmp_path / "whole" / "checkpoints")
    assert load_state(tmp_path / "parts" / "checkpoints")["curriculum"] == state["curriculum"]
    assert any(value for name, value in state["curriculum"].items() if name.endswith(".episodes"))
    assert load_state(tmp_path / "parts" / "checkpoints")["rng"] == state["rng"]
    for name, tensor in whole.learner.agent.state().items():
        assert torch.equal(tensor, resumed.learner.agent.state()[name]), name


def test_ranges_are_logged(tmp_path):
    assert train_command("fetch_reach", overrides=[*TOY, *ADR], out=tmp_path / "run", steps=400, seed=3) == 0
    row = read_progress(tmp_path / "run" / "progress.csv")[-1]
    assert float(row["adr.entropy"]) == pytest.approx(np.log(0.1))
    # What is nominal is at a position of 0.867 in 0.35 ... 1.1; a tenth of the range lies about it.
    assert float(row["adr.actuation.scale.low"]) == pytest.approx(1.0 - 0.0375)
    assert float(row["adr.actuation.scale.high"]) == pytest.approx(1.0 + 0.0375)


def test_ranges_that_could_grow_are_needed(tmp_path):
    config = load_config("fetch_reach", None, [*TOY, "adr.enabled=true", "randomization=none"])
    with pytest.raises(ConfigurationError, match="has no ranges to grow to"):
        Trainer(config, tmp_path)


@pytest.mark.parametrize("task", ["hand_reach", "hand_pen_rotate_touch"])
def test_a_hand_is_trained_and_evaluated(tmp_path, task):
    settings = ["updates_per_cycle=2", "warmup_steps=100", "num_envs=2", "evaluation.final_episodes=1"]
    assert train_command(task, overrides=[*TOY, *settings], out=tmp_path, steps=400) == 0
    bundle = PolicyBundle.load(tmp_path / "policy", task)
    success = bundle.card["success"]
    assert success["environment"] == bundle.contract.environment
    assert success["final_distance"]["unit"] == bundle.contract.distance_unit
    assert np.isfinite(success["final_distance"]["mean"])


def test_hindsight_rewards_poses_as_the_contract_does():
    config = load_config("hand_block", None, [*TOY, "num_envs=1", "agent.n_step=1", "replay.end_when_lost=false"])
    learner = Learner(HAND_CONTRACTS["hand_block"], config)
    env = BatchedGoalEnv("hand_block", 1)
    learner.take_in(Explorer(env, config.exploration, np.random.default_rng(0)).play(None))
    episodes = learner.buffer.episodes
    episode, step = learner.buffer.draw(200, torch.Generator().manual_seed(0))
    ahead = (step + 1 + torch.arange(200) % 3).clamp(max=100)
    goals = episodes.achieved_goal[episode, ahead]
    rewards, discounts, _ = learner._returns(episodes, episode, step, goals)
    achieved = episodes.achieved_goal[episode, step + 1].numpy().astype(np.float64)
    expected = sparse_reward(learner.contract, achieved, goals.numpy().astype(np.float64))
    assert 0 < (expected == 0).sum() < 200
    np.testing.assert_array_equal(rewards.numpy(), expected)
    np.testing.assert_allclose(discounts.numpy(), 0.98)


def test_progress_counts_steps_updates_and_evaluations(tmp_path):
    progress = _finish(_trainer(tmp_path, 800))
    assert [p.env_steps for p in progress] == [200, 400, 600, 800]
    assert [p.updates for p in progress] == [0, 5, 10, 15]
    assert [p.success_rate is not None for p in progress] == [False, True, False, True]
    assert all(p.success_rate_randomized is not None for p in progress if p.success_rate is not None)


def test_a_policy_is_chosen_by_what_training_rewards(tmp_path):
    [*_, whole] = _finish(_trainer(tmp_path / "whole", 400))
    assert whole.score == (whole.success_rate + whole.success_rate_randomized) / 2
    [*_, nowhere] = _finish(_trainer(tmp_path / "nowhere", 400, "replay.tolerance=1e-6", task="fetch_reach"))
    assert nowhere.score == 0.0


class _Idle:
    memory = staticmethod(lambda: None)

    def act(self, observation, *_):
        return np.zeros((len(observation), 4))


def test_each_contract_judges_the_same_last_steps():
    contract, seeds = contract_of("fetch_reach"), range(60)
    alongside = BatchedGoalEnv("fetch_reach", len(seeds))
    observation, _ = alongside.reset(seed=list(seeds))
    for _ in range(2):
        observation, *_ = alongside.step(np.zeros((len(seeds), 4)))
    missing = np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"], axis=1)
    env = BatchedGoalEnv("fetch_reach", 8, 1, None, AutoresetMode.DISABLED)
    contracts = [with_tolerance(contract, share) for share in (1.0, 2.0, 3.0)]
    reached = training.evaluate_batched(env, cast(Policy, _Idle()), seeds, 2, contracts)
    assert reached == [int((missing < 0.05 * share).sum()) for share in (1.0, 2.0, 3.0)]
    assert reached[0] < reached[1] < reached[2] < len(seeds)


def test_without_a_warm_up_the_policy_plays_at_once_and_learning_waits_for_its_episodes(tmp_path):
    config = load_config("fetch_push", None, [*TOY, "warmup_steps=0", "total_steps=400"])
    progress = _finish(Trainer(config, tmp_path))
    assert [p.updates for p in progress] == [0, 5]
    assert [p.losses is None for p in progress] == [True, False]


def test_episodes_may_be_longer_than_the_task_s(tmp_path, monkeypatch):
    asked = []
    evaluate = training.evaluate_batched

    def spy(env, policy, seeds, episode_steps, contracts):
        asked.append(episode_steps)
        return evaluate(env, policy, seeds, episode_steps, contracts)

    monkeypatch.setattr(training, "evaluate_batched", spy)
    trainer = _trainer(tmp_path, 640, "episode_steps=80", "evaluation.interval_steps=640", "network.history=2")
    progress = _finish(trainer)
    assert [p.env_steps for p in progress] == [320, 640]
    episodes = trainer.learner.buffer.episodes
    assert episodes.action.shape[1] == 80
    assert episodes.achieved_goal.shape[1] == 81
    assert asked == [50, 80]
    _, step = trainer.learner.buffer.draw(1000, torch.Generator().manual_seed(0))
    assert int(step.max()) >= 75
    bundle = export_bundle(trainer.learner, trainer.config, trainer.preset)
    assert bundle.contract.episode_steps == 50


def test_reach_is_learned_in_a_few_thousand_steps(tmp_path):
    overrides = [
        "num_threads=1",
        "updates_per_cycle=200",
        "total_steps=6400",
        "warmup_steps=1600",
        "randomization=none",
    ]
    overrides += ["network.hidden_sizes=[64, 64]", "evaluation.interval_steps=6400", "evaluation.episodes=50"]
    trainer = Trainer(load_config("fetch_reach", None, overrides), tmp_path)
    assert _finish(trainer)[-1].success_rate >= 0.8


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_led_there(tmp_path):
    trainer = _trainer(tmp_path, 800)
    run = trainer.run()
    next(run)
    trainer.learner.agent.critic[0].parameters.fill_(float("nan"))
    trainer.learner.agent.critic[0].refresh()
    with pytest.raises(TrainingDivergedError, match=r"What led there is kept in .*diverged"):
        list(run)
    assert has_checkpoint(tmp_path / "checkpoints" / "diverged")
    trainer.close()


def test_the_command_writes_what_it_promises(tmp_path):
    out = tmp_path / "run"
    assert train_command("fetch_push", overrides=TOY, out=out, steps=800, seed=3) == 0
    assert {path.name for path in out.iterdir()} >= {
        "config.yaml",
        "progress.csv",
        "tensorboard",
        "checkpoints",
        "policy",
        "success.png",
    }
    rows = read_progress(out / "progress.csv")
    assert [int(row["env_steps"]) for row in rows] == [200, 400, 600, 800]
    card = PolicyBundle.load(out / "policy", "fetch_push").card
    assert card["training"]["seed"] == 3
    assert card["success"]["episodes"] == 2
    with pytest.raises(CheckpointError, match="already holds a run; go on with --resume"):
        train_command("fetch_push", overrides=TOY, out=out)
    refusal = "only --steps and agent.learning_rate, agent.action_l2, replay.tolerance can be changed, not batch_size=3"
    with pytest.raises(CheckpointError, match=re.escape(refusal)):
        train_command("fetch_push", overrides=["batch_size=3"], out=out, resume=True)
    assert train_command("fetch_push", overrides=["agent.learning_rate=5e-4"], out=out, steps=1000, resume=True) == 0
    resumed = load_config("fetch_push", str(out / "config.yaml"), [])
    assert (resumed.agent.learning_rate, resumed.total_steps) == (5e-4, 1000)
    assert [int(row["env_steps"]) for row in read_progress(out / "progress.csv")] == [200, 400, 600, 800, 1000]


def test_what_is_rewarded_from_now_on_chooses_anew(tmp_path):
    out = tmp_path / "run"
    assert train_command("fetch_push", overrides=TOY, out=out, steps=400) == 0
    bundle = PolicyBundle.load(out / "policy")
    bundle.with_card(selection=bundle.card["selection"] | {"score": 1.0}).save(out / "policy")
    assert train_command("fetch_push", out=out, steps=800, resume=True) == 0
    assert PolicyBundle.load(out / "policy").card["selection"]["env_steps"] == 400
    assert train_command("fetch_push", overrides=["replay.tolerance=0.5"], out=out, steps=1200, resume=True) == 0
    assert PolicyBundle.load(out / "policy").card["selection"]["env_steps"] == 1200


def test_a_killed_run_resumes_from_its_last_checkpoint(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "her_robot.cli", "train", "fetch_push", "--out", str(out)]
    options = [item for override in [*TOY, "checkpoint_interval=0.01"] for item in ("--set", override)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not has_checkpoint(out / "checkpoints") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    config = load_config("fetch_push", str(out / "config.yaml"), [])
    trainer = Trainer(config, out)
    trainer.resume()
    at = trainer.progress.env_steps
    assert at >= 200
    assert next(trainer.run()).env_steps == at + 200
    trainer.close()
