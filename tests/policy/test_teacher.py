"""A trained policy in the place of the scripted guide."""

import numpy as np
import pytest
from toy_run import TOY

from her_robot.errors import BundleError, ConfigurationError
from her_robot.policy.bundle import PolicyBundle, shipped_bundle, shipped_teacher
from her_robot.policy.config import load_config
from her_robot.policy.guide import teacher
from her_robot.policy.train import train_command
from her_robot.policy.training import Trainer

SEES_LESS = [
    "randomization=hand_block",
    "network.asymmetric=true",
    "network.history=2",
    "exploration.guided_episodes=1.0",
    "exploration.noise=0",
    "exploration.random_action=0",
]


def _trainer(directory, *overrides, task="hand_block_rotate_z"):
    return Trainer(load_config(task, None, [*TOY, *overrides, "teacher=shipped"]), directory)


def test_it_acts_upon_the_truth_in_guided_episodes(tmp_path):
    trainer = _trainer(tmp_path, *SEES_LESS)
    trainer._cycle()
    episodes, bundle = trainer.learner.buffer.episodes, PolicyBundle.load(shipped_teacher("hand_block_rotate_z"))
    goals = episodes.desired_goal[:4, None].expand(-1, 100, -1)
    shown, seen = (
        bundle.act(values[:4, :100].numpy(), goals.numpy()) for values in (episodes.truth, episodes.observation)
    )
    played = episodes.action[:4].numpy()
    # It acts for some steps of each episode, from the first on.
    assert (np.abs(played - shown).max(axis=-1) < 1e-5)[:, 0].all()
    as_shown, as_seen = (np.abs(played - wanted).max(axis=-1) < 1e-5 for wanted in (shown, seen))
    assert as_shown.sum() > 20
    assert as_seen.sum() < as_shown.sum()
    trainer.close()


def test_it_is_imitated(tmp_path):
    """With enough weight, the actor comes near what the teacher does."""
    settings = ["warmup_steps=800", "exploration.guided_episodes=0.5", "updates_per_cycle=300", "total_steps=1400"]

    def error(weight):
        trainer = _trainer(tmp_path / str(weight), *settings, f"agent.imitation={weight}", task="fetch_slide")
        list(trainer.run())
        tensors = PolicyBundle.load(shipped_bundle("fetch_slide")).tensors
        observation, goal, wanted = (tensors[f"golden.{name}"] for name in ("observation", "desired_goal", "action"))
        policy = trainer.learner.policy()
        action = policy.act(observation, goal, policy.memory())
        trainer.close()
        return np.abs(action - wanted)[:, :3].mean()

    assert error(1000.0) < 0.7 * error(0.0)


def test_it_may_be_of_another_object(tmp_path):
    """A policy that turns blocks shows how to turn eggs: it sees, wants and does the same."""
    settings = [*TOY, f"teacher={shipped_teacher('hand_block_rotate_z')}", "exploration.guided_episodes=1.0"]
    trainer = Trainer(
        load_config("hand_egg_rotate", None, [*settings, "exploration.noise=0", "exploration.random_action=0"]),
        tmp_path,
    )
    trainer._cycle()
    episodes, bundle = trainer.learner.buffer.episodes, PolicyBundle.load(shipped_teacher("hand_block_rotate_z"))
    shown = bundle.act(episodes.observation[:4, 0].numpy(), episodes.desired_goal[:4].numpy())
    as_shown = np.abs(episodes.action[:4, 0].numpy() - shown).max(axis=-1) < 1e-5
    trainer.close()
    assert as_shown.all()


@pytest.mark.parametrize("task", ["hand_reach", "hand_egg_rotate_relative", "hand_egg_rotate_touch"])
def test_one_that_sees_or_does_something_else_is_refused(tmp_path, task):
    settings = [f"teacher={shipped_teacher('hand_block_rotate_z')}", "exploration.guided_episodes=0.5"]
    config = load_config(task, None, [*TOY, *settings])
    with pytest.raises(BundleError, match="hand_block_rotate_z, which has other observations, goals or actions"):
        Trainer(config, tmp_path)


def test_one_that_remembers_is_refused():
    with pytest.raises(ConfigurationError, match=r"fetch_push: a policy that remembers its episode cannot teach"):
        teacher(PolicyBundle.load(shipped_bundle("fetch_push")))


def test_the_shipped_teacher_is_one_that_remembers_nothing_or_what_ships():
    assert not PolicyBundle.load(shipped_teacher("hand_block_rotate_z"), "hand_block_rotate_z").remembers
    assert PolicyBundle.load(shipped_bundle("hand_block_rotate_z")).remembers
    assert shipped_teacher("fetch_slide") == shipped_bundle("fetch_slide")


def test_a_teacher_that_nothing_follows_is_refused():
    with pytest.raises(ConfigurationError, match=r"neither exploration.guided_episodes nor agent.imitation"):
        load_config("hand_block", None, ["teacher=shipped"])
    with pytest.raises(ConfigurationError, match=r"hand_block has no guide.*A trained policy can take its place"):
        load_config("hand_block", None, ["exploration.guided_episodes=0.5"])


def test_a_run_keeps_its_teacher(tmp_path):
    toy = [*TOY, "exploration.guided_episodes=0.5", "agent.imitation=1", "warmup_steps=200"]
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "run"
    PolicyBundle.load(shipped_bundle("fetch_slide")).save(elsewhere)
    train_command("fetch_slide", overrides=[*toy, f"teacher={elsewhere}"], out=out, steps=400)
    elsewhere.rename(tmp_path / "moved")
    train_command("fetch_slide", out=out, steps=600, resume=True)
    assert PolicyBundle.load(out / "policy").card["run"]["env_steps"] == 600
    with pytest.raises(BundleError, match="elsewhere"):
        train_command("fetch_slide", overrides=[*toy, f"teacher={elsewhere}"], out=tmp_path / "other")
    assert not (tmp_path / "other" / "config.yaml").exists()
