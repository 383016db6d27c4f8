"""A run that begins with a trained policy."""

import numpy as np
import pytest
import torch
from toy_run import TOY

from her_robot.errors import BundleError, ConfigurationError
from her_robot.policy.bundle import PolicyBundle, shipped_bundle
from her_robot.policy.config import load_config
from her_robot.policy.train import train_command
from her_robot.policy.training import Trainer

SETTINGS = [*TOY, "warmup_steps=200", "evaluation.interval_steps=400", "initial_policy=shipped"]


GOLDEN = ("observation", "desired_goal")


@pytest.fixture
def shipped():
    return PolicyBundle.load(shipped_bundle("fetch_slide"))


def _trainer(directory, *overrides, task="fetch_slide"):
    return Trainer(load_config(task, None, [*SETTINGS, *overrides]), directory)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac"])
@pytest.mark.parametrize("averaged", [True, False])
def test_it_acts_as_the_bundle_does(tmp_path, shipped, algorithm, averaged):
    trainer = _trainer(tmp_path, f"agent.algorithm={algorithm}")
    policy = trainer.learner.policy(averaged)
    observation, goal = (shipped.tensors[f"golden.{name}"] for name in GOLDEN)
    np.testing.assert_allclose(
        policy.act(observation, goal, policy.memory()), shipped.act(observation, goal), atol=2e-4
    )
    trainer.close()


def test_the_actor_waits_for_its_critics_and_sees_what_it_saw(tmp_path):
    trainer = _trainer(tmp_path, "agent.algorithm=ddpg", "critics_first=30", "total_steps=1600")
    begun, moved = trainer.learner.agent.state(), {}
    means = {name: normalizer.mean.clone() for name, normalizer in trainer.learner.inputs.normalizers.items()}
    for progress in trainer.run():
        state = trainer.learner.agent.state()
        moved[progress.updates] = {
            name: not torch.equal(state[f"{name}.parameters"], begun[f"{name}.parameters"])
            for name in ("actor", "averaged_actor", "target_actor", "critic0")
        }
    trainer.close()
    assert not any(moved[0].values())
    assert moved[30] == {"actor": False, "averaged_actor": False, "target_actor": False, "critic0": True}
    assert all(moved[40].values())
    for name, normalizer in trainer.learner.inputs.normalizers.items():
        torch.testing.assert_close(normalizer.mean, means[name], atol=1e-5, rtol=0)


def test_the_actor_is_held_back_by_its_beginning(tmp_path):
    settings = ["critics_first=0", "total_steps=600", "updates_per_cycle=50", "agent.actor_averaging=0"]
    observation, goal = (PolicyBundle.load(shipped_bundle("fetch_slide")).tensors[f"golden.{name}"] for name in GOLDEN)

    def moved(anchor):
        trainer = _trainer(tmp_path / str(anchor), *settings, f"anchor={anchor}")
        before = trainer.learner.policy()
        list(trainer.run())
        after = trainer.learner.policy()
        actions = [policy.act(observation, goal, policy.memory()) for policy in (before, after)]
        trainer.close()
        return np.abs(actions[1] - actions[0]).mean()

    assert moved(1000.0) < 0.5 * moved(0.0)


def test_warm_up_is_played_by_the_policy(tmp_path):
    quiet = ["exploration.quiet_episodes=1.0", "exploration.approach_episodes=0"]
    trainer = _trainer(tmp_path, *quiet, "num_envs=20", "total_steps=1000", "warmup_steps=1000")
    [progress] = trainer.run()
    trainer.close()
    assert progress.updates == 0
    assert progress.exploring_success_rate > 0.5


def test_a_policy_of_other_networks_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"other networks.*--set network.hidden_sizes=\[256,256,256\]$"):
        _trainer(tmp_path, "network.hidden_sizes=[16]")
    with pytest.raises(ConfigurationError, match=r'network\.positions="reach"'):
        _trainer(tmp_path, "network.positions=absolute")
    with pytest.raises(ConfigurationError, match=r"network\.history=0"):
        _trainer(tmp_path, "network.history=2")


def test_all_shipped_policies_can_be_begun_with(tmp_path):
    other = {"fetch_reach": ["network.goal_difference=false"], "hand_block_rotate_z": ["network.history=4"]}
    for task in ("fetch_reach", "fetch_push", "fetch_pick_and_place", "hand_block_rotate_z", "hand_reach"):
        _trainer(tmp_path / task, *other.get(task, []), task=task).close()


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    settings = ["critics_first=10"]
    whole = _trainer(tmp_path / "whole", *settings, "total_steps=800")
    list(_trainer(tmp_path / "parts", *settings, "total_steps=600").run())
    resumed = _trainer(tmp_path / "parts", *settings, "total_steps=800")
    resumed.resume()
    for trainer in (whole, resumed):
        list(trainer.run())
    for name, tensor in whole.learner.agent.state().items():
        assert torch.equal(tensor, resumed.learner.agent.state()[name]), name


def test_the_command_begins_with_it_and_resumes_without(tmp_path, capsys):
    toy = [*SETTINGS[:-1], "exploration.quiet_episodes=0.5", "critics_first=1000"]
    train_command("fetch_slide", overrides=[*toy, "initial_policy=shipped"], out=tmp_path / "run", steps=400)
    card = PolicyBundle.load(tmp_path / "run" / "policy").card
    assert card["training"]["initial_policy"] == "shipped"
    train_command("fetch_slide", out=tmp_path / "run", steps=600, resume=True)
    assert "resuming at 400 steps" in capsys.readouterr().out
    kept, shipped = (
        PolicyBundle.load(path) for path in (tmp_path / "run" / "initial_policy", shipped_bundle("fetch_slide"))
    )
    np.testing.assert_array_equal(kept.tensors["layer0.weight"], shipped.tensors["layer0.weight"])
    with pytest.raises(BundleError, match="nowhere"):
        train_command("fetch_slide", overrides=[*SETTINGS, "initial_policy=nowhere"], out=tmp_path / "other")
    assert not (tmp_path / "other" / "config.yaml").exists()
