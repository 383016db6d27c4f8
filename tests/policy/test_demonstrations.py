"""Episodes in which a planner acted, for a policy to learn from."""

import shutil

import numpy as np
import pytest
import torch
from toy_run import TOY

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError
from her_robot.policy.config import load_config
from her_robot.policy.demonstrate import demonstrate_command
from her_robot.policy.demonstrations import (
    demonstration_path,
    keep_demonstrations,
    load_demonstrations,
    save_demonstration,
)
from her_robot.policy.learner import Learner
from her_robot.policy.planner import PlannerConfig
from her_robot.policy.replay import Episodes
from her_robot.policy.train import train_command

EGG = contract_of("hand_egg_rotate")
QUICK = PlannerConfig(samples=3, horizon=2, knots=2)
IMITATES = ["agent.imitation_of=demonstrations", "agent.imitation=10"]


def _episode(contract=EGG, steps=100, seed=0):
    """Numbers of the right shapes; the object stays on the palm and turns a little."""
    rng = np.random.default_rng(seed)
    achieved = np.tile(np.array([1.0, 0.87, 0.2, 1.0, 0.0, 0.0, 0.0], np.float32), (1, steps + 1, 1))
    achieved[..., 0] += np.linspace(0.0, 0.02, steps + 1, dtype=np.float32)
    if contract.goal_size != achieved.shape[-1]:
        achieved = achieved[..., : contract.goal_size]
    return Episodes(
        observation=rng.normal(size=(1, steps + 1, contract.observation_size)).astype(np.float32),
        achieved_goal=achieved,
        desired_goal=achieved[:, -1],
        action=rng.uniform(-1.0, 1.0, (1, steps, contract.action_size)).astype(np.float32),
    )


def _folder(directory, count=2, task="hand_egg_rotate"):
    for seed in range(count):
        save_demonstration(demonstration_path(directory, seed), task, _episode(seed=seed))
    return directory


def test_what_is_saved_is_loaded(tmp_path):
    episodes = load_demonstrations(_folder(tmp_path), EGG, 100)
    assert len(episodes) == 2
    for index in range(2):
        saved = _episode(seed=index)
        for name in ("observation", "achieved_goal", "desired_goal", "action"):
            assert np.array_equal(getattr(episodes, name)[index], getattr(saved, name)[0])


def test_they_may_be_of_another_object(tmp_path):
    assert len(load_demonstrations(_folder(tmp_path, task="hand_block_rotate_z"), EGG, 100)) == 2


def test_what_does_not_fit_is_refused(tmp_path):
    def refused(directory, *words, contract=EGG, steps=100):
        with pytest.raises(ConfigurationError) as error:
            load_demonstrations(directory, contract, steps)
        assert all(word in str(error.value) for word in words), error.value

    refused(tmp_path / "none", "no demonstrations", "her-robot demonstrate hand_egg_rotate")
    folder = _folder(tmp_path / "some")
    refused(folder, "00000000.npz", "100 steps long", "150", steps=150)
    refused(folder, "of hand_egg_rotate", "fetch_push", contract=contract_of("fetch_push"))
    damaged = _folder(tmp_path / "damaged")
    path = demonstration_path(damaged, 1)
    path.write_bytes(path.read_bytes()[:-200])
    refused(damaged, "00000001.npz", "damaged")
    path.write_bytes(b"")
    refused(damaged, "00000001.npz", "damaged")
    not_finite = _episode()
    not_finite.action[0, 3, 4] = np.nan
    save_demonstration(path, "hand_egg_rotate", not_finite)
    refused(damaged, "00000001.npz", "action", "finite")
    save_demonstration(path, "hand_egg", Episodes(**{**vars(_episode()), "action": np.zeros((1, 100, 3), np.float32)}))
    refused(damaged, "00000001.npz", "action", "(100, 20)")
    save_demonstration(path, "hand_eg", _episode())
    refused(damaged, "00000001.npz", "hand_egg")


def test_a_run_keeps_those_that_it_began_with(tmp_path):
    folder, run = _folder(tmp_path / "folder"), tmp_path / "run"
    keep_demonstrations(folder, run)
    _folder(folder, count=3)
    keep_demonstrations(folder, run)
    assert len(load_demonstrations(run / "demonstrations", EGG, 100)) == 2


