"""The same training with several seeds."""

import dataclasses

import numpy as np

from her_robot.cli import main
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.trackers import draw_median_curve

TOY = (
    "num_envs=2",
    "num_threads=1",
    "batch_size=16",
    "updates_per_cycle=2",
    "warmup_steps=100",
    "buffer_steps=2000",
    "network.hidden_sizes=[8]",
    "evaluation.interval_steps=100",
    "evaluation.episodes=2",
    "evaluation.final_episodes=2",
)


def _train(out, *more):
    options = [text for override in TOY for text in ("--set", override)]
    return main(["train", "fetch_reach", "--seeds", "2", "--steps", "200", "--out", str(out), *options, *more])


def test_a_member_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path, capfd):
    blocked = tmp_path / "seed-0"
    blocked.mkdir()
    (blocked / "progress.csv").write_text("not a run")
    assert _train(tmp_path) == 1
    output = capfd.readouterr().out
    assert "seed 0: failed with status 2; the others go on" in output
    assert PolicyBundle.load(tmp_path / "seed-1" / "policy").card["training"]["seed"] == 1
    assert (tmp_path / "success.png").read_bytes().startswith(b"\x89PNG")
    (blocked / "progress.csv").unlink()
    assert _train(tmp_path, "--resume") == 0
    output = capfd.readouterr().out
    assert "seed 1: has ended" in output
    assert PolicyBundle.load(blocked / "policy").card["training"]["seed"] == 0


def test_a_member_that_was_interrupted_goes_on_with_its_own_settings(tmp_path, capfd):
    assert _train(tmp_path) == 0
    policy = tmp_path / "seed-1" / "policy"
    bundle = PolicyBundle.load(policy)
    unfinished = {name: entry for name, entry in bundle.card.items() if name != "success"}
    dataclasses.replace(bundle, card=unfinished).save(policy)
    capfd.readouterr()
    assert _train(tmp_path, "--resume") == 0
    output = capfd.readouterr().out
    assert "seed 0: has ended" in output
    assert "resuming at 200 steps" in output
    assert PolicyBundle.load(policy).card["success"]["episodes"] == 2


def test_curves_of_different_length_have_a_median():
    curves = [(np.array([100, 200]), np.array([0.0, 1.0])), (np.array([100, 300]), np.array([0.5, 0.7]))]
    assert draw_median_curve(curves, "two seeds").startswith(b"\x89PNG")


def test_wrong_numbers_are_refused(capsys):
    assert main(["train", "fetch_reach", "--seeds", "0"]) == 2
    assert "--seeds is 0; at least 1" in capsys.readouterr().err