def _learner(tmp_path, *overrides):
    config = load_config("hand_egg_rotate", None, [*TOY, f"demonstrations={_folder(tmp_path)}", *overrides])
    learner = Learner(EGG, config, demonstrations=load_demonstrations(tmp_path, EGG, 100))
    own = _episode(seed=7)
    learner.take_in(own)
    return learner, own


def test_a_batch_holds_its_share_of_them_and_only_these_are_imitated(tmp_path):
    learner, own = _learner(tmp_path, *IMITATES, "replay.demonstrated=0.25", "relabel.future=0.5", "relabel.random=0.5")
    shown = torch.from_numpy(load_demonstrations(tmp_path, EGG, 100).action).flatten(0, 1)
    imitated = 0
    for batch in learner._batches(20, imitates=True):
        is_shown, is_own = (
            (batch.actions[:, None] == actions[None]).all(-1).any(-1)
            for actions in (shown, torch.tensor(own.action[0]))
        )
        assert is_shown.sum() == 8
        assert is_own.sum() == 24
        examples = batch.example_actions
        followed = examples.isfinite().all(-1)
        assert not (followed & is_own).any()
        assert torch.equal(examples[followed], batch.actions[followed])
        imitated += int(followed.sum())
    # Half of their goals are of any episode: what was done does not lead there.
    assert 0.3 * 160 < imitated < 0.7 * 160


def test_without_them_nothing_changes(tmp_path):
    learner, _ = _learner(tmp_path, "replay.demonstrated=0")
    config = load_config("hand_egg_rotate", None, TOY)
    plain = Learner(EGG, config)
    plain.take_in(_episode(seed=7))
    first, second = learner._batches(1, False)[0], plain._batches(1, False)[0]
    assert torch.equal(first.actions, second.actions)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (IMITATES, ("agent.imitation_of", "her-robot demonstrate")),
        (["demonstrations=x", "network.asymmetric=true"], ("network.asymmetric", "demonstrations")),
        (["demonstrations=x", "network.recurrent=lstm"], ("network.recurrent", "demonstrations")),
        (["demonstrations=x", "replay.demonstrated=1.5"], ("replay.demonstrated",)),
    ],
)
def test_what_does_not_go_with_them_is_refused(overrides, words):
    with pytest.raises(ConfigurationError) as error:
        load_config("hand_egg_rotate", None, overrides)
    assert all(word in str(error.value) for word in words)


def test_a_run_learns_from_them_and_is_resumed_without_their_folder(tmp_path):
    folder, run = tmp_path / "folder", tmp_path / "run"
    demonstrate_command("hand_egg_rotate", folder, episodes=2, config=QUICK)
    settings = [*TOY, *IMITATES, f"demonstrations={folder}"]
    train_command("hand_egg_rotate", overrides=settings, out=run, steps=1200)
    shutil.rmtree(folder)
    assert train_command("hand_egg_rotate", overrides=[], out=run, steps=1600, resume=True) == 0
    assert (run / "policy" / "policy.json").is_file()


def test_a_collection_goes_on_where_it_was(tmp_path, capsys):
    demonstrate_command("hand_egg_rotate", tmp_path, episodes=1, seed=5, config=QUICK)
    before = demonstration_path(tmp_path, 5).read_bytes()
    demonstrate_command("hand_egg_rotate", tmp_path, episodes=2, seed=5, config=QUICK)
    assert "1 episodes played" in capsys.readouterr().out
    assert demonstration_path(tmp_path, 5).read_bytes() == before
    assert demonstration_path(tmp_path, 6).is_file()


@pytest.mark.parametrize("task", ["fetch_push", "hand_reach", "hand_egg_rotate_relative"])
def test_the_planner_says_which_tasks_it_knows(tmp_path, task):
    with pytest.raises(ConfigurationError) as error:
        demonstrate_command(task, tmp_path, episodes=1)
    assert "hand_egg_rotate" in str(error.value)


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"seed": -1}, {"nearer_goals": 1.5}])
def test_impossible_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigurationError, match="at least 1"):
        demonstrate_command("hand_egg_rotate", tmp_path, **{"episodes": 1, **wrong})
